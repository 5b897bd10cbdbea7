"""How often somebody may try a password."""

from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.core.login_throttle import (
    ALL_LOCKED_AFTER,
    LOCKED,
    LOCKED_AFTER,
    MAX_DAILY_LOCKED,
    MAX_DAILY_SHARED,
    RESET_AFTER,
    TRUSTED_FOR,
    Lockout,
    LoginAttempts,
    begin_attempt,
    record_failure,
    record_global_failure,
    record_success,
    undo_failure,
    wait_s,
)

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOBODY = LoginAttempts()
LOCKED_OUT = LoginAttempts(failures=LOCKED_AFTER, failed_at=START)
ALL_LOCKED = LoginAttempts(failures=ALL_LOCKED_AFTER, failed_at=START)


def at(seconds):
    return START + timedelta(seconds=seconds)


def guess(mine, everybody, now):
    """A wrong password, as soon as the network may try; when that was, and what is known then."""
    now += timedelta(seconds=wait_s(mine, everybody, now=now))
    return now, record_failure(mine, now=now), record_global_failure(everybody, now=now)


def test_each_failure_makes_the_wait_longer_until_the_network_is_locked_out():
    attempts, waits = NOBODY, []
    for _ in range(LOCKED_AFTER + 1):
        attempts = record_failure(attempts, now=START)
        waits.append(wait_s(attempts, NOBODY, now=START))
    assert waits == [0, 0, 0, 2, 4, 8, 16, 32, 64, 900, 900]


def test_the_wait_passes_with_time_and_ends_to_the_second():
    waits = [wait_s(LOCKED_OUT, NOBODY, now=at(passed)) for passed in (0, 300, 899.5, 900, 5000)]
    assert waits == [900, 600, 0.5, 0, 0]


def test_after_a_lockout_one_more_failure_locks_out_again():
    now, attempts, _ = guess(LOCKED_OUT, NOBODY, START)
    assert (now, wait_s(attempts, NOBODY, now=now)) == (at(900), 900)


def test_failures_are_forgotten_an_hour_after_the_last_and_not_before():
    almost = START + RESET_AFTER - timedelta(seconds=1)
    assert record_failure(LOCKED_OUT, now=almost).failures == LOCKED_AFTER + 1
    assert record_failure(LOCKED_OUT, now=START + RESET_AFTER).failures == 1


def test_the_right_password_forgives_what_went_before():
    attempts = record_success(LOCKED_OUT, now=START)
    assert wait_s(attempts, NOBODY, now=START) == 0
    assert record_failure(attempts, now=at(1)).failures == 1
    assert attempts.trusted(at(1))


def test_failing_keeps_a_network_trusted_until_its_time_is_over():
    attempts = record_failure(record_success(NOBODY, now=START), now=at(5))
    assert attempts.trusted(START + TRUSTED_FOR - timedelta(seconds=1))
    assert not attempts.trusted(START + TRUSTED_FOR)


# All together


def test_whoever_guesses_from_many_networks_is_slowed_down_after_a_hundred_tries():
    everybody, now, tried = NOBODY, START, 0
    while not wait_s(NOBODY, everybody, now=now):
        now, _, everybody = guess(NOBODY, everybody, now)
        tried += 1
    assert (tried, wait_s(NOBODY, everybody, now=now)) == (ALL_LOCKED_AFTER, 20)


def test_a_strangers_wait_begins_when_they_ask_and_asking_again_does_not_prolong_it():
    mine, waits = NOBODY, []
    for second in (0, 5, 19, 20):
        mine = begin_attempt(mine, ALL_LOCKED, now=at(second))
        waits.append(wait_s(mine, ALL_LOCKED, now=at(second)))
    assert waits == [20, 15, 1, 0]


def test_each_try_of_a_stranger_in_a_lockout_doubles_the_wait_up_to_its_length():
    mine, waits = begin_attempt(NOBODY, ALL_LOCKED, now=START), []
    for _ in range(12):
        mine = record_failure(mine, now=START)
        waits.append(wait_s(mine, ALL_LOCKED, now=START))
    assert waits == [40, 80, 160, 320, 640, *[900] * 7]


