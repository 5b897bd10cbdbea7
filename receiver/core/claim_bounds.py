"""Limits on a task's claims, so that callbacks cannot make its state grow without end.

What record-info reports always fits. Once the limit is reached, later claims are discarded and
record-info is polled. Only then does the order of arrival matter.
"""

import json
from collections.abc import Iterator

from receiver.core.claims import Claim
from receiver.core.observation import Observation, Scalar, Source
from receiver.core.reconciliation import TaskState, reconcile

MAX_CLAIMED_BYTES = 256_000
# The upstream makes two of a task; each costs work whenever the task is read or changed.
MAX_CLAIMED_TRACKS = 64
CLAIM_OVERHEAD_BYTES = 13  # what a stored claim takes beside its name and its value
TRACK_OVERHEAD_BYTES = 4
MAX_BYTES_A_CHAR = 6  # in JSON: a control character is `\u0001`
# Once: `json.dumps` would make an encoder for each value.
as_json = json.JSONEncoder(ensure_ascii=False).encode


def claimed_size(state: TaskState) -> int:
    """About how many bytes of the stored state come from callbacks only."""
    word = 0 if state.highest_claim.confirmed else _stored_size(state.highest_claim.word)
    return word + sum(_size_of(name, claim) for name, claim in _every_claim(state)) + _size_of_keys(state)


def claimed_tracks(state: TaskState) -> int:
    """How many tracks only callbacks named."""
    return sum(1 for _ in _claimed_keys(state))


def exceeds_claim_limits(state: TaskState, observation: Observation) -> bool:
    """Whether this callback would take the claims past the limits; one that adds nothing never does."""
    if observation.source is not Source.CALLBACK or _surely_fits(state, observation):
        return False
    after = reconcile(state, observation)
    if MAX_CLAIMED_TRACKS < claimed_tracks(after) > claimed_tracks(state):
        return True
    return MAX_CLAIMED_BYTES < claimed_size(after) > claimed_size(state)


def _surely_fits(state: TaskState, observation: Observation) -> bool:
    """Whether no limit can be exceeded, by estimates that are too high: so most callbacks are reconciled once."""
    if len(state.tracks) + len(observation.tracks) > MAX_CLAIMED_TRACKS:
        return False
    texts = [observation.status, state.highest_claim.word, *state.tracks, *observation.details]
    texts += [str(value) for value in observation.details.values()]
    for track in observation.tracks:
        texts += [track.key, *track.fields, *map(str, track.fields.values())]
    for name, claim in _every_claim(state):
        texts += [name, str(claim.value)]
    # Half of the texts are names, which have no overhead.
    return MAX_BYTES_A_CHAR * len("".join(texts)) + CLAIM_OVERHEAD_BYTES * len(texts) <= MAX_CLAIMED_BYTES


def has_confirmed(state: TaskState) -> bool:
    """Whether record-info ever reported something of the task: then no stranger made it up."""
    reported = state.highest_claim.confirmed or state.final_track_sets or state.confirmed_keys
    return bool(reported) or any(claim.confirmed for claim in state.details.values())


def _every_claim(state: TaskState) -> Iterator[tuple[str, Claim]]:
    """Each with the name of its field; of the task itself and of its tracks."""
    yield from state.details.items()
    for track in state.tracks.values():
        for name, rivals in track.items():
            for claim in rivals:
                yield name, claim


def _size_of(name: str, claim: Claim) -> int:
    return 0 if claim.confirmed else len(name) + _stored_size(claim.value) + CLAIM_OVERHEAD_BYTES


def _size_of_keys(state: TaskState) -> int:
    return sum(_stored_size(key) + TRACK_OVERHEAD_BYTES for key in _claimed_keys(state))


def _claimed_keys(state: TaskState) -> Iterator[str]:
    """The keys of the tracks that record-info has not named."""
    yield from (key for key in state.tracks if key not in state.confirmed_keys)


def _stored_size(value: Scalar) -> int:
    return len(as_json(value).encode(errors="replace"))
