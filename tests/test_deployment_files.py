"""What an operator copies and starts: the systemd unit, the image's Dockerfile, the compose file."""

import re
import shutil
import subprocess
import sys
from getpass import getuser
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from receiver.settings import NAMES, SECRETS
from receiver.settings.environment import PREFIX
from tests.conftest import need

CONFIG = Path(__file__).resolve().parent.parent / "config"
UNIT, DOCKERFILE, COMPOSE = CONFIG / "receiver.service", CONFIG / "Dockerfile", CONFIG / "compose.yaml"
GUNICORN_CONFIG = CONFIG.parent / "receiver" / "gunicorn_config.py"
SECRET_FILES = {f"{PREFIX}{name.upper()}_FILE" for name in SECRETS}


def run(*command: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout


@pytest.fixture
def installed_unit(tmp_path: Path) -> Path:
    """The unit as on a machine that has what it starts: systemd-analyze asks for the program."""
    there = re.sub(r"/opt/receiver/.venv/bin/\w+", sys.executable, UNIT.read_text(encoding="utf-8"))
    (tmp_path / UNIT.name).write_text(there, encoding="utf-8")
    return tmp_path / UNIT.name


def test_systemd_has_nothing_to_say_against_the_unit(installed_unit: Path) -> None:
    systemd_analyze = need("systemd-analyze", shutil.which("systemd-analyze"))
    assert run(systemd_analyze, "verify", installed_unit) == (0, "")


def test_the_unit_may_do_little(installed_unit: Path) -> None:
    systemd_analyze = need("systemd-analyze", shutil.which("systemd-analyze"))
    code, output = run(systemd_analyze, "security", "--offline=true", "--threshold=12", installed_unit)
    assert code == 0, output


def test_the_commands_get_the_servers_settings(tmp_path: Path) -> None:
    settings, program, script = (tmp_path / name for name in ("receiver.env", "program", "receiver.sh"))
    settings.write_text("RECEIVER_ADMIN_PASSWORD='a & b'\n", encoding="utf-8")
    program.write_text(
        '#!/bin/sh\necho "$RECEIVER_ADMIN_PASSWORD, $RECEIVER_DATABASE_URL, $@"', encoding="utf-8"
    )
    program.chmod(0o755)
    text = (CONFIG / "receiver.sh").read_text(encoding="utf-8").replace("= receiver ]", f"= {getuser()} ]")
    text = text.replace("/etc/receiver/receiver.env", str(settings))
    script.write_text(text.replace("/opt/receiver/.venv/bin/receiver", str(program)), encoding="utf-8")
    arguments = "a & b, sqlite:////var/lib/receiver/receiver.db, check --url x\n"
    assert run("sh", script, "check", "--url", "x") == (0, arguments)


def test_hadolint_has_nothing_to_say_against_the_dockerfile() -> None:
    assert run(Path(sys.executable).with_name("hadolint"), DOCKERFILE) == (0, "")


def test_the_compose_file_keeps_to_the_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    code, output = run(*check, COMPOSE)
    assert code == 0, output


@pytest.fixture
def services() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(COMPOSE)["services"])


@pytest.mark.parametrize("file", [UNIT, DOCKERFILE, COMPOSE], ids=lambda file: file.name)
def test_every_setting_that_is_named_is_one(file: Path) -> None:
    named = set(re.findall(r"\bRECEIVER_[A-Z_]+", file.read_text(encoding="utf-8")))
    assert named
    assert named <= set(NAMES) | SECRET_FILES


def test_the_receiver_gets_its_secrets_as_files_and_each_that_must_be_given(
    services: dict[str, Any],
) -> None:
    given = services["receiver"]["environment"]
    secret_names = {name.removesuffix("_FILE") for name in given if name in SECRET_FILES}
    assert not {name for name in given if name.removeprefix(PREFIX).lower() in SECRETS}
    assert secret_names >= {
        f"{PREFIX}{name}" for name in ("CALLBACK_TOKENS", "API_TOKENS", "ADMIN_PASSWORD", "SECRET_KEY")
    }
    files = {f"/run/secrets/{name}" for name in services["receiver"]["secrets"]}
    assert files == {given[f"{name}_FILE"] for name in secret_names}


def test_only_the_proxy_can_be_reached_and_nobody_has_more_rights_than_he_needs(
    services: dict[str, Any],
) -> None:
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert not set(services["proxy"]["networks"]) & set(services["database"]["networks"])


def test_whoever_stops_the_receiver_waits_longer_than_gunicorn(services: dict[str, Any]) -> None:
    graceful = seconds(GUNICORN_CONFIG, r"graceful_timeout = (\d+)")
    assert seconds(UNIT, r"TimeoutStopSec=(\d+)") > graceful
    assert int(services["receiver"]["stop_grace_period"].removesuffix("s")) > graceful


def seconds(file: Path, pattern: str) -> int:
    (found,) = re.findall(pattern, file.read_text(encoding="utf-8"))
    return int(found)
