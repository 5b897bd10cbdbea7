"""Facts about a task that, once told, stay told."""

from collections.abc import Iterator
from enum import StrEnum

from receiver.core.observation import FAILURES, Observation, OtherJob, Source, Status


class Fact(StrEnum):
    """Who told what: all of it, whatever else was told."""

    FAILURE = "failure"
    FAILURE_CONFIRMED = "failure_confirmed"
    SUCCESS = "success"
    END_BY_CALLBACK = "end_by_callback"
    SUCCESS_BY_CALLBACK = "success_by_callback"
    EXCEPTION = "exception"
    EXCEPTION_CONFIRMED = "exception_confirmed"
    NOT_KNOWN = "not_known"
    OTHER_JOB_SUCCEEDED = "other_job_succeeded"
    OTHER_JOB_FAILED = "other_job_failed"


OTHER_JOBS = {
    OtherJob.SUCCEEDED: Fact.OTHER_JOB_SUCCEEDED,
    OtherJob.FAILED: Fact.OTHER_JOB_FAILED,
}


def facts_in(meaning: Status | None, seen: Observation) -> Iterator[Fact]:
    """The facts that one observation tells; `meaning` is its status, read together with its tracks."""
    success, failure = meaning is Status.SUCCESS, meaning in FAILURES
    if success:
        yield Fact.SUCCESS
    if failure:
        yield Fact.FAILURE
    if failure and seen.source is Source.POLL:
        yield Fact.FAILURE_CONFIRMED
    if seen.source is Source.CALLBACK and (failure or seen.meaning is Status.SUCCESS):
        yield Fact.END_BY_CALLBACK
    if seen.source is Source.CALLBACK and seen.meaning is Status.SUCCESS:
        yield Fact.SUCCESS_BY_CALLBACK
    if seen.meaning is Status.CALLBACK_EXCEPTION:
        yield Fact.EXCEPTION
    if seen.meaning is Status.CALLBACK_EXCEPTION and seen.source is Source.POLL:
        yield Fact.EXCEPTION_CONFIRMED
    if not seen.known:
        yield Fact.NOT_KNOWN
    if seen.other_job is not None:
        yield OTHER_JOBS[seen.other_job]
