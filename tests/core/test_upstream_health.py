"""Whose trouble a failed call is, and the upstream's pauses with single probes after them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from receiver.core.payloads import Trouble
from receiver.core.upstream_health import (
    FailedCall,
    UpstreamHealth,
    after_answer,
    after_failure,
    calls_allowed,
    keeps_place,
    key_refused,
    limit_pause,
    retry_refused_key,
)
from receiver.upstream.client import retry_after_s

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WELL = UpstreamHealth()
SLOW = (Trouble.LIMITED, Trouble.MAINTENANCE)
OTHERS = tuple(trouble for trouble in Trouble if trouble not in SLOW)


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def call(task="a", trouble=Trouble.SERVER_ERROR, *, began=0.0, **more):
    return FailedCall(task_id=task, trouble=trouble, detail="HTTP 500", started_at=at(began), **more)


def failed(health=WELL, task="a", trouble=Trouble.SERVER_ERROR, *, began=0.0, now=1.0, jitter=0.0, **more):
    return after_failure(health, call(task, trouble, began=began, **more), now=at(now), jitter=jitter)


def answered(health, *, began, now=None):
    return after_answer(health, started_at=at(began), now=at(began + 0.1 if now is None else now))


def down(times=1, trouble=Trouble.SERVER_ERROR, **last):
    """The health after so many pauses, each probe another task's, and the last pause."""
    now = 0.0
    health = WELL if trouble in SLOW else failed(task="first", trouble=trouble, began=-1, now=0)
    for number in range(times):
        more = last if number == times - 1 else {}
        health = failed(health, f"task {number}", trouble, began=now + 0.5, now=now + 1, **more)
        ended, now = now + 1, (health.paused_until - NOW).total_seconds()
    return health, now - ended


# Whose trouble it is


@pytest.mark.parametrize("trouble", OTHERS)
def test_one_tasks_failures_pause_nobody_however_many_they_are(trouble):
    health = WELL
    for number in range(20):
        health = failed(health, trouble=trouble, began=number, now=number + 0.5)
        assert not health.in_trouble
        assert calls_allowed(health, limit=8, in_flight=3) == 8


@pytest.mark.parametrize("trouble", OTHERS)
def test_two_tasks_failing_in_a_row_are_the_upstreams_trouble(trouble):
    health = failed(failed(trouble=trouble), "b", trouble, began=2, now=3)
    assert (health.in_trouble, health.trouble, health.detail) == (True, trouble.value, "HTTP 500")
    assert (health.paused_since, health.failed_task) == (at(3), "b")
    assert health.paused(at(3.5))


@pytest.mark.parametrize("trouble", OTHERS)
def test_an_answer_between_them_makes_it_the_tasks_trouble_again(trouble):
    health = WELL
    for number in range(20):
        health = failed(health, f"t{number}", trouble, began=3 * number + 1, now=3 * number + 2)
        assert not health.in_trouble
        health = answered(health, began=3 * number + 2, now=3 * number + 2.5)


def test_a_call_during_which_another_was_answered_says_nothing_about_the_upstream():
    health = answered(WELL, began=5, now=6)
    for name in "abc":  # all three waited for an answer from 0 to 10
        health = failed(health, name, Trouble.NETWORK, began=0, now=10)
    assert not health.in_trouble
    assert not failed(health, "d", began=7, now=8).in_trouble
    assert failed(failed(health, "d", began=7, now=8), "e", began=7, now=8).in_trouble


@pytest.mark.parametrize("trouble", SLOW)
def test_slow_down_is_the_upstreams_own_word_at_once_and_the_task_keeps_its_place(trouble):
    health = failed(trouble=trouble)
    assert (health.trouble, health.paused_until) == (trouble.value, at(2))
    assert keeps_place(WELL, call(trouble=trouble))
    assert not keeps_place(WELL, call())


@pytest.mark.parametrize("trouble", SLOW)
def test_slow_down_about_the_same_task_again_is_that_tasks_trouble_if_others_were_answered(trouble):
    health = answered(failed(trouble=trouble, retry_after_s=60), began=62)
    again = call(trouble=trouble, began=63, slowed_at=at(1))
    assert after_failure(health, again, now=at(64), jitter=0) == health
    assert not keeps_place(health, again)
    still_closed = failed(trouble=trouble)
    assert keeps_place(still_closed, call(trouble=trouble, began=3, slowed_at=at(1)))
    assert failed(still_closed, trouble=trouble, began=3, now=4, slowed_at=at(1)).failures == 2


