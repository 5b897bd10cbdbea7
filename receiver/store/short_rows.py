"""Shortens what stays of a stranger's delivery for good, so that each costs little.

A repetition is shortened at once, as the first delivery has all of it; any other one when its body is dropped.
"""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import case, func

from receiver.store.schema import delivery

MAX_QUERY_CHARS = 200
MAX_CHARS = 300
SHORT_ERRORS = json.dumps({"": ["There were more errors than are kept."]})
SHORT_CHANGE = "{}"

SHORT = {
    "query": func.substr(delivery.c.query, 1, MAX_QUERY_CHARS),
    "errors": case((func.length(delivery.c.errors) > MAX_CHARS, SHORT_ERRORS), else_=delivery.c.errors),
    "change": case((func.length(delivery.c.change) > MAX_CHARS, SHORT_CHANGE), else_=delivery.c.change),
}
"""The values of these columns, shortened by the database."""


def shortened(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a row that is about to be stored."""
    query, errors, change = row["query"], row["errors"], row["change"]
    return {
        **row,
        "query": query and query[:MAX_QUERY_CHARS],
        "errors": SHORT_ERRORS if len(errors) > MAX_CHARS else errors,
        "change": SHORT_CHANGE if len(change) > MAX_CHARS else change,
    }
