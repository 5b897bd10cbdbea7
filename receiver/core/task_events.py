"""What happens to a task: registered, called back, polled, given up. Each event makes the next `Task`; pure."""

from dataclasses import replace
from datetime import datetime, timedelta

from receiver.core.deadlines import Deadlines, find_deadlines
from receiver.core.observation import Observation
from receiver.core.reconciliation import reconcile
from receiver.core.settlement import settle
from receiver.core.task import Rules, Task


def register(task: Task, *, label: str | None, now: datetime, rules: Rules) -> Task:
    """Its owner names the task, as often as he likes; an orphan becomes registered and keeps its next look."""
    label = task.label if label is None else label
    known = replace(task, registered_at=task.registered_at or now, label=label)
    judged = _settle(known, task, now, rules)
    planned = task.next_poll_at is not None and not judged.settlement.settled
    return judged if planned or task.registered_at else _schedule_poll(judged, task, now, rules)


def on_callback(
    task: Task, seen: Observation | None, *, now: datetime, rules: Rules, lossy: bool = False
) -> Task:
    """A callback came. None: it could not be read, so record-info is asked at once.

    A `lossy` one had values that could not be read; it may settle the task, and record-info is asked for them.
    """
    heard = replace(task, callbacks=task.callbacks + 1, last_callback_at=now)
    if seen is None:
        return heard if heard.settlement.settled else _expedite(heard, now, rules)
    return _apply(heard, seen, task, now=now, rules=rules, lossy=lossy)


def on_duplicate(task: Task, *, now: datetime) -> Task:
    """The same callback came once more, or one that says nothing of music: counted, and nothing else."""
    latest = max(now, task.last_callback_at or now)
    return replace(task, callbacks=task.callbacks + 1, last_callback_at=latest)


def with_query(task: Task, query: str) -> Task:
    """A callback's URL had this query: the smallest of all is kept, so that their order does not matter."""
    return replace(task, query=min(query, task.query or query)) if query else task


def on_reprocessed(
    task: Task, seen: Observation, *, now: datetime, rules: Rules, lossy: bool = False
) -> Task:
    """What came long ago can be read at last: joined and judged like news, and not counted again."""
    return _apply(task, seen, task, now=now, rules=rules, lossy=lossy)


def on_poll_response(
    task: Task, seen: Observation | None, *, now: datetime, jitter: float, rules: Rules
) -> Task:
    """Record-info answered. None: it does not know the task (yet), or what it said is not about it.

    A task is given up only by an answer that came after its deadline and changed nothing.
    """
    in_its_own_time = task.expedited_at and task.last_polled_at and task.expedited_at < task.last_polled_at
    asked = replace(
        task,
        polls=task.polls + 1,
        last_polled_at=now,
        poll_requested=False,
        attempt=task.attempt + 1,
        expedited_at=None if in_its_own_time else task.expedited_at,
    )
    polled = _settle(asked if seen is None else _join(asked, seen), task, now, rules)
    deadlines = _deadlines(polled, rules)
    over = deadlines.are_over(now, unknown=seen is not None and not seen.known)
    if over and not polled.settlement.settled and polled.version == task.version:
        polled = give_up(polled, now=now, rules=rules)
    # Settled by a callback that had lost values, it was polled for these, and record-info has not given them yet.
    lost = task.settlement.settled and not task.poll_requested and not polled.state.highest_claim.confirmed
    other, early = polled.state.other_job is not None, now < deadlines.last
    if not polled.settlement.settled or (lost and early and not other):
        ahead = deadlines.ahead(now)
        again = rules.cadence.after_poll(now, attempt=task.attempt, jitter=jitter, deadline=ahead)
        return replace(polled, next_poll_at=again)
    # What ended early as another product's job is asked about once more at last: it may be music after all.
    return replace(polled, next_poll_at=deadlines.last if other and early else None)


def on_poll_failure(task: Task, *, now: datetime, jitter: float, rules: Rules) -> Task:
    """A call about the task brought no answer, and that is the task's own trouble: it backs off as after a poll."""
    deadline = rules.cadence.deadline(task.first_seen_at)
    again = rules.cadence.after_poll(now, attempt=task.attempt, jitter=jitter, deadline=deadline)
    over = task.settlement.settled and now >= deadline
    return replace(task, attempt=task.attempt + 1, poll_requested=False, next_poll_at=None if over else again)


