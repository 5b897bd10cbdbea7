"""Cursors: where the next page of a list begins, as text for a URL."""

import base64
import re
from collections.abc import Sequence
from datetime import UTC
from typing import TypeVar

from receiver.core.validation import UNSTORABLE
from receiver.store.audit_log import Action
from receiver.store.deliveries import StoredDelivery
from receiver.store.task_list import TaskPosition
from receiver.web.api_errors import ApiError
from receiver.web.error_types import ErrorType
from receiver.web.strict_fields import parse_moment

CHANGE = "~"  # no sign of base64
TASK_CURSOR = r"[A-Za-z0-9_-]+"
ID_CURSOR = r"[0-9]{1,18}"
TASK_CURSOR_PATTERN = f"^{CHANGE}?{TASK_CURSOR}$"
ID_CURSOR_PATTERN = f"^{ID_CURSOR}$"
Numbered = TypeVar("Numbered", Action, StoredDelivery)


def cursor_at(position: TaskPosition) -> str:
    """The position as text for a URL."""
    changed_at, task_id = position
    raw = f"{changed_at.astimezone(UTC).isoformat()}|{task_id}"
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def change_cursor_at(position: TaskPosition) -> str:
    """The same for the list of changes, which has another order."""
    return CHANGE + cursor_at(position)


def change_cursor(cursor: str | None) -> TaskPosition | None:
    """The change after which the page begins; None for the first page."""
    if cursor is None:
        return None
    if not cursor.startswith(CHANGE):
        raise _bad_cursor()
    return task_cursor(cursor.removeprefix(CHANGE))


def task_cursor(cursor: str | None) -> TaskPosition | None:
    """The task after which the page begins; None for the first page."""
    if cursor is None:
        return None
    if not re.fullmatch(TASK_CURSOR, cursor):
        raise _bad_cursor()
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        if UNSTORABLE.search(raw):
            raise _bad_cursor()
        changed_at, _, task_id = raw.partition("|")
        return parse_moment(changed_at), task_id
    except ValueError:
        raise _bad_cursor() from None


def id_cursor(cursor: str | None) -> int | None:
    """The row before which the page begins; None for the first page."""
    if cursor is None:
        return None
    if not re.fullmatch(ID_CURSOR, cursor):
        raise _bad_cursor()
    return int(cursor)


def page_of(rows: Sequence[Numbered], limit: int) -> tuple[Sequence[Numbered], int | None]:
    """The page out of one row more than fits, and the next page's cursor; None on the last page."""
    page = rows[:limit]
    return page, page[-1].id if len(rows) > limit else None


def _bad_cursor() -> ApiError:
    return ApiError(
        ErrorType.INVALID_REQUEST,
        "Take the cursor from `next` of the same list.",
        errors={"cursor": ["Not a cursor of this list."]},
    )
