"""The settings of gunicorn that the receiver's promises depend on."""

from collections.abc import Mapping, Sequence
from typing import Any

from gunicorn.config import Config

_LOGS = "the callback token is in the path, and no log may hold it."
_WORKER = "only the receiver's own worker and limits bound what a request takes."
_PROXIES = "RECEIVER_TRUSTED_PROXIES alone decides whose headers are trusted."
_PLAIN = "a client that stops halfway would keep a thread; let a proxy in front do the TLS."
_STRICT = "a proxy in front would read such a request differently."
_FIXED: Mapping[str, Sequence[str]] = {
    "set RECEIVER_BIND instead.": ("bind",),
    "set RECEIVER_WORKERS instead.": ("workers",),
    "set RECEIVER_THREADS instead.": ("threads",),
    "set it in the server's environment instead: gunicorn applies this after the settings are read.": (
        "raw_env",
    ),
    _LOGS: ("accesslog", "logconfig", "logconfig_json", "logconfig_dict", "logger_class", "syslog"),
    _WORKER: (
        "worker_class",
        "http_protocols",
        "http2_cleartext",
        "limit_request_line",
        "limit_request_fields",
        "limit_request_field_size",
    ),
    _PLAIN: ("certfile", "keyfile"),
    _PROXIES: (
        "forwarded_allow_ips",
        "secure_scheme_headers",
        "forwarder_headers",
        "header_map",
        "protocol",
        "proxy_protocol",
        "proxy_allow_ips",
        "uwsgi_allow_ips",
    ),
    _STRICT: (
        "permit_obsolete_folding",
        "strip_header_spaces",
        "permit_unconventional_http_method",
        "permit_unconventional_http_version",
        "casefold_http_method",
    ),
    "it would be one more way in.": ("control_socket_disable",),
}


def describe_changes(present: Config, chosen: Mapping[str, Any]) -> str | None:
    """What of gunicorn's settings is not as the receiver has `chosen` it, or as gunicorn's default; None if all is."""
    expected = Config()
    for name in expected.settings.keys() & chosen.keys():
        expected.set(name, chosen[name])
    lines = [
        f"  {_argument(present, name)}: {reason}"
        for reason, names in _FIXED.items()
        for name in names
        if present.settings[name].get() != expected.settings[name].get()
    ]
    if not lines:
        return None
    return "\n".join(["Take these out of gunicorn's arguments, and out of GUNICORN_CMD_ARGS:", *lines])


def _argument(config: Config, name: str) -> str:
    """As a person writes it: the long option, or the name in a configuration file."""
    options = config.settings[name].cli or [name]
    return str(options[-1])
