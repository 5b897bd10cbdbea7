"""What a person may change of gunicorn, and what not."""

import shlex
from typing import Any

import pytest
from gunicorn.config import Config

from receiver.serving.fixed_settings import describe_changes
from receiver.serving.worker import BufferingWorker

CHOSEN: dict[str, Any] = {
    "bind": "127.0.0.1:8000",
    "workers": 2,
    "threads": 32,
    "worker_class": BufferingWorker,
    "limit_request_line": 8190,
    "timeout": 60,
    "control_socket_disable": True,
    "accesslog": None,
    "forwarded_allow_ips": "",
    "secure_scheme_headers": {},
    "forwarder_headers": "",
    "logconfig_dict": {"root": {"level": "WARNING"}},
    "CHECK_INTERVAL_S": 0.1,  # no setting of gunicorn
}


def changes(**given: Any) -> str | None:
    present = Config()
    for name, value in {**CHOSEN, **given}.items():
        if name in present.settings:
            present.set(name, value)
    return describe_changes(present, CHOSEN)


def parsed(arguments: str) -> dict[str, Any]:
    given = vars(Config().parser().parse_args(shlex.split(arguments)))
    return {name: value for name, value in given.items() if value is not None and name != "args"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--access-logfile -", "no log may hold it"),
        ("--access-logfile /var/log/receiver.log", "no log may hold it"),
        ("--log-config logging.conf", "no log may hold it"),
        ("--log-config-json logging.json", "no log may hold it"),
        ("--log-syslog", "no log may hold it"),
        ("--logger-class my.Logger", "no log may hold it"),
        ("--bind 0.0.0.0:80", "set RECEIVER_BIND instead"),
        ("--bind 127.0.0.1:8000 --bind unix:/tmp/receiver", "set RECEIVER_BIND instead"),
        ("--workers 8", "set RECEIVER_WORKERS instead"),
        ("--threads 2", "set RECEIVER_THREADS instead"),
        ("--env RECEIVER_CALLBACK_TOKENS=another-token-of-mine", "in the server's environment"),
        ("--env PGHOST=a --env PGUSER=b", "in the server's environment"),
        ("--worker-class sync", "receiver's own worker"),
        ("--worker-class gthread", "receiver's own worker"),
        ("--http-protocols h2", "receiver's own worker"),
        ("--limit-request-line 0", "receiver's own worker"),
        ("--limit-request-line 100", "receiver's own worker"),
        ("--limit-request-fields 5", "receiver's own worker"),
        ("--limit-request-field_size 0", "receiver's own worker"),
        ("--certfile cert.pem", "let a proxy in front do the TLS"),
        ("--keyfile key.pem", "let a proxy in front do the TLS"),
        ("--forwarded-allow-ips '*'", "RECEIVER_TRUSTED_PROXIES"),
        ("--forwarder-headers REMOTE_USER", "RECEIVER_TRUSTED_PROXIES"),
        ("--header-map dangerous", "RECEIVER_TRUSTED_PROXIES"),
        ("--proxy-protocol", "RECEIVER_TRUSTED_PROXIES"),
        ("--protocol uwsgi", "RECEIVER_TRUSTED_PROXIES"),
        ("--permit-obsolete-folding", "read such a request differently"),
        ("--strip-header-spaces", "read such a request differently"),
        ("--permit-unconventional-http-method", "read such a request differently"),
        ("--permit-unconventional-http-version", "read such a request differently"),
        ("--casefold-http-method", "read such a request differently"),
    ],
)
def test_an_argument_that_breaks_a_promise_is_named_with_its_reason(arguments: str, reason: str) -> None:
    described = changes(**parsed(arguments))
    assert described
    (line,) = described.splitlines()[1:]
    option = arguments.split(maxsplit=1)[0]
    assert line.strip().startswith(option + ": ")
    assert reason in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("secure_scheme_headers", {"X-FORWARDED-PROTO": "https"}),
        ("logconfig_dict", {}),
        ("control_socket_disable", False),
    ],
)
def test_a_configuration_file_may_not_change_it_either(name: str, value: object) -> None:
    assert f"  {name}: " in (changes(**{name: value}) or "").replace("--no-control-socket", name)


def test_everything_that_is_changed_is_named_at_once() -> None:
    described = changes(**parsed("--access-logfile - --bind 0.0.0.0:80 --proxy-protocol --timeout 5"))
    assert described
    assert len(described.splitlines()) == 4


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "--timeout 5 --graceful-timeout 5 --keep-alive 1 --max-requests 5 --max-requests-jitter 5",
        "--pid receiver.pid --preload --daemon --worker-tmp-dir /dev/shm --name receiver",
        "--bind 127.0.0.1:8000 --workers 2 --threads 32",
        "--error-logfile - --log-level debug --access-logformat '%(r)s'",
    ],
)
def test_other_arguments_are_free(arguments: str) -> None:
    assert changes(**parsed(arguments)) is None
