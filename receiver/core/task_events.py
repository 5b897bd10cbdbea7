"""What happens to a task: registered, called back, polled, given up. Each event makes the next `Task`; pure."""

from dataclasses import replace
from datetime import datetime, timedelta

from receiver.core.deadlines import Deadlines, find_deadlines
from receiver.core.observation import Observation
from receiver.core.reconciliation import reconcile
from receiver.core.settlement import settle
from receiver.core.task import Rules, Task


def register(task: Task, *, label: str | None, now: datetime, rules: Rules) -> Task:
    """Its owner registers the task, once or again; an orphan that has a next poll keeps it.

    A `label` of None leaves the label as it is.
    """
    label = task.label if label is None else label
    registered = replace(task, registered_at=task.registered_at or now, label=label)
    after = _settle(registered, task, now, rules)
    planned = task.next_poll_at is not None and not after.settlement.settled
    return after if planned or task.registered_at else _schedule_poll(after, task, now, rules)


def on_callback(
    task: Task, observation: Observation | None, *, now: datetime, rules: Rules, lossy: bool = False
) -> Task:
    """A callback came. `observation` is None where it could not be read: record-info is polled at once.

    A `lossy` one had values that could not be read; it may settle the task, and record-info is polled for them.
    """
    counted = replace(task, callbacks=task.callbacks + 1, last_callback_at=now)
    if observation is None:
        return counted if counted.settlement.settled else _expedite(counted, now, rules)
    return _apply(counted, observation, task, now=now, rules=rules, lossy=lossy)


def on_duplicate(task: Task, *, now: datetime) -> Task:
    """A callback came again, or one that does not concern music: it is only counted."""
    latest = max(now, task.last_callback_at or now)
    return replace(task, callbacks=task.callbacks + 1, last_callback_at=latest)


def with_query(task: Task, query: str) -> Task:
    """A callback's URL had this query. The smallest of all stays, so that their order does not matter."""
    return replace(task, query=min(query, task.query or query)) if query else task


def on_reprocessed(
    task: Task, observation: Observation, *, now: datetime, rules: Rules, lossy: bool = False
) -> Task:
    """An earlier delivery can be read at last: applied like a new one, and not counted again."""
    return _apply(task, observation, task, now=now, rules=rules, lossy=lossy)


def on_poll_response(
    task: Task, observation: Observation | None, *, now: datetime, jitter: float, rules: Rules
) -> Task:
    """Record-info answered. None: it does not know the task (yet), or the response is not about it.

    A task is given up only by a response that came after its deadline and changed nothing.
    """
    regular = task.expedited_at and task.last_polled_at and task.expedited_at < task.last_polled_at
    counted = replace(
        task,
        polls=task.polls + 1,
        last_polled_at=now,
        poll_requested=False,
        attempt=task.attempt + 1,
        expedited_at=None if regular else task.expedited_at,
    )
    after = _settle(counted if observation is None else _reconcile(counted, observation), task, now, rules)
    deadlines = _deadlines(after, rules)
    over = deadlines.are_over(now, unknown=observation is not None and not observation.known)
    if over and not after.settlement.settled and after.version == task.version:
        after = give_up(after, now=now, rules=rules)
    # Settled by a lossy callback, the task was polled for the lost values, and record-info has not given them yet.
    lossy = task.settlement.settled and not task.poll_requested and not after.state.highest_claim.confirmed
    unsupported, early = after.state.unsupported_end is not None, now < deadlines.last
    if not after.settlement.settled or (lossy and early and not unsupported):
        deadline = deadlines.next_after(now)
        planned = rules.cadence.after_poll(now, attempt=task.attempt, jitter=jitter, deadline=deadline)
        return replace(after, next_poll_at=planned)
    # What ended early as another product's job is polled once more at the last deadline: it may be music after all.
    return replace(after, next_poll_at=deadlines.last if unsupported and early else None)


def on_poll_failure(task: Task, *, now: datetime, jitter: float, rules: Rules) -> Task:
    """A call about the task failed, and that is the task's own trouble: it backs off as after a poll."""
    deadline = rules.cadence.deadline(task.first_seen_at)
    planned = rules.cadence.after_poll(now, attempt=task.attempt, jitter=jitter, deadline=deadline)
    over = task.settlement.settled and now >= deadline
    return replace(
        task, attempt=task.attempt + 1, poll_requested=False, next_poll_at=None if over else planned
    )


