"""One line an event, as text or JSON. What a line tells is chosen field by field: no body ever gets here."""

import json
import logging
from datetime import UTC, datetime


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
            "message": record.getMessage(),
            **getattr(record, "told", {}),
        }
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
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


def _quoted(text: str) -> str:
    return text if text.isprintable() and " " not in text and text else json.dumps(text)
