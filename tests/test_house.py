"""The rules of the house: which part may know which, and who may import what."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "receiver"
BENCHMARKS = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if path.stem != "__init__")
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)

# Who a part may know, beside itself. Arrows run one way: edges, operations, foreign systems, core.
MAY_KNOW = {
    "core": set(),
    "store": {"core"},
    "upstream": {"core"},
    "settings": {"core"},
    "serving": set(),
    "logs": set(),
    "metrics": set(),
    "redaction": set(),
    "group_commit": {"store"},
    "intake": {"core", "store", "group_commit", "metrics", "redaction"},
    "maintenance": {"store"},
    "polling": {"core", "store", "upstream", "intake", "settings"},
    "scheduler": {"store"},
    "clock": set(),
    "runtime": {"store", "intake", "metrics", "settings"},
    "background": {"store", "upstream", "polling", "maintenance", "scheduler", "runtime", "clock"},
    "operations": {"core", "store", "runtime"},
    "reprocessing": {"core", "store", "intake", "runtime"},
    "web": {
        "core",
        "store",
        "intake",
        "operations",
        "redaction",
        "reprocessing",
        "runtime",
        "clock",
        "settings",
        "logs",
    },
    "check": {"core", "store", "upstream", "settings"},
    "simulator": set(),
    "demo": {"core", "simulator"},
    "app": {"web", "runtime", "background", "settings", "store", "logs"},
    "wsgi": {"app", "settings", "store"},
    "gunicorn_config": {"app", "logs", "metrics", "serving", "settings", "store", "web"},
    "cli": {
        "core",
        "store",
        "runtime",
        "clock",
        "operations",
        "maintenance",
        "settings",
        "web",
        "check",
        "demo",
        "simulator",
    },
    "__main__": {"cli"},
    "": set(),
}

# Each foreign library has one home.
HOMES = {
    "sqlalchemy": {"store", "settings", "intake", "operations", "reprocessing", "web"},
    "alembic": {"store"},
    "requests": {"upstream", "simulator", "demo"},
    "marshmallow": {"core", "settings", "web"},
    "apispec": {"web"},
    "apscheduler": {"scheduler"},
    "flask": {"web", "app", "simulator"},
    "flask_wtf": {"web"},
    "limits": {"settings"},
    "prometheus_client": {"metrics", "web"},
    "click": {"cli"},
    "gunicorn": {"serving"},
    "rich": {"cli", "demo"},
}


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    name = relative.parts[0] if len(relative.parts) > 1 else relative.stem
    return "" if name == "__init__" else name


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(filter(None, [_base(path, node.level), node.module]))
            names.add(module)
            if module in ("receiver", "tests"):
                names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def _base(path: Path, level: int) -> str:
    """The package that a relative import of so many dots begins at."""
    return ".".join(path.relative_to(ROOT).parts[:-level]) if level else ""


def test_a_relative_import_is_an_import_too() -> None:
    path = PACKAGE / "simulator" / "nonesuch.py"
    assert _base(path, 0) == ""
    assert _base(path, 1) == "receiver.simulator"
    assert _base(path, 2) == "receiver"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_part_knows_only_those_below_it(path: Path) -> None:
    part = part_of(path)
    for name in imports_of(path):
        root, _, rest = name.partition(".")
        if root == "receiver" and rest:
            other = rest.split(".")[0]
            known = other == part or other in MAY_KNOW[part] or other not in MAY_KNOW
            assert known, f"{part or 'receiver'} must not know {other}: the arrow turns round"
        elif root in HOMES:
            assert part in HOMES[root], f"{root} is used in {' and '.join(sorted(HOMES[root]))} only"


def test_every_part_of_the_house_has_its_place_in_the_rules() -> None:
    assert {part_of(path) for path in MODULES} == set(MAY_KNOW)


def test_the_core_does_no_io_and_has_no_clock() -> None:
    outward = {
        "os",
        "socket",
        "time",
        "random",
        "threading",
        "subprocess",
        "logging",
        "flask",
        "sqlalchemy",
        "requests",
    }
    for path in (PACKAGE / "core").rglob("*.py"):
        assert not imports_of(path) & outward, f"{path.name} reaches outside of the pure core"
        assert "now()" not in path.read_text(encoding="utf-8"), f"{path.name} reads a clock"


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_finds_what_it_needs_of_the_product(path: Path) -> None:
    importlib.import_module(f"benchmarks.{path.stem}")


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_needs_no_test_and_nothing_private(path: Path) -> None:
    assert not [name for name in imports_of(path) if name.partition(".")[0] == "tests"]
    assert not private_names_of(path), "it would break with a change that changes nothing"


def private_names_of(path: Path) -> set[str]:
    """What a module imports though it begins with `_`; that it reads none of another object is ruff's to find."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            found |= {part for name in names for part in name.split(".")}
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


@pytest.mark.parametrize(
    "statement", ["from receiver.store import _x", "from receiver._x import tasks", "import receiver._x"]
)
def test_a_private_name_is_found_however_it_is_imported(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "benchmark.py"
    path.write_text(
        f"import receiver.store\nfrom receiver.store import tasks\n{statement}\n", encoding="utf-8"
    )
    assert private_names_of(path) == {"_x"}


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {
        "frame",
        "here",
        "parts",
        "utils",
        "helpers",
        "services",
        "managers",
        "models",
        "constants",
        "exceptions",
    }
    assert not [path for path in MODULES if path.stem in empty]


def test_no_module_is_looking_for_its_missing_noun() -> None:
    long = [path.name for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > 250]
    assert not long, "over 250 lines"