def give_up(task: Task, *, now: datetime, rules: Rules) -> Task:
    """Its time is over: the task settles by what is known."""
    return replace(_settle(replace(task, gave_up_at=now), task, now, rules), next_poll_at=None)


def acknowledge(task: Task) -> Task:
    """Somebody has acknowledged this version of the task; a later one needs a person again."""
    return replace(task, acknowledged_version=task.version)


def request_poll(task: Task, *, now: datetime) -> Task:
    """Somebody wants the task polled now, settled or not."""
    return replace(task, next_poll_at=now, poll_requested=True)


def resettle(task: Task, *, now: datetime, rules: Rules) -> Task:
    """Settle again, by the present rules; the next poll moves only where that changes whether it is settled."""
    after = _settle(task, task, now, rules)
    unchanged = after.settlement.settled == task.settlement.settled
    return after if unchanged else _schedule_poll(after, task, now, rules)


def _apply(
    task: Task, observation: Observation, before: Task, *, now: datetime, rules: Rules, lossy: bool
) -> Task:
    settled = _settle(_reconcile(task, observation), before, now, rules)
    after = _schedule_poll(settled, before, now, rules)
    # Something new after giving up: record-info is polled once more, as there may be music that is paid for.
    late = after.settlement.settled and task.gave_up_at is not None
    lost = lossy and not (after.settlement.settled and after.state.highest_claim.confirmed)
    return _expedite(after, now, rules) if (late or lost) and rules.policy.can_confirm else after


def _reconcile(task: Task, observation: Observation) -> Task:
    state = reconcile(task.state, observation)
    # What ended as another product's job is a task of music again, and not given up, once anybody reports music.
    now_music = task.state.unsupported_end is not None and state.unsupported_end is None
    return replace(task, state=state, gave_up_at=None if now_music else task.gave_up_at)


def _deadlines(task: Task, rules: Rules) -> Deadlines:
    last = rules.cadence.deadline(task.first_seen_at)
    return find_deadlines(task.state, task.registered_at, task.polls, last=last, policy=rules.policy)


def _settle(task: Task, before: Task, now: datetime, rules: Rules) -> Task:
    """The task with its settlement, and with a new version where it differs from `before`."""
    settlement = settle(
        task.state,
        registered=task.registered_at is not None,
        gave_up=task.gave_up_at is not None,
        policy=rules.policy,
    )
    same_state = task.state.without_unknown == before.state.without_unknown
    changed = not same_state or settlement != before.settlement
    ended = now if settlement.outcome is not before.settlement.outcome else before.settled_at
    return replace(
        task,
        settlement=settlement,
        settled_at=ended if settlement.settled else None,
        version=before.version + changed,
        changed_at=now if changed else before.changed_at,
    )


def _schedule_poll(task: Task, before: Task, now: datetime, rules: Rules) -> Task:
    """The task with its next poll, after a callback or registration that made it out of `before`."""
    if task.poll_requested:
        return task
    if task.settlement.settled:
        return replace(task, next_poll_at=task.next_poll_at if before.settlement.settled else None)
    # By the highest claim, which never falls: so callbacks can raise it a few times only.
    raised = task.state.highest_claim.stage > max(before.state.highest_claim.stage, 0)
    attempt, planned = 0 if raised else task.attempt, task.next_poll_at
    urgent = task.urgent
    if urgent and (raised or task.registered_at != before.registered_at):
        # A raised end may always be polled at once, and counts as the expedited poll.
        expedited = now if raised else task.expedited_at
        return replace(task, attempt=attempt, next_poll_at=min(now, planned or now), expedited_at=expedited)
    if urgent and (task.state != before.state or before.settlement.settled):
        return _expedite(task, now, rules)
    planned = rules.cadence.after_report(now, planned=planned, raised=raised)
    deadline = rules.cadence.deadline(task.first_seen_at)
    return replace(task, attempt=attempt, next_poll_at=min(planned, deadline) if now < deadline else planned)


def _expedite(task: Task, now: datetime, rules: Rules) -> Task:
    """Poll at once, unless a callback has expedited a poll and no regular poll came since.

    Otherwise each of many callbacks would cause a poll.
    """
    if task.poll_requested:
        return task
    if task.expedited_at is None:
        return replace(task, next_poll_at=min(now, task.next_poll_at or now), expedited_at=now)
    backoff = timedelta(seconds=rules.cadence.backoff_s(max(task.attempt - 1, 0)))
    planned = task.next_poll_at or max(now, (task.last_polled_at or now) + backoff)
    return replace(task, next_poll_at=planned)
