"""Section 6 of the contract: when to look at a task again."""

from datetime import UTC, datetime, timedelta

import pytest

from receiver.core.cadence import TASK_SPACING_S, Cadence

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAR = NOW + timedelta(days=1)
CADENCE = Cadence()


def after(seconds):
    return NOW + timedelta(seconds=seconds)


def waits_s(attempt, *, spread=0.0, cadence=CADENCE):
    look = cadence.after_poll(NOW, attempt=attempt, spread=spread, deadline=FAR)
    return (look - NOW).total_seconds()


def test_a_quiet_task_is_looked_at_after_the_grace():
    assert CADENCE.after_news(NOW, urgent=False, planned=None) == after(90)


def test_news_that_is_not_urgent_starts_the_grace_anew():
    assert CADENCE.after_news(NOW, urgent=False, planned=after(5)) == after(90)
    assert CADENCE.after_news(NOW, urgent=False, planned=after(800)) == after(90)


def test_urgent_news_are_looked_into_now():
    assert CADENCE.after_news(NOW, urgent=True, planned=None) == NOW
    assert CADENCE.after_news(NOW, urgent=True, planned=after(40)) == NOW


@pytest.mark.parametrize("urgent", [True, False])
def test_a_look_that_is_due_is_not_put_off(urgent):
    assert CADENCE.after_news(NOW, urgent=urgent, planned=after(-3)) == after(-3)
    assert CADENCE.after_news(NOW, urgent=urgent, planned=NOW) == NOW


def test_the_interval_doubles_with_each_poll_up_to_the_longest():
    assert [waits_s(attempt) for attempt in range(7)] == [30, 60, 120, 240, 480, 900, 900]


def test_after_very_many_polls_the_interval_is_still_the_longest():
    assert waits_s(100_000) == 900


@pytest.mark.parametrize("attempt", [0, 1, 5, 40])
def test_jitter_stays_within_a_fifth_of_the_interval(attempt):
    plain = waits_s(attempt)
    spreads = [place / 10 for place in range(-10, 11)]
    waits = [waits_s(attempt, spread=spread) for spread in spreads]
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(plain * 0.8)
    assert waits[-1] == pytest.approx(plain * 1.2)


@pytest.mark.parametrize("interval_s", [0.001, 0.1, 0.34, 0.4])
@pytest.mark.parametrize("spread", [-1, 0, 1])
def test_however_short_the_interval_a_task_is_never_asked_about_four_times_a_second(interval_s, spread):
    cadence = Cadence(interval_s=interval_s, max_interval_s=interval_s)
    assert waits_s(0, spread=spread, cadence=cadence) >= TASK_SPACING_S >= 0.34


def test_a_look_that_would_jump_over_the_deadline_is_made_at_the_deadline():
    assert CADENCE.after_poll(NOW, attempt=9, spread=0, deadline=after(100)) == after(100)


def test_a_look_before_the_deadline_is_made_when_it_is_due():
    assert CADENCE.after_poll(NOW, attempt=0, spread=0, deadline=after(100)) == after(30)


@pytest.mark.parametrize("deadline", [after(0), after(-100)])
def test_past_the_deadline_the_interval_counts_again(deadline):
    assert CADENCE.after_poll(NOW, attempt=0, spread=0, deadline=deadline) == after(30)


def test_the_deadline_is_counted_from_when_the_task_was_first_seen():
    assert CADENCE.deadline(NOW) == after(86400)
    assert Cadence(give_up_after_s=0.5).deadline(NOW) == after(0.5)