def test_a_stranger_with_the_right_password_is_in_after_the_short_wait_however_long_others_go_on_guessing():
    everybody, mine, now = ALL_LOCKED, NOBODY, START
    for second in range(3600):
        everybody = record_global_failure(everybody, now=at(second))
        mine, now = begin_attempt(mine, everybody, now=at(second)), at(second)
        if not wait_s(mine, everybody, now=now):
            break
    assert now == at(20)


def test_whoever_is_known_or_may_try_is_not_made_to_wait_by_asking():
    known = LoginAttempts(succeeded_at=START)
    assert begin_attempt(known, ALL_LOCKED, now=at(1)) == known
    assert begin_attempt(NOBODY, NOBODY, now=START) == NOBODY
    waiting = LoginAttempts(failures=4, failed_at=START)
    assert begin_attempt(waiting, ALL_LOCKED, now=at(1)) == waiting


def test_a_network_that_signed_in_before_may_try_while_all_others_are_locked_out():
    known = LoginAttempts(succeeded_at=START - timedelta(days=29))
    assert wait_s(known, ALL_LOCKED, now=START) == 0
    assert wait_s(LoginAttempts(succeeded_at=START - TRUSTED_FOR), ALL_LOCKED, now=START) == 20


def test_a_trusted_network_is_still_locked_out_for_its_own_failures():
    mine = LoginAttempts(failures=LOCKED_AFTER, failed_at=at(-300), succeeded_at=at(-600))
    assert wait_s(mine, ALL_LOCKED, now=START) == 600


def test_of_two_waits_the_longer_one_counts():
    assert wait_s(LOCKED_OUT, LoginAttempts(failures=100, failed_at=at(-300)), now=START) == 900
    assert wait_s(LoginAttempts(failures=4, failed_at=at(-20)), ALL_LOCKED, now=START) == 300


def test_a_lock_of_all_that_is_over_has_paid_for_the_failures_before_it():
    assert record_global_failure(ALL_LOCKED, now=at(899)).failures == ALL_LOCKED_AFTER + 1
    assert record_global_failure(ALL_LOCKED, now=at(900)).failures == 1


def test_signing_in_costs_the_others_nothing():
    everybody = LoginAttempts(failures=ALL_LOCKED_AFTER - 1, failed_at=START)
    for second in range(200):
        everybody = undo_failure(record_global_failure(everybody, now=at(second)))
    assert wait_s(NOBODY, everybody, now=at(200)) == 0
    assert undo_failure(NOBODY).failures == 0


# What the owner is shown


def test_a_lockout_begins_once_with_the_failure_that_makes_it():
    lockout, everybody, announced = Lockout(), NOBODY, []
    for second in range(300):
        everybody = record_global_failure(everybody, now=at(second))
        lockout = lockout.updated(everybody, now=at(second))
        if lockout.begins(everybody):
            announced.append(everybody.failures)
            lockout = Lockout(networks=7, began_at=at(second))
    assert announced == [ALL_LOCKED_AFTER]
    assert lockout == Lockout(networks=7, began_at=at(99))


def test_a_lockout_is_over_a_while_after_the_last_failure_and_the_next_one_is_shown_again():
    lasting = Lockout(networks=7, began_at=START)
    assert lasting.updated(ALL_LOCKED, now=at(899)) == lasting
    over = lasting.updated(ALL_LOCKED, now=at(5000))
    assert over.ended_at == at(900)
    assert over.updated(ALL_LOCKED, now=at(9000)) == over
    assert lasting.updated(record_global_failure(ALL_LOCKED, now=at(950)), now=at(950)).ended_at == at(950)
    assert over.begins(ALL_LOCKED)


# A patient guesser, and odd clocks