@pytest.mark.parametrize("trouble", SLOW)
def test_a_task_that_is_never_answered_but_by_slow_down_pauses_the_others_once(trouble):
    """As the poller does it: `slowed_at` is when the task last kept its place, until it is answered."""
    health, slowed_at, pauses = WELL, None, 0
    for number in range(20):
        now = 100.0 * number
        health = answered(health, began=now - 50)
        failure = call(trouble=trouble, began=now, slowed_at=slowed_at, retry_after_s=15)
        slowed_at = at(now + 1) if keeps_place(health, failure) else slowed_at
        health = after_failure(health, failure, now=at(now + 1), jitter=0)
        pauses += health.in_trouble
    assert pauses == 1


# A refused key


def test_one_401_is_no_refused_key_and_neither_are_two_about_one_task_while_others_wait():
    health = failed(trouble=Trouble.REFUSED)
    assert not health.in_trouble
    assert not failed(health, trouble=Trouble.REFUSED, began=2, now=3).in_trouble


def test_two_401_about_two_tasks_are_a_refused_key():
    health = failed(failed(trouble=Trouble.REFUSED), "b", Trouble.REFUSED, began=2, now=3)
    assert (health.trouble, health.in_trouble) == ("refused", True)


def test_two_401_about_the_only_task_are_a_refused_key():
    health = failed(failed(trouble=Trouble.REFUSED), trouble=Trouble.REFUSED, began=2, now=3, alone=True)
    assert (health.trouble, health.in_trouble) == ("refused", True)


@pytest.mark.parametrize("other", [trouble for trouble in OTHERS if trouble is not Trouble.REFUSED])
def test_a_401_beside_another_failure_pauses_and_is_not_yet_a_refused_key(other):
    health = failed(failed(trouble=other), "b", Trouble.REFUSED, began=2, now=3)
    assert (health.trouble, health.in_trouble) == ("denied", True)
    assert failed(health, "c", Trouble.REFUSED, began=5, now=6).trouble == "refused"


def test_what_is_denied_on_the_way_is_never_a_refused_key():
    health, _ = down(5, Trouble.DENIED)
    assert health.trouble == "denied"


def test_a_refused_key_is_tried_once_more_soon_and_then_rarely():
    assert down(1, Trouble.REFUSED)[1] == pytest.approx(1)
    assert down(2, Trouble.REFUSED)[1] == pytest.approx(900)
    assert down(9, Trouble.REFUSED)[1] == pytest.approx(900)


def test_a_key_that_seems_refused_late_in_a_pause_is_tried_once_more_soon_too():
    health = failed(down(3, Trouble.NETWORK)[0], "b", Trouble.REFUSED, began=11, now=12)
    health = failed(health, "c", Trouble.REFUSED, began=21, now=22)
    assert (health.trouble, health.paused_until) == ("refused", at(22 + 16))
    health = failed(health, "d", Trouble.REFUSED, began=39, now=40)
    assert health.paused_until == at(40 + 900)


def test_a_restart_puts_a_refused_key_to_the_test_at_once_with_one_probe():
    health = retry_refused_key(down(3, Trouble.REFUSED)[0])
    assert not health.paused(NOW)
    assert calls_allowed(health, limit=8, in_flight=0) == 1
    assert health.trouble == Trouble.REFUSED


@pytest.mark.parametrize("trouble", [trouble for trouble in Trouble if trouble is not Trouble.REFUSED])
def test_a_restart_shortens_no_other_pause(trouble):
    health, _ = down(2, trouble)
    assert retry_refused_key(health) == health


def test_a_refusal_that_a_person_saw_pauses_at_once_and_is_lifted_by_an_answer():
    health = key_refused(WELL, now=NOW)
    assert (health.trouble, health.paused_since, health.paused_until) == ("refused", NOW, at(900))
    assert not answered(health, began=901).in_trouble


# Pauses and probes


def test_a_healthy_upstream_may_be_called_as_often_as_wanted():
    assert calls_allowed(WELL, limit=8, in_flight=5) == 8
    assert calls_allowed(WELL, limit=0, in_flight=0) == 0


def test_after_the_pause_one_probe_decides():
    health, _ = down()
    assert [calls_allowed(health, limit=8, in_flight=flying) for flying in (0, 1, 3)] == [1, 0, 0]
    assert calls_allowed(health, limit=0, in_flight=0) == 0


def test_a_probe_that_is_answered_lifts_the_trouble():
    health = answered(down()[0], began=3)
    assert health == UpstreamHealth(answered_at=at(3.1))
    assert calls_allowed(health, limit=8, in_flight=1) == 8


