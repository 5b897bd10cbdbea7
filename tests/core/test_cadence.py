"""When a task is polled next."""

from datetime import UTC, datetime, timedelta

import pytest

from receiver.core.cadence import TASK_SPACING_S, Cadence, share_turns

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAR = NOW + timedelta(days=1)
CADENCE = Cadence()


def after(seconds):
    return NOW + timedelta(seconds=seconds)


def waits_s(attempt, *, jitter=0.0, cadence=CADENCE):
    next_poll_at = cadence.after_poll(NOW, attempt=attempt, jitter=jitter, deadline=FAR)
    return (next_poll_at - NOW).total_seconds()


def test_a_quiet_task_is_polled_after_the_grace():
    assert CADENCE.after_report(NOW, planned=None, raised=False) == after(90)


def test_a_status_that_was_raised_starts_the_grace_anew():
    assert CADENCE.after_report(NOW, planned=after(5), raised=True) == after(90)
    assert CADENCE.after_report(NOW, planned=after(800), raised=True) == after(90)


@pytest.mark.parametrize("planned", [-3, 0, 5, 800])
def test_other_news_leave_the_plan_as_it_is(planned):
    assert CADENCE.after_report(NOW, planned=after(planned), raised=False) == after(planned)


@pytest.mark.parametrize("planned", [-3, 0])
def test_a_poll_that_is_due_is_never_put_off(planned):
    assert CADENCE.after_report(NOW, planned=after(planned), raised=True) == after(planned)


def turns(*, others=9, orphans=9, turns=9, since_orphan=0):
    order = share_turns(others=others, orphans=orphans, turns=turns, since_orphan=since_orphan)
    return "".join("o" if is_orphan else "r" for is_orphan in order)


def test_orphans_have_a_third_of_the_turns_while_others_wait():
    assert turns() == "rrorrorro"
    assert turns(turns=2) == "rr"
    assert turns(turns=1, since_orphan=2) == "o"
    assert turns(turns=1, since_orphan=1) == "r"


def test_orphans_have_every_turn_where_nobody_else_waits():
    assert turns(others=0) == "ooooooooo"


def test_what_others_leave_over_is_not_given_to_orphans_beyond_their_third():
    assert turns(others=1, turns=8) == "r"
    assert turns(others=3, turns=8) == "rror"


def test_without_orphans_the_others_have_every_turn():
    assert turns(orphans=0, others=3) == "rrr"
    assert turns(orphans=0, others=0) == ""


@pytest.mark.parametrize("slots", [1, 2, 3, 5])
def test_over_a_long_time_orphans_have_a_third_at_most_and_never_nothing(slots):
    since, order = 0, ""
    for _ in range(60):
        part = turns(turns=slots, since_orphan=since)
        order += part
        since = len(order) - order.rfind("o") - 1
    assert 0.3 < order.count("o") / len(order) <= 1 / 3


def test_the_interval_doubles_with_each_poll_up_to_the_longest():
    assert [waits_s(attempt) for attempt in range(7)] == [30, 60, 120, 240, 480, 900, 900]


def test_after_very_many_polls_the_interval_is_still_the_longest():
    assert waits_s(100_000) == 900


@pytest.mark.parametrize("attempt", [0, 1, 5, 40])
def test_jitter_stays_within_a_fifth_of_the_interval(attempt):
    plain = waits_s(attempt)
    jitters = [place / 10 for place in range(-10, 11)]
    waits = [waits_s(attempt, jitter=jitter) for jitter in jitters]
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(plain * 0.8)
    assert waits[-1] == pytest.approx(plain * 1.2)


@pytest.mark.parametrize("interval_s", [0.001, 0.1, 0.34, 0.4])
@pytest.mark.parametrize("jitter", [-1, 0, 1])
def test_however_short_the_interval_a_task_is_never_asked_about_four_times_a_second(interval_s, jitter):
    cadence = Cadence(interval_s=interval_s, max_interval_s=interval_s)
    assert waits_s(0, jitter=jitter, cadence=cadence) >= TASK_SPACING_S >= 0.34


def test_a_look_that_would_jump_over_the_deadline_is_made_at_the_deadline():
    assert CADENCE.after_poll(NOW, attempt=9, jitter=0, deadline=after(100)) == after(100)


def test_a_look_before_the_deadline_is_made_when_it_is_due():
    assert CADENCE.after_poll(NOW, attempt=0, jitter=0, deadline=after(100)) == after(30)


@pytest.mark.parametrize("deadline", [after(0), after(-100)])
def test_past_the_deadline_the_interval_counts_again(deadline):
    assert CADENCE.after_poll(NOW, attempt=0, jitter=0, deadline=deadline) == after(30)


def test_the_deadline_is_counted_from_when_the_task_was_first_seen():
    assert CADENCE.deadline(NOW) == after(86400)
    assert Cadence(give_up_after_s=0.5).deadline(NOW) == after(0.5)
