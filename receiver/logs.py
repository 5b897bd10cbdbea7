"""One line an event, as text or JSON. What a line tells is chosen field by field: no body ever gets here."""

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is being answered; on each of its lines."""

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
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": " ".join(redact_line(record.getMessage()).split()),
            **({"request": own} if (own := request_id.get()) else {}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            told["error"] = redact_line(self.formatException(record.exc_info))
        if self._as_json:
            return json.dumps(told, default=str)
        pairs = [f"{name}={_quoted(str(value))}" for name, value in list(told.items())[4:] if name != "error"]
        line = " ".join([told["time"], told["level"], told["logger"] + ":", told["message"], *pairs])
        return "\n".join([line, *([told["error"]] if "error" in told else [])])


def set_up_logging(log_format: str) -> None:
    """Send the receiver's own lines to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(as_json=log_format == "json"))
    logger = logging.getLogger("receiver")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def server_logging(log_format: str) -> dict[str, Any]:
    """The `logconfig_dict` of gunicorn: its lines and the libraries' warnings look as the receiver's own."""
    return {
        "formatters": {"line": {"()": LineFormatter, "as_json": log_format == "json"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["stderr"], "propagate": False}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
    }


def redact_line(text: str) -> str:
    return OWN_PATH.sub(r"\1[removed]", QUOTED.sub(r"\1\2[removed]", text))


def _quoted(text: str) -> str:
    return text if text.isprintable() and " " not in text and text else json.dumps(text)
