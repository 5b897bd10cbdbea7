"""What somebody did, in words, from what the audit log stores of it. Pure."""

from collections.abc import Iterator, Mapping

from receiver.core.plurals import quantity
from receiver.store.audit_log import Action

# The stored keys that count something, with its noun.
COUNTS = {
    "lookedAt": ("delivery", "deliveries"),
    "deliveries": ("delivery", "deliveries"),
    "changing": ("changed task", "changed tasks"),
    "changed": ("changed task", "changed tasks"),
    "tasks": ("task", "tasks"),
    "bodies": ("deleted body", "deleted bodies"),
    "wrong passwords": ("wrong password", "wrong passwords"),
    "networks": ("network", "networks"),
}


def action_words(action: Action) -> str:
    """Who did it, from where, and to what."""
    address = f" from {action.actor.address}" if action.actor.address else ""
    detail = ", ".join(_detail_words(action.detail))
    return f"by {action.actor.via}{address}" + (f": {detail}" if detail else "")


def _detail_words(detail: Mapping[str, object]) -> Iterator[str]:
    for key, value in detail.items():
        if key in COUNTS and isinstance(value, int):
            yield quantity(value, *COUNTS[key])
        elif key == "readable":
            yield f"{value} parsed"
        else:
            yield f"{key} {'removed' if value is None else value}"
