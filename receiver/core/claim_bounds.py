"""How much a task's claims may take: whoever may call back must not make its state grow without end.

What record-info tells always fits. At the bound the order of claims matters: those that came first are kept, and
record-info is asked about the task.
"""

import json
from collections.abc import Iterator

from receiver.core.observation import Observation, Scalar, Source
from receiver.core.reconciliation import Claims, TaskState, reconcile

LARGEST_CLAIMED = 256_000  # bytes
AROUND_A_CLAIM = 13  # what a stored claim takes beside its name and its value
AROUND_A_TRACK = 4


def claimed_size(state: TaskState) -> int:
    """About how many bytes of the stored state only callbacks told."""
    word = 0 if state.status.confirmed else _stored_size(state.status.word)
    return (
        word
        + _size_of(state.details)
        + sum(_size_of(claims) + _size_of_key(key, claims) for key, claims in state.tracks.items())
    )


def claims_too_much(state: TaskState, seen: Observation) -> bool:
    """Whether this callback would take the claims past what a task may have; one that adds nothing never does."""
    if seen.source is not Source.CALLBACK:
        return False
    size = claimed_size(reconcile(state, seen))
    return size > LARGEST_CLAIMED and size > claimed_size(state)


def confirmed_at_all(state: TaskState) -> bool:
    """Whether record-info ever told something of the task: then it is no invention of a stranger."""
    confirmed = any(claim.confirmed for claims in _all_claims(state) for claim in claims.values())
    return state.status.confirmed or bool(state.answers) or confirmed


def _all_claims(state: TaskState) -> Iterator[Claims]:
    yield state.details
    yield from state.tracks.values()


def _size_of(claims: Claims) -> int:
    return sum(
        len(name) + _stored_size(claim.value) + AROUND_A_CLAIM
        for name, claim in claims.items()
        if not claim.confirmed
    )


def _size_of_key(key: str, claims: Claims) -> int:
    if any(claim.confirmed for claim in claims.values()):
        return 0
    return _stored_size(key) + AROUND_A_TRACK


def _stored_size(value: Scalar) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
