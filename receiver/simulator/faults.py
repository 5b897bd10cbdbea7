"""The faults by name, and how they are drawn."""

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType

ENDING_FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "callback-exception": "Callbacks stop after `first`; CALLBACK_EXCEPTION, with the tracks.",
        "callback-exception-empty": "Callbacks stop after `text`; CALLBACK_EXCEPTION, at first empty.",
        "create-task-failed": "The task ends in CREATE_TASK_FAILED with code 500.",
        "generate-audio-failed": "The task ends in GENERATE_AUDIO_FAILED with code 501.",
        "sensitive-word": "The task ends in SENSITIVE_WORD_ERROR with code 400.",
        "success-without-urls": "SUCCESS has no audio URLs at first, in record-info and in `complete`.",
        "stuck": "The task stays PENDING for ever and no callback is sent.",
    }
)
CALLBACK_FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "callback-lost": "A single callback vanishes on its way.",
        "all-callbacks-lost": "Every callback of the task vanishes.",
        "callback-doubled": "Every callback of the task is sent twice.",
        "callbacks-reordered": "The stages of the task are called back in another order.",
        "callback-delayed": "Every callback of the task comes one to five minutes late.",
        "callback-malformed": "Callback bodies are broken in one of four ways; record-info stays right.",
        "callback-forged": "An attacker posts a success to a wrong token and a failure to the right one.",
    }
)
RECORD_FAULTS: Mapping[str, str] = MappingProxyType(
    {"not-yet": "record-info answers code 200 with data null for a while after the submit."}
)
CALL_FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "rate-limited": "A record-info call is answered with HTTP 429 and Retry-After: 1.",
        "maintenance": "A record-info call is answered with HTTP 200 and body code 455.",
        "server-error": "A record-info call is answered with HTTP 500.",
        "html": "A record-info call is answered with HTTP 200 and an HTML page.",
        "timeout": "The answer to a record-info call is held back for a long time.",
        "refused": "A record-info call is answered with HTTP 200 and body code 401.",
    }
)
# Of one task, not of one call: every call about it gets this response.
POISONS: Mapping[str, str] = MappingProxyType(
    {
        "poison-code-451": "record-info answers this task with body code 451.",
        "poison-code-500": "record-info answers this task with HTTP 200 and body code 500.",
        "poison-code-401": "record-info answers this task with HTTP 200 and body code 401.",
        "poison-http-401": "record-info answers this task with HTTP 401 and plain text.",
        "poison-http-403": "record-info answers this task with HTTP 403 and plain text.",
        "poison-http-500": "record-info answers this task with HTTP 500.",
        "poison-http-429": "record-info answers this task with HTTP 429 and Retry-After: 1.",
        "poison-hang": "record-info never answers about this task.",
        "poison-redirect": "record-info redirects calls about this task.",
        "poison-slow-head": "record-info's answer about this task never gets past a header that comes byte by byte.",
        "poison-slow-body": "record-info's answer about this task has a body that comes byte by byte, without end.",
        "poison-slow-redirect": "record-info redirects calls about this task, with a body that comes byte by byte.",
        "poison-continue": "record-info says 100 Continue about this task, again and again.",
        "poison-html": "record-info answers this task with an HTML page.",
        "poison-junk": "record-info answers this task with JSON that is no envelope.",
        "poison-other-product": "record-info answers this task with a WAV's record.",
        "poison-other-task": "record-info answers this task with another task's record.",
        "poison-long-status": "record-info answers this task with a status of 2,800 letters.",
        "poison-param": "record-info's answer about this task has a wrongly escaped param: it is no JSON.",
    }
)
FAULTS: Mapping[str, str] = MappingProxyType(
    {**CALLBACK_FAULTS, **ENDING_FAULTS, **RECORD_FAULTS, **CALL_FAULTS, **POISONS}
)


def validate_faults(faults: Mapping[str, float]) -> dict[str, float]:
    """The same probabilities as floats.

    Raises ValueError for an unknown name or a probability that is no number from 0 to 1.
    """
    unknown = sorted(set(faults) - set(FAULTS))
    if unknown:
        raise ValueError(f"unknown fault {', '.join(unknown)}; known: {', '.join(sorted(FAULTS))}")
    for name, probability in faults.items():
        if isinstance(probability, bool) or not isinstance(probability, int | float):
            raise ValueError(f"the probability of {name} is not a number: {probability!r}")
        if not 0 <= probability <= 1:
            raise ValueError(f"the probability of {name} is not between 0 and 1: {probability!r}")
    return {name: float(probability) for name, probability in faults.items()}


def happens(name: str, faults: Mapping[str, float], rng: random.Random) -> bool:
    """One draw, made whatever the probability, so that changing one fault does not shift the other draws."""
    return rng.random() < faults.get(name, 0.0)


def draw_one(names: Sequence[str], faults: Mapping[str, float], rng: random.Random) -> str | None:
    """At most one of the names, each with its own probability; they share out evenly what exceeds 1."""
    roll = rng.random() * max(1.0, sum(faults.get(name, 0.0) for name in names))
    for name in names:
        roll -= faults.get(name, 0.0)
        if roll < 0:
            return name
    return None
