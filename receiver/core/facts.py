"""Facts about a task, each of which holds for good once it was reported."""

from collections.abc import Iterator
from enum import StrEnum

from receiver.core.observation import FAILURES, Observation, Source, Status, UnsupportedEnd


class Fact(StrEnum):
    """What was reported, and by which source; one fact never takes back another."""

    FAILURE = "failure"
    FAILURE_CONFIRMED = "failure_confirmed"
    SUCCESS = "success"
    END_BY_CALLBACK = "end_by_callback"
    SUCCESS_BY_CALLBACK = "success_by_callback"
    EXCEPTION = "exception"
    EXCEPTION_CONFIRMED = "exception_confirmed"
    NOT_KNOWN = "not_known"
    UNSUPPORTED_SUCCEEDED = "other_job_succeeded"
    UNSUPPORTED_FAILED = "other_job_failed"


UNSUPPORTED_ENDS = {
    UnsupportedEnd.SUCCEEDED: Fact.UNSUPPORTED_SUCCEEDED,
    UnsupportedEnd.FAILED: Fact.UNSUPPORTED_FAILED,
}


def facts_in(observation: Observation, status: Status | None) -> Iterator[Fact]:
    """The facts in one observation; `status` is its status, with its tracks taken into account."""
    success, failure = status is Status.SUCCESS, status in FAILURES
    if success:
        yield Fact.SUCCESS
    if failure:
        yield Fact.FAILURE
    if failure and observation.source is Source.POLL:
        yield Fact.FAILURE_CONFIRMED
    if observation.source is Source.CALLBACK and (failure or observation.known_status is Status.SUCCESS):
        yield Fact.END_BY_CALLBACK
    if observation.source is Source.CALLBACK and observation.known_status is Status.SUCCESS:
        yield Fact.SUCCESS_BY_CALLBACK
    if observation.known_status is Status.CALLBACK_EXCEPTION:
        yield Fact.EXCEPTION
    if observation.known_status is Status.CALLBACK_EXCEPTION and observation.source is Source.POLL:
        yield Fact.EXCEPTION_CONFIRMED
    if not observation.known:
        yield Fact.NOT_KNOWN
    if observation.unsupported_end is not None:
        yield UNSUPPORTED_ENDS[observation.unsupported_end]