def guesses_a_day(networks, *, pauses):
    """Wrong passwords in a day from so many networks, each of which tries as soon as it may, or after its pauses."""
    everybody, tried, end = NOBODY, 0, START + timedelta(days=1)
    known = dict.fromkeys(range(networks), NOBODY)
    queue = [(START, network, 0) for network in range(networks)]
    while queue:
        now, network, place = heappop(queue)
        if now >= end:
            break
        known[network] = begin_attempt(known[network], everybody, now=now)
        left = wait_s(known[network], everybody, now=now)
        if left:
            heappush(queue, (now + timedelta(seconds=left), network, place))
            continue
        tried += 1
        known[network] = record_failure(known[network], now=now)
        everybody = record_global_failure(everybody, now=now)
        rest = pauses[place % len(pauses)]
        heappush(queue, (now + timedelta(seconds=rest), network, place + 1))
    return tried


HOUR = RESET_AFTER.total_seconds()
PATIENCE = [
    [0],
    *([0] * before + [HOUR] for before in range(10)),
    [60],
    [300],
    [900],
    [901],
    [1800],
    [0, 950],
]


@pytest.mark.slow
@pytest.mark.parametrize("pauses", PATIENCE, ids=str)
@pytest.mark.parametrize("networks", [1, 25])
def test_a_days_guesses_are_bounded_for_any_number_of_networks(networks, pauses):
    tried = guesses_a_day(networks, pauses=pauses)
    assert tried <= MAX_DAILY_SHARED + MAX_DAILY_LOCKED * networks


@pytest.mark.slow
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.integers(1, 25), st.lists(st.sampled_from([0, 0, 30, 120, 899, 901, HOUR]), min_size=1, max_size=12)
)
def test_no_mixture_of_pauses_gives_more(networks, pauses):
    assert guesses_a_day(networks, pauses=pauses) <= MAX_DAILY_SHARED + MAX_DAILY_LOCKED * networks


@pytest.mark.slow
def test_of_a_hundred_networks_none_gets_more_than_its_share():
    assert guesses_a_day(100, pauses=[0]) <= MAX_DAILY_SHARED + MAX_DAILY_LOCKED * 100


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 4000), min_size=1, max_size=40))
def test_no_pattern_of_guessing_gives_more_than_ten_tries_a_network_in_any_quarter_of_an_hour(pauses):
    mine, everybody, now, tried = NOBODY, NOBODY, START, []
    for pause in pauses:
        now, mine, everybody = guess(mine, everybody, now + timedelta(seconds=pause))
        tried.append(now)
    for first in tried:
        assert sum(first <= moment < first + LOCKED for moment in tried) <= LOCKED_AFTER


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(-(10**9), 10**9), st.booleans())
def test_nobody_ever_waits_longer_than_a_lockout_whatever_the_clock_does(mine, others, skew, known):
    attempts = LoginAttempts(failures=mine, failed_at=at(skew), succeeded_at=START if known else None)
    assert (
        0
        <= wait_s(attempts, LoginAttempts(failures=others, failed_at=at(skew)), now=START)
        <= LOCKED.total_seconds()
    )


def test_a_clock_set_back_by_a_year_locks_nobody_out_for_a_year():
    assert wait_s(LoginAttempts(failures=50, failed_at=START + timedelta(days=365)), NOBODY, now=START) <= 900


# Requests read their clock, then queue for the database: the later one may be counted first.
JUST_AFTER = timedelta(milliseconds=5)


@pytest.mark.parametrize("count", [record_failure, record_global_failure])
def test_failures_counted_in_another_order_than_they_came_in_are_all_counted(count):
    assert count(LoginAttempts(failures=9, failed_at=START + JUST_AFTER), now=START).failures == 10


def test_a_request_that_waited_for_another_to_be_counted_does_not_slip_through_the_lockout():
    assert wait_s(LoginAttempts(failures=10, failed_at=START + JUST_AFTER), NOBODY, now=START) > 899
    assert wait_s(NOBODY, LoginAttempts(failures=100, failed_at=START + JUST_AFTER), now=START) == 20