def give_up(task: Task, *, now: datetime, rules: Rules) -> Task:
    """Its time is over: the task settles as far as it is known."""
    return replace(_settle(replace(task, gave_up_at=now), task, now, rules), next_poll_at=None)


def acknowledge(task: Task) -> Task:
    """A person has seen the task as it is; when it changes again it is to be looked at again."""
    return replace(task, acknowledged_version=task.version)


def request_poll(task: Task, *, now: datetime) -> Task:
    """A person wants to know now, settled or not."""
    return replace(task, next_poll_at=now, poll_requested=True)


def resettle(task: Task, *, now: datetime, rules: Rules) -> Task:
    """The verdict again, by present rules; when to look is left alone unless that changed what is settled."""
    judged = _settle(task, task, now, rules)
    return (
        judged
        if judged.settlement.settled == task.settlement.settled
        else _schedule_poll(judged, task, now, rules)
    )


def _apply(task: Task, seen: Observation, before: Task, *, now: datetime, rules: Rules, lossy: bool) -> Task:
    told = _schedule_poll(_settle(_join(task, seen), before, now, rules), before, now, rules)
    # Told something new after giving up, record-info is asked once more: what is paid for may be there.
    late = told.settlement.settled and task.gave_up_at is not None
    lost = lossy and not (told.settlement.settled and told.state.highest_claim.confirmed)
    return _expedite(told, now, rules) if (late or lost) and rules.policy.can_confirm else told


def _join(task: Task, seen: Observation) -> Task:
    state = reconcile(task.state, seen)
    # What ended as another product's job is a task of music again, and not given up, once anybody reports music.
    music = task.state.other_job is not None and state.other_job is None
    return replace(task, state=state, gave_up_at=None if music else task.gave_up_at)


def _deadlines(task: Task, rules: Rules) -> Deadlines:
    last = rules.cadence.deadline(task.first_seen_at)
    return find_deadlines(task.state, task.registered_at, task.polls, last=last, policy=rules.policy)


def _settle(task: Task, before: Task, now: datetime, rules: Rules) -> Task:
    settlement = settle(
        task.state,
        registered=task.registered_at is not None,
        gave_up=task.gave_up_at is not None,
        policy=rules.policy,
    )
    changed = task.state.news != before.state.news or settlement != before.settlement
    ended = now if settlement.outcome is not before.settlement.outcome else before.settled_at
    return replace(
        task,
        settlement=settlement,
        settled_at=ended if settlement.settled else None,
        version=before.version + changed,
        changed_at=now if changed else before.changed_at,
    )


def _schedule_poll(task: Task, before: Task, now: datetime, rules: Rules) -> Task:
    """When to poll next, after news that made `task` out of `before`."""
    if task.poll_requested:
        return task
    if task.settlement.settled:
        return replace(task, next_poll_at=task.next_poll_at if before.settlement.settled else None)
    # By the status that was told, which never falls again: whoever makes it rise can do so a few times only.
    raised = task.state.highest_claim.stage > max(before.state.highest_claim.stage, 0)
    task = replace(task, attempt=0) if raised else task
    planned = task.next_poll_at
    if task.urgent and (raised or task.registered_at != before.registered_at):
        # A raised end may always be looked into at once, and counts as the poll that callbacks brought forward.
        expedited = now if raised else task.expedited_at
        return replace(task, next_poll_at=min(now, planned or now), expedited_at=expedited)
    if task.urgent and (task.state != before.state or before.settlement.settled):
        return _expedite(task, now, rules)
    planned = rules.cadence.after_news(now, planned=planned, raised=raised)
    deadline = rules.cadence.deadline(task.first_seen_at)
    return replace(task, next_poll_at=min(planned, deadline) if now < deadline else planned)


def _expedite(task: Task, now: datetime, rules: Rules) -> Task:
    """The next poll at once, unless it was brought forward before and no poll came in its own time since.

    Else whoever calls back again and again would have the task polled as often.
    """
    if task.poll_requested:
        return task
    if task.expedited_at is None:
        return replace(task, next_poll_at=min(now, task.next_poll_at or now), expedited_at=now)
    waits = timedelta(seconds=rules.cadence.backoff_s(max(task.attempt - 1, 0)))
    planned = task.next_poll_at or max(now, (task.last_polled_at or now) + waits)
    return replace(task, next_poll_at=planned)
