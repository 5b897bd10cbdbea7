"""The built wheel, installed by itself, in an empty folder: nothing of a checkout is needed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
import requests

from tests.conftest import environment, eventually
from tests.servers.processes import ROOT, free_port

pytestmark = pytest.mark.slow  # building and installing it, and each command of it

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed; what it depends on comes from the environment of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "receiver", source / "receiver", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    wheels = folder / "wheels"
    build = (*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, source)
    subprocess.run(build, check=True, timeout=120)
    (wheel,) = wheels.iterdir()
    install = (*PIP, "install", "--no-deps", "--no-index", "--target", folder / "site", wheel)
    subprocess.run(install, check=True, timeout=120)
    return folder / "site"


@contextmanager
def started(
    site: Path, folder: Path, *command: str | Path, **settings: str
) -> Iterator[subprocess.Popen[str]]:
    """A command in `folder`, with the installed wheel before anything else; ended with the block."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(site), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def run(site: Path, folder: Path, *command: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    with started(site, folder, *command) as process:
        output, errors = process.communicate(timeout=240)
        return process.returncode, output, errors


def test_the_module_is_the_command_and_comes_from_the_wheel(site: Path, tmp_path: Path) -> None:
    where = run(site, tmp_path, sys.executable, "-c", "import receiver; print(receiver.__file__)")
    assert Path(where[1].strip()).is_relative_to(site)
    assert (site / "receiver" / "py.typed").is_file()
    expected = f"receiver, version {version('receiver')}\n"
    for command in ((sys.executable, "-m", "receiver"), (site / "bin" / "receiver",)):
        assert run(site, tmp_path, *command, "--version") == (0, expected, "")
    assert "Usage: receiver " in run(site, tmp_path, sys.executable, "-m", "receiver", "--help")[1]
    assert not list(tmp_path.iterdir())


@pytest.mark.longest
def test_the_demo_runs_in_an_empty_folder_and_leaves_nothing_there(site: Path, tmp_path: Path) -> None:
    narrow = 'COLUMNS=20 exec "$0" demo --tasks 5 --seed 1 --exit 2>&1'
    exit_code, output, _ = run(site, tmp_path, "sh", "-c", narrow, site / "bin" / "receiver")
    assert exit_code == 0, output
    report = json.loads(output.splitlines()[-1])
    assert (report["tasks"], report["mismatched"]) == (5, 0)
    for line in (
        "Seed 1",
        r"Upstream simulator: http://127\.0\.0\.1:\d+",
        r"Admin page: http://127\.0\.0\.1:\d+/admin/",
        r"Admin password: \S{12}",
        r"Callback URL: http://127\.0\.0\.1:\d+/callbacks/\S{32}",
    ):
        assert re.search(f"^{line}$", output, re.MULTILINE), f"{line} is not on one line of {output}"
    assert not list(tmp_path.iterdir())


def test_the_server_serves_its_pages_and_stops_at_sigterm(site: Path, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    settings = environment(tmp_path, BIND=url.removeprefix("http://"))
    with started(site, tmp_path, sys.executable, "-m", "receiver", "serve", **settings) as server:
        await_start(server, url)
        assert "Sign in" in requests.get(f"{url}/admin/sign-in", timeout=10).text
        assert requests.get(f"{url}/admin/static/admin.css", timeout=10).ok
        server.terminate()
        _, log = server.communicate(timeout=60)
    assert server.returncode == 0, log
    assert "Shutting down: Master" in log
    assert "Traceback" not in log, log


HOSTILE = sorted(
    name
    for name in {*sys.stdlib_module_names, *packages_distributions(), "receiver", "wsgi"}
    if name.isidentifier() and not name.startswith("__")
)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A working folder that has a file named as each module of Python and of every package here."""
    for name in HOSTILE:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('hostile {name}')")
    return tmp_path


def test_a_working_folder_with_files_named_as_modules_changes_nothing(site: Path, hostile: Path) -> None:
    port = free_port()
    settings = environment(hostile, BIND=f"127.0.0.1:{port}")
    command = site / "bin" / "receiver"
    for arguments in (("--help",), ("upgrade",), ("register", "task-1"), ("check", "--settings")):
        with started(site, hostile, command, *arguments, **settings) as ran:
            output, errors = ran.communicate(timeout=60)
        assert (ran.returncode, "hostile" in output + errors) == (0, False), output + errors
    with started(site, hostile, command, "serve", **settings) as server:
        await_start(server, f"http://127.0.0.1:{port}")
        server.send_signal(signal.SIGHUP)
        assert "Sign in" in requests.get(f"http://127.0.0.1:{port}/admin/sign-in", timeout=10).text
        server.terminate()
        _, log = server.communicate(timeout=60)
    assert (server.returncode, "hostile" in log, "Hang up" in log) == (0, False, True), log


def test_the_module_imports_nothing_from_the_working_folder_but_itself(site: Path, hostile: Path) -> None:
    for name in ("receiver", *(name for name in HOSTILE if name in sys.stdlib_module_names)):
        (hostile / f"{name}.py").unlink()  # Python itself looks there for them, before any code of the wheel
    ran = run(site, hostile, sys.executable, "-m", "receiver", "tasks", "--help")
    assert (ran[0], "hostile" in ran[2]) == (0, False), ran


def test_the_settings_of_the_wheel_are_those_of_the_repository(site: Path, tmp_path: Path) -> None:
    listed = run(site, tmp_path, site / "bin" / "receiver", "settings")
    assert listed == (0, (ROOT / "config" / "receiver.env.example").read_text(encoding="utf-8"), "")


@pytest.mark.parametrize(
    "command", [("bin/receiver",), (sys.executable, "-m", "receiver")], ids=["receiver", "module"]
)
def test_sigusr2_starts_a_second_server_that_goes_on_alone(
    site: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    program = site / command[0]  # an absolute path stays itself
    url = f"http://127.0.0.1:{free_port()}"
    pids = tmp_path / "pid", tmp_path / "pid.2"  # gunicorn's own names
    settings = environment(tmp_path, BIND=url.removeprefix("http://"))
    settings["GUNICORN_CMD_ARGS"] = f"--pid {pids[0]}"
    with started(site, tmp_path, program, *command[1:], "serve", **settings) as server:
        await_start(server, url)
        server.send_signal(signal.SIGUSR2)
        eventually(pids[1].exists, within_s=60, why="a second master starts")
        second = int(pids[1].read_text())
        server.terminate()
        eventually(lambda: server.poll() is not None, within_s=60, why="the first master ends")
        try:
            assert server.returncode == 0
            eventually(lambda: responds(f"{url}/healthz"), within_s=60, why="the second master serves")
        finally:
            os.kill(second, signal.SIGTERM)


def await_start(server: subprocess.Popen[str], url: str) -> None:
    """Until it answers; fails with its log where it ends before."""
    eventually(
        lambda: server.poll() is not None or responds(f"{url}/healthz"),
        within_s=60,
        why="the server starts",
    )
    assert server.poll() is None, server.communicate()


def responds(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False
