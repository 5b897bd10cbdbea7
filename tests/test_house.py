"""The rules of the house: which part may know which, and who may import what."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "receiver"
BENCHMARKS = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if path.stem != "__init__")
TRIALS = sorted(path for path in (ROOT / "tests/trials").glob("*.py") if path.stem != "__init__")
MODULES = sorted(PACKAGE.rglob("*.py"))

# Who a part may know, beside itself. Arrows run one way: edges, operations, foreign systems, core.
MAY_KNOW = {
    "core": set(),
    "store": {"core"},
    "upstream": {"core"},
    "settings": {"core"},
    "serving": {"logs", "web"},  # what it refuses gets the application's error types and a request id
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
    "reprocessing": {"core", "store", "runtime"},
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
        "metrics",
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
        "serving",
        "simulator",
    },
    "__main__": {"cli"},
    "": set(),
}

# Each foreign library has one home.
HOMES = {
    "sqlalchemy": {"store", "settings"},
    "alembic": {"store"},
    "requests": {"upstream", "simulator", "demo"},
    "urllib3": {"upstream"},
    "marshmallow": {"core", "settings", "web"},
    "apispec": {"web"},
    "apscheduler": {"scheduler"},
    "flask": {"web", "app", "simulator"},
    "flask_wtf": {"web"},
    "werkzeug": {"web", "simulator"},
    "markupsafe": {"web"},
    "_typeshed": {"web"},  # types of WSGI
    "limits": {"settings"},
    "prometheus_client": {"metrics", "web"},
    "click": {"cli"},
    "gunicorn": {"serving"},
    "rich": {"cli", "demo"},
}

# What the core may use of Python: nothing that reads a file, a socket, a clock, or chance.
PURE = {
    "base64",
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "hashlib",
    "hmac",
    "itertools",
    "json",
    "math",
    "re",
    "typing",
    "unicodedata",
    "urllib.parse",
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
    forbidden = known_parts(path) - MAY_KNOW[part] - {part}
    assert not forbidden, f"{part or 'receiver'} must not know {forbidden}: the arrow turns round"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_foreign_library_is_used_in_its_home_only(path: Path) -> None:
    for library in libraries_of(path):
        assert part_of(path) in HOMES.get(library, set()), f"{library} has another home, or none yet"


def test_the_rules_allow_nothing_that_no_part_needs() -> None:
    needed = {part: set[str]() for part in MAY_KNOW}
    homes = {library: set[str]() for library in HOMES}
    for path in MODULES:
        part = part_of(path)
        needed[part] |= known_parts(path) - {part}
        for library in libraries_of(path):
            homes[library].add(part)
    assert needed == MAY_KNOW
    assert homes == HOMES


def known_parts(path: Path) -> set[str]:
    """The parts of the house that a module imports."""
    inside = [name.split(".") for name in imports_of(path) if name.startswith("receiver.")]
    return {names[1] for names in inside if names[1] in MAY_KNOW}


def libraries_of(path: Path) -> set[str]:
    """The packages that a module imports, beside this one and Python's own."""
    return {name.partition(".")[0] for name in imports_of(path)} - sys.stdlib_module_names - {"receiver"}


def test_every_part_of_the_house_has_its_place_in_the_rules() -> None:
    assert {part_of(path) for path in MODULES} == set(MAY_KNOW)


def test_the_core_does_no_io_and_has_no_clock() -> None:
    allowed = PURE | {"receiver", "marshmallow"}
    for path in (PACKAGE / "core").rglob("*.py"):
        impure = {name for name in imports_of(path) - PURE if name.partition(".")[0] not in allowed}
        assert not impure, f"{path.name} reaches outside of the pure core"
        clock = re.search(r"\b(now|utcnow|today)\(", path.read_text(encoding="utf-8"))
        assert not clock, f"{path.name} reads a clock"


@pytest.mark.parametrize("path", [*BENCHMARKS, *TRIALS], ids=lambda path: path.stem)
def test_a_benchmark_or_trial_finds_what_it_needs_of_the_product(path: Path) -> None:
    importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


@pytest.mark.parametrize("path", [*BENCHMARKS, *TRIALS], ids=lambda path: path.stem)
def test_a_benchmark_or_trial_needs_no_test_and_nothing_private(path: Path) -> None:
    of_tests = {name for name in imports_of(path) if name.partition(".")[0] == "tests"}
    assert all(name.startswith(("tests.servers", "tests.trials")) for name in of_tests)
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
    written = [path for path in MODULES if "migrations" not in path.parts]
    long = [path.name for path in written if len(path.read_text(encoding="utf-8").splitlines()) > 250]
    assert not long, "over 250 lines"
