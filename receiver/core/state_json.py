"""A task state as a JSON document and back, losslessly."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from receiver.core.claims import Claim, Claims, Rivals, StatusClaim
from receiver.core.facts import Fact
from receiver.core.reconciliation import TaskState

# Once: `json.dumps` would make an encoder for each state.
_as_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def dump_state(state: TaskState) -> str:
    status = state.highest_claim
    document = {
        "status": [status.stage, status.failure, status.confirmed, status.word],
        "told": sorted(state.facts),
        "details": _dump_claims(state.details),
        "tracks": {
            key: {name: _dump_rivals(rivals) for name, rivals in track.items()}
            for key, track in state.tracks.items()
        },
        "answers": sorted(sorted(keys) for keys in state.final_track_sets),
    }
    if state.success_digests:
        document["reports"] = sorted(state.success_digests)
    return _as_json(document)


def load_state(text: str) -> TaskState:
    document = json.loads(text)
    return TaskState(
        highest_claim=StatusClaim(*document["status"]),
        facts=frozenset(Fact(fact) for fact in document["told"]),
        details=_load_claims(document["details"]),
        tracks={
            key: {name: _load_rivals(parts) for name, parts in track.items()}
            for key, track in document["tracks"].items()
        },
        final_track_sets=frozenset(frozenset(keys) for keys in document["answers"]),
        success_digests=frozenset(document.get("reports", ())),
    )


def _dump_claims(claims: Claims) -> dict[str, tuple[Any, ...]]:
    return {name: _dump_claim(claim) for name, claim in claims.items()}


def _load_claims(document: Mapping[str, list[Any]]) -> Claims:
    return {name: Claim(*parts) for name, parts in document.items()}


def _dump_claim(claim: Claim) -> tuple[Any, ...]:
    return claim if claim.failure else claim[:3]


def _dump_rivals(rivals: Rivals) -> Sequence[Any]:
    """One claim as it is, several as a list of them."""
    return _dump_claim(rivals[0]) if len(rivals) == 1 else [_dump_claim(claim) for claim in rivals]


def _load_rivals(parts: list[Any]) -> Rivals:
    several = parts if isinstance(parts[0], list) else [parts]
    return tuple(Claim(*claim) for claim in several)
