"""What the tests share: real parts, made anew for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.clock import T0, Clock
from tests.servers.processes import API_TOKEN, CALLBACK_TOKEN, environment, eventually

if TYPE_CHECKING:  # the pure tests start without what these need
    from werkzeug.test import TestResponse

    from receiver.runtime import Runtime
    from receiver.settings import Settings
    from receiver.simulator import SimulatorServer
    from tests.servers.postgres import Postgres
    from tests.world import World

__all__ = ["API_TOKEN", "CALLBACK_TOKEN", "T0", "environment", "eventually"]

PAYLOADS = Path(__file__).parent / "payloads"
REQUIRE_ALL = os.environ.get("RECEIVER_TEST_REQUIRE_ALL") == "1"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: else all wait for one of them in the end. Whole ways through PostgreSQL are slow tests."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if (
            callspec
            and callspec.params.get("database_url") == "postgresql"
            and "store" not in item.path.parts
        ):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> None:
    """What a test starts gets the settings that it is given, whatever the one who runs the tests has set."""
    for name in [name for name in os.environ if name.startswith("RECEIVER_")]:
        del os.environ[name]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    from receiver.settings import load_settings

    return load_settings(environment(tmp_path))


BOTH_STORES = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
"""Marks tests of the one contract that every store must keep."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    from tests.servers.postgres import running_postgres

    with running_postgres() as running:
        yield running


@pytest.fixture(scope="session")
def new_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the receiver's tables, to be copied."""
    from receiver.store.database import Database

    path = tmp_path_factory.mktemp("sqlite") / "receiver.db"
    Database(f"sqlite:///{path}").migrate()
    return path


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path, new_sqlite_file: Path) -> Iterator[str]:
    """A database of the test's own: a SQLite file, or where `BOTH_STORES` says so a PostgreSQL database."""
    if getattr(request, "param", "sqlite") == "postgresql":
        with request.getfixturevalue("postgres").lent_database() as url:
            yield url
        return
    shutil.copyfile(new_sqlite_file, tmp_path / "receiver.db")
    yield f"sqlite:///{tmp_path}/receiver.db"


@pytest.fixture
def new_runtime(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Runtime]]:
    """Makes a runtime on the test's own database, with changed settings."""
    from receiver.runtime import open_runtime
    from receiver.settings import load_settings

    made: list[Runtime] = []

    def make(**changes: str) -> Runtime:
        given = {"DATABASE_URL": database_url} | changes
        made.append(open_runtime(load_settings(environment(tmp_path, **given)), migrate=True))
        return made[-1]

    yield make
    for runtime in made:
        runtime.database.engine.dispose()


@pytest.fixture
def runtime(new_runtime: Callable[..., Runtime]) -> Runtime:
    return new_runtime()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def upstream() -> Iterator[SimulatorServer]:
    from receiver.simulator import Simulator, SimulatorServer

    with SimulatorServer(Simulator(api_key="upstream-key")) as server:
        yield server


@pytest.fixture
def new_world(
    new_runtime: Callable[..., Runtime], upstream: SimulatorServer, clock: Clock
) -> Iterator[Callable[..., World]]:
    from receiver.intake import Intake
    from tests.world import World

    made: list[World] = []

    def make(name: str = "one", kind: type[Intake] = Intake, **changes: str) -> World:
        changes = {"UPSTREAM_URL": upstream.url, "POLL_LIMIT": "100/second", **changes}
        made.append(World(new_runtime(**changes), upstream.simulator, clock, name, kind))
        return made[-1]

    yield make
    for world in made:
        world.client.close()


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world()


def json_of(response: TestResponse) -> Any:
    """What the JSON of a response says; fails where it has none."""
    assert response.json is not None, response.text
    return response.json


def need(program: str, path: str | None) -> str:
    """A system program's path; without it the test is skipped, or fails where nothing may be skipped."""
    if path is None:
        missing = f"{program} is not to be had here"
        if REQUIRE_ALL:
            pytest.fail(missing)
        pytest.skip(missing)
    return path
