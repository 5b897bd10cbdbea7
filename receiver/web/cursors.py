"""Where a page of a list goes on, as a text for an address."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

from receiver.core.payloads.fields import UNSTORABLE
from receiver.store.audit_log import Action
from receiver.store.deliveries import StoredDelivery
from receiver.store.schema import LARGEST_ID
from receiver.store.task_list import TaskPosition
from receiver.web.problems import ErrorType, ProblemError

CHANGE = "~"  # no sign of base64
Numbered = TypeVar("Numbered", Action, StoredDelivery)


def cursor_at(place: TaskPosition) -> str:
    """The place as a text for an address."""
    moment, task_id = place
    raw = f"{moment.astimezone(UTC).isoformat()}|{task_id}"
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def change_cursor_at(place: TaskPosition) -> str:
    """The same for the list of changes, which is another order."""
    return CHANGE + cursor_at(place)


def change_cursor(cursor: str | None) -> TaskPosition | None:
    """The change to go on behind; None at the beginning."""
    if cursor is None:
        return None
    if not cursor.startswith(CHANGE):
        raise _bad_cursor()
    return task_cursor(cursor.removeprefix(CHANGE))


def task_cursor(cursor: str | None) -> TaskPosition | None:
    """The task to go on behind; None at the beginning."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        if UNSTORABLE.search(raw):
            raise _bad_cursor()
        moment, _, task_id = raw.partition("|")
        return datetime.fromisoformat(moment).astimezone(UTC), task_id
    except (ValueError, OverflowError, binascii.Error):
        raise _bad_cursor() from None


def id_cursor(cursor: str | None) -> int | None:
    """The row to go on before; None at the beginning."""
    if not cursor:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < len(str(LARGEST_ID))):
        raise _bad_cursor()
    return int(cursor)


def page_of(found: Sequence[Numbered], limit: int) -> tuple[Sequence[Numbered], int | None]:
    """Rows to show out of one more than fit, and the id to go on before; None where nothing follows."""
    shown = found[:limit]
    return shown, shown[-1].id if len(found) > limit else None


def _bad_cursor() -> ProblemError:
    return ProblemError(
        ErrorType.INVALID_REQUEST,
        "Take the cursor from `next` of the same list.",
        errors={"cursor": ["Not a cursor of this list."]},
    )
