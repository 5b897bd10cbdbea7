"""A task state as a JSON document and back, losslessly."""

import json
from collections.abc import Mapping
from typing import Any

from receiver.core.reconciliation import Claim, Claims, StatusClaim, TaskState, Told


def dump_state(state: TaskState) -> str:
    status = state.status
    document = {
        "status": [status.stage, status.failure, status.confirmed, status.word],
        "told": sorted(state.told),
        "details": _dump_claims(state.details),
        "tracks": {key: _dump_claims(claims) for key, claims in state.tracks.items()},
        "answers": sorted(sorted(keys) for keys in state.answers),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def load_state(text: str) -> TaskState:
    document = json.loads(text)
    return TaskState(
        status=StatusClaim(*document["status"]),
        told=frozenset(Told(fact) for fact in document["told"]),
        details=_load_claims(document["details"]),
        tracks={key: _load_claims(claims) for key, claims in document["tracks"].items()},
        answers=frozenset(frozenset(keys) for keys in document["answers"]),
    )


def _dump_claims(claims: Claims) -> dict[str, list[Any]]:
    return {name: [claim.confirmed, claim.stage, claim.value] for name, claim in claims.items()}


def _load_claims(document: Mapping[str, list[Any]]) -> Claims:
    return {name: Claim(*parts) for name, parts in document.items()}
