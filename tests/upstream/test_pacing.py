"""The upstream's health: one pause for all tasks, one probe after it."""

from datetime import UTC, datetime, timedelta

import pytest

from receiver.core.payloads import Trouble
from receiver.store.polls import UpstreamHealth
from receiver.upstream.pacing import after_failure, after_restart, after_success, calls_allowed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WELL = UpstreamHealth()


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def failed(
    health=WELL,
    *,
    trouble=Trouble.SERVER_ERROR,
    detail="HTTP 500",
    began=0.0,
    now=1.0,
    spread=0.0,
    retry_after_s=None,
):
    return after_failure(
        health,
        trouble,
        detail,
        started_at=at(began),
        now=at(now),
        spread=spread,
        retry_after_s=retry_after_s,
    )


def failed_in_a_row(times, **last):
    """The health after so many failures, each of a probe made when the pause was over, and the last pause."""
    health, now = WELL, 0.0
    for number in range(times):
        extra = last if number == times - 1 else {}
        health = failed(health, began=now + 0.5, now=now + 1, **extra)
        ended, now = now + 1, (health.paused_until - NOW).total_seconds()
    return health, now - ended


def allowed(health, *, now=0.0, wanted=8, in_flight=0):
    return calls_allowed(health, now=at(now), wanted=wanted, in_flight=in_flight)


def test_a_healthy_upstream_may_be_called_as_often_as_wanted():
    assert allowed(WELL, wanted=8, in_flight=5) == 8
    assert allowed(WELL, wanted=0) == 0


def test_a_failure_pauses_every_call():
    health = failed(now=1)
    assert health.paused_until == at(2)
    assert allowed(health, now=1.5) == 0


@pytest.mark.parametrize("trouble", Trouble)
def test_every_trouble_pauses_and_is_named(trouble):
    health = failed(trouble=trouble, detail="what it said")
    assert (health.trouble, health.detail, health.failures) == (trouble.value, "what it said", 1)
    assert health.failed_at == at(1)
    assert health.paused_until > at(1)


def test_after_the_pause_one_probe_decides():
    health = failed(now=1)
    assert allowed(health, now=2, wanted=8) == 1
    assert allowed(health, now=2, wanted=8, in_flight=1) == 0
    assert allowed(health, now=2, wanted=8, in_flight=3) == 0
    assert allowed(health, now=2, wanted=0) == 0


def test_a_probe_that_is_answered_lifts_the_trouble():
    health = after_success(failed(now=1), started_at=at(2))
    assert health == WELL
    assert allowed(health, now=2, in_flight=1) == 8


def test_a_probe_that_fails_doubles_the_pause():
    assert [failed_in_a_row(times)[1] for times in (1, 2, 3, 4, 5)] == pytest.approx([1, 2, 4, 8, 16])
    assert failed_in_a_row(5)[0].failures == 5


def test_the_pause_has_a_longest():
    assert failed_in_a_row(9)[1] == pytest.approx(256)
    assert failed_in_a_row(10)[1] == pytest.approx(300)
    assert failed_in_a_row(90)[1] == pytest.approx(300)


@pytest.mark.parametrize("times", [1, 4, 12])
def test_the_jitter_of_the_pause_stays_within_a_fifth(times):
    plain = failed_in_a_row(times)[1]
    assert failed_in_a_row(times, spread=-1)[1] == pytest.approx(plain * 0.8)
    assert failed_in_a_row(times, spread=1)[1] == pytest.approx(plain * 1.2)


@pytest.mark.parametrize("spread", [-1, 0, 1])
@pytest.mark.parametrize("retry_after_s", [17.5, 3600])
def test_retry_after_is_never_shortened_by_jitter_or_by_the_longest_pause(spread, retry_after_s):
    assert failed(now=1, spread=spread, retry_after_s=retry_after_s).paused_until == at(1 + retry_after_s)


@pytest.mark.parametrize("retry_after_s", [None, 0, -5, 0.25])
def test_a_small_retry_after_does_not_make_the_pause_shorter(retry_after_s):
    assert failed(now=1, retry_after_s=retry_after_s).paused_until == at(2)


def test_retry_after_is_not_shortened_by_another_failure_of_the_same_incident():
    health = failed(now=1, retry_after_s=60)
    assert failed(health, began=0.5, now=3).paused_until == at(61)


def test_a_later_retry_after_of_the_same_incident_makes_the_pause_longer():
    health = failed(now=1)
    assert failed(health, began=0.5, now=1.5, retry_after_s=60).paused_until == at(61.5)


def test_calls_under_way_when_the_upstream_failed_count_as_one_failure():
    health = WELL
    for number in range(8):
        health = failed(health, began=0.1 * number, now=1 + 0.1 * number)
    assert health.failures == 1
    assert health.paused_until == at(2.7)


def test_a_call_that_began_as_the_upstream_failed_belongs_to_that_incident():
    assert failed(failed(now=1), began=1, now=2).failures == 1
    assert failed(failed(now=1), began=1.001, now=2).failures == 2


def test_an_answer_to_a_call_from_before_the_trouble_does_not_lift_it():
    health = failed(now=1)
    assert after_success(health, started_at=at(0.5)) == health
    assert after_success(health, started_at=at(1)) == health


def test_an_answer_from_a_healthy_upstream_changes_nothing():
    assert after_success(WELL, started_at=NOW) == WELL


@pytest.mark.parametrize("spread", [-1, 0, 1])
def test_a_refused_key_pauses_long_the_first_time_already(spread):
    health = failed(trouble=Trouble.REFUSED, now=1, spread=spread)
    assert at(1 + 720) <= health.paused_until <= at(1 + 1080)


def test_a_refused_key_pauses_no_longer_the_tenth_time():
    assert failed_in_a_row(10, trouble=Trouble.REFUSED)[1] == pytest.approx(900)


def test_a_restart_tests_a_refused_key_at_once_with_one_probe():
    health = after_restart(failed(trouble=Trouble.REFUSED, now=1))
    assert allowed(health, now=1.1, wanted=8) == 1
    assert allowed(health, now=1.1, wanted=8, in_flight=1) == 0
    assert health.trouble == Trouble.REFUSED


def test_a_key_that_is_refused_after_a_restart_pauses_long_again():
    restarted = after_restart(failed(trouble=Trouble.REFUSED, now=1))
    health = failed(restarted, trouble=Trouble.REFUSED, began=2, now=3)
    assert allowed(health, now=600) == 0


@pytest.mark.parametrize("trouble", [trouble for trouble in Trouble if trouble is not Trouble.REFUSED])
def test_a_restart_does_not_shorten_any_other_pause(trouble):
    health = failed(trouble=trouble, now=1, retry_after_s=60)
    assert after_restart(health) == health


def test_a_restart_of_a_healthy_upstream_changes_nothing():
    assert after_restart(WELL) == WELL
