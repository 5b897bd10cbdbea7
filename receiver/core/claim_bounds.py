"""How much a task's claims may take: whoever may call back must not make its state grow without end.

What record-info tells always fits. At the bound the order of claims matters: those that came first are kept, and
record-info is asked about the task.
"""

import json

from receiver.core.claims import Claim, TrackClaims, every_claim
from receiver.core.observation import Observation, Scalar, Source
from receiver.core.reconciliation import TaskState, reconcile

LARGEST_CLAIMED = 256_000  # bytes
AROUND_A_CLAIM = 13  # what a stored claim takes beside its name and its value
AROUND_A_TRACK = 4


def claimed_size(state: TaskState) -> int:
    """About how many bytes of the stored state only callbacks told."""
    details = sum(_size_of(name, claim) for name, claim in state.details.items())
    return details + sum(_size_of_track(key, track) for key, track in state.tracks.items())


def claims_too_much(state: TaskState, seen: Observation) -> bool:
    """Whether this callback would take the claims past what a task may have; one that adds nothing never does."""
    if seen.source is not Source.CALLBACK:
        return False
    size = claimed_size(reconcile(state, seen))
    return size > LARGEST_CLAIMED and size > claimed_size(state)


def confirmed_at_all(state: TaskState) -> bool:
    """Whether record-info ever told something of the task: then it is no invention of a stranger."""
    claims = (claim for track in state.tracks.values() for claim in every_claim(track))
    confirmed = any(claim.confirmed for claim in (*state.details.values(), *claims))
    return state.status.confirmed or bool(state.answers) or confirmed


def _size_of_track(key: str, track: TrackClaims) -> int:
    claims = [(name, claim) for name, rivals in track.items() for claim in rivals]
    alone = not any(claim.confirmed for _, claim in claims)
    own = _stored_size(key) + AROUND_A_TRACK if alone else 0
    return own + sum(_size_of(name, claim) for name, claim in claims)


def _size_of(name: str, claim: Claim) -> int:
    return 0 if claim.confirmed else len(name) + _stored_size(claim.value) + AROUND_A_CLAIM


def _stored_size(value: Scalar) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