@pytest.mark.parametrize("trouble", Trouble)
def test_probes_that_fail_double_the_pause_up_to_its_longest_whosever_they_are(trouble):
    if trouble is not Trouble.REFUSED:
        assert [down(times, trouble)[1] for times in (1, 2, 3, 4, 5)] == pytest.approx([1, 2, 4, 8, 16])
        assert down(90, trouble)[1] == pytest.approx(300)
    health, _ = down(2)
    until = (health.paused_until - NOW).total_seconds()
    assert failed(health, health.failed_task, trouble, began=until + 1, now=until + 2).failures == 3


@pytest.mark.parametrize("times", [1, 4, 12])
def test_the_jitter_of_the_pause_stays_within_a_fifth(times):
    plain = down(times)[1]
    assert down(times, jitter=-1)[1] == pytest.approx(plain * 0.8)
    assert down(times, jitter=1)[1] == pytest.approx(plain * 1.2)


def test_calls_under_way_when_the_upstream_failed_count_as_one_failure():
    health = WELL
    for number in range(8):
        health = failed(health, f"t{number}", began=0.1 * number, now=1 + 0.1 * number)
    assert health.failures == 1
    assert health.paused_until == at(2.7)


def test_slow_down_is_not_taken_back_by_the_answer_to_an_earlier_call_and_other_trouble_is():
    limited, broken = failed(trouble=Trouble.LIMITED), down()[0]
    assert answered(limited, began=0.5) == limited
    assert not answered(limited, began=1.5).in_trouble
    assert not answered(broken, began=-0.5, now=2).in_trouble


def test_a_probe_that_a_person_asked_for_makes_the_pause_no_longer():
    health, _ = down(5)
    until = health.paused_until
    for number in range(5):
        began = (health.failed_at - NOW).total_seconds() + 1
        health = failed(health, f"p{number}", Trouble.NETWORK, began=began, now=began + 0.5)
    assert (health.paused_until, health.failures, health.trouble) == (until, 5, "network")


def test_a_pause_tells_since_when_whatever_probes_say_meanwhile():
    assert down(6)[0].paused_since == down(1)[0].paused_since


# Retry-After


@pytest.mark.parametrize("jitter", [-1, 0, 1])
@pytest.mark.parametrize("retry_s", [17.5, 3600])
def test_retry_after_is_never_shortened_by_jitter_or_by_the_longest_pause(jitter, retry_s):
    health = failed(trouble=Trouble.LIMITED, jitter=jitter, retry_after_s=retry_s)
    assert health.paused_until == at(1 + retry_s)


@pytest.mark.parametrize("trouble", OTHERS)
@pytest.mark.parametrize("retry_s", [1.5, 299, 3600])
def test_retry_after_beside_any_other_trouble_counts_for_nothing(trouble, retry_s):
    for times in (1, 2, 5, 12):
        assert down(times, trouble, retry_after_s=retry_s)[1] == down(times, trouble)[1]


@pytest.mark.parametrize("retry_s", [None, 0, -5, 0.25])
def test_a_small_retry_after_does_not_make_the_pause_shorter(retry_s):
    assert failed(trouble=Trouble.LIMITED, retry_after_s=retry_s).paused_until == at(2)


def test_retry_after_of_one_incident_is_the_longest_that_was_asked_for():
    health = failed(trouble=Trouble.LIMITED, retry_after_s=60)
    assert failed(health, "b", Trouble.LIMITED, began=0.5, now=3).paused_until == at(61)
    health = failed(trouble=Trouble.LIMITED)
    later = failed(health, "b", Trouble.LIMITED, began=0.5, now=1.5, retry_after_s=60)
    assert later.paused_until == at(61.5)


ODD = [
    "-5",
    "1e9",
    "inf",
    "nan",
    "",
    " ",
    "soon",
    "9" * 400,
    "9" * 5000,
    "12.5",
    "1763966000000",
    "-" + "9" * 400,
]
DATES = ["Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Sun, 06 Nov 2037 08:49:37 -0000"]


@pytest.mark.parametrize("trouble", Trouble)
def test_no_header_pauses_for_longer_than_an_hour(trouble):
    headers = [*ODD, *DATES, "Sun, 06 Nov 99999 08:49:37 GMT", "60", None]
    for header, jitter, times in product(headers, (-1, 1), (1, 30)):
        _, pause_s = down(times, trouble, retry_after_s=retry_after_s(header, NOW), jitter=jitter)
        assert 0 < pause_s <= 3600, header


def test_a_pause_that_was_written_down_by_another_clock_is_an_hour_at_most():
    health = replace(down()[0], paused_until=at(30 * 86400))
    assert limit_pause(health, now=NOW).paused_until == at(3600)
    assert limit_pause(down()[0], now=NOW) == down()[0]
    assert limit_pause(WELL, now=NOW) == WELL
