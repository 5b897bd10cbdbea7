"""One line an event, as text or JSON, with the callback token redacted (`redact_line`).

Call sites name each field in `extra={"fields": …}`: no body gets here. `redaction` does the same for what is stored.
"""

import json
import logging
import os
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that this thread handles; it is on each line logged meanwhile."""

STANDARD_ERROR = 2  # sys.stderr has a lock in its buffer

# gunicorn quotes what it could not read, be it a token or a part of a body, and the address of what failed.
QUOTED = re.compile(
    r"^(Invalid request from ip=.*?: [^'\"]*?)b?['\"].*|^(Error handling request ).+", re.DOTALL
)
OWN_PATH = re.compile(r"(callbacks(?:/|%2[Ff])+)[^\s'\"]+")


class LineFormatter(logging.Formatter):
    """`time level name: message key=value …`, or the same as one JSON object."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": " ".join(redact_line(record.getMessage()).split()),
            **({"request": own} if (own := request_id.get()) else {}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["error"] = redact_line(self.formatException(record.exc_info))
        if self._as_json:
            return json.dumps(fields, default=str)
        pairs = [
            f"{name}={_quoted(str(value))}" for name, value in list(fields.items())[4:] if name != "error"
        ]
        line = " ".join([fields["time"], fields["level"], fields["logger"] + ":", fields["message"], *pairs])
        return "\n".join([line, *([fields["error"]] if "error" in fields else [])])


class LineHandler(logging.Handler):
    """Writes each line to standard error by a system call of its own, and so needs no lock.

    Under one, each thread that logs would wait for the writes of all others.
    """

    def createLock(self) -> None:  # noqa: N802  the name that logging calls
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
            while line:
                line = line[os.write(STANDARD_ERROR, line) :]
        except Exception:  # noqa: BLE001  no line is worth a request
            self.handleError(record)


def set_up_logging(log_format: str) -> None:
    """Send the receiver's own lines to standard error."""
    handler = LineHandler()
    handler.setFormatter(LineFormatter(as_json=log_format == "json"))
    logger = logging.getLogger("receiver")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def server_logging(log_format: str) -> dict[str, Any]:
    """The `logconfig_dict` of gunicorn: its lines and the libraries' warnings get the receiver's format."""
    return {
        "formatters": {"line": {"()": LineFormatter, "as_json": log_format == "json"}},
        "handlers": {"stderr": {"()": LineHandler, "formatter": "line"}},
        "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["stderr"], "propagate": False}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
    }


def redact_line(text: str) -> str:
    return OWN_PATH.sub(r"\1[removed]", QUOTED.sub(r"\1\2[removed]", text))


def _quoted(text: str) -> str:
    return text if text.isprintable() and " " not in text and text else json.dumps(text)
