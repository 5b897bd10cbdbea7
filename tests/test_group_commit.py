"""One commit for all who wait: nobody is answered before it is done, and nobody waits without end."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from receiver.group_commit import MAX_BATCH_SIZE, GroupCommit
from receiver.store.database import StoreUnavailableError
from tests.conftest import eventually


class Store:
    """A store whose first transaction lasts until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go_on = threading.Event()

    def accept(self, items: Sequence[str], _: object) -> Sequence[str]:
        self.batches.append(list(items))
        if len(self.batches) == 1:
            assert self.go_on.wait(20)
        return [f"stored {item}" for item in items]


def test_all_who_wait_meanwhile_share_the_next_transaction() -> None:
    store = Store()
    group = GroupCommit(store.accept)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(group.submit, "first")
        eventually(lambda: store.batches)
        others = [pool.submit(group.submit, name) for name in "abc"]
        eventually(lambda: len(group._waiting) == 3)
        store.go_on.set()
        assert [each.result(5) for each in (first, *others)] == [f"stored {n}" for n in ("first", *"abc")]
    assert [sorted(batch) for batch in store.batches] == [["first"], ["a", "b", "c"]]


def test_who_comes_before_the_transaction_begins_can_share_it() -> None:
    begun, go_on = threading.Event(), threading.Event()
    batches: list[Sequence[str]] = []

    def accept(items: Sequence[str], take_more: Callable[[], Sequence[str]]) -> Sequence[str]:
        begun.set()
        assert go_on.wait(20)
        batches.append([*items, *take_more(), *take_more()])
        return [f"stored {item}" for item in batches[-1]]

    group = GroupCommit(accept)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(group.submit, "first")
        assert begun.wait(20)
        others = [pool.submit(group.submit, name) for name in "abc"]
        eventually(lambda: len(group._waiting) == 3)
        go_on.set()
        assert [each.result(5) for each in (first, *others)] == [f"stored {n}" for n in ("first", *"abc")]
    assert [sorted(batch) for batch in batches] == [["a", "b", "c", "first"]]
    assert group.submit("later") == "stored later"


def test_where_a_batch_fails_that_grew_each_item_is_tried_again_and_only_once() -> None:
    begun, go_on = threading.Event(), threading.Event()
    batches: list[Sequence[str]] = []

    def accept(items: Sequence[str], take_more: Callable[[], Sequence[str]]) -> Sequence[str]:
        begun.set()
        assert go_on.wait(20)
        batches.append([*items, *take_more()])
        if "b" in batches[-1]:
            raise ZeroDivisionError
        return [f"stored {item}" for item in batches[-1]]

    group = GroupCommit(accept)
    with ThreadPoolExecutor() as pool:
        made = {"first": pool.submit(group.submit, "first")}
        assert begun.wait(20)
        made |= {name: pool.submit(group.submit, name) for name in "abc"}
        eventually(lambda: len(group._waiting) == 3)
        go_on.set()
        assert isinstance(made.pop("b").exception(5), ZeroDivisionError)
        assert {name: each.result(5) for name, each in made.items()} == {
            name: f"stored {name}" for name in ("first", "a", "c")
        }
    assert len(batches[0]) == 4
    assert sorted(item for batch in batches if "b" not in batch for item in batch) == ["a", "c", "first"]


def test_a_batch_stays_within_its_size() -> None:
    begun, go_on = threading.Event(), threading.Event()
    sizes: list[int] = []

    def accept(items: Sequence[int], take_more: Callable[[], Sequence[int]]) -> Sequence[int]:
        begun.set()
        assert go_on.wait(20)
        batch = [*items, *take_more(), *take_more()]
        sizes.append(len(batch))
        return batch

    group = GroupCommit(accept)
    with ThreadPoolExecutor(MAX_BATCH_SIZE + 10) as pool:
        made = [pool.submit(group.submit, number) for number in range(MAX_BATCH_SIZE + 10)]
        assert begun.wait(20)
        eventually(lambda: len(group._waiting) == MAX_BATCH_SIZE + 9)
        go_on.set()
        assert [each.result(5) for each in made] == list(range(MAX_BATCH_SIZE + 10))
    assert sizes[0] == MAX_BATCH_SIZE
    assert sum(sizes) == MAX_BATCH_SIZE + 10


def test_who_waits_for_a_database_that_hangs_is_answered_in_time_and_leaves_nothing_behind() -> None:
    store = Store()
    group = GroupCommit(store.accept, timeout_s=0.1)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(group.submit, "first")
        eventually(lambda: store.batches)
        with pytest.raises(StoreUnavailableError):
            group.submit("second")
        assert not first.done()
        store.go_on.set()
        assert first.result(5) == "stored first"
        assert group.submit("third") == "stored third"
    assert store.batches == [["first"], ["third"]]


def test_an_item_that_cannot_be_stored_is_found_in_few_transactions_and_fails_alone() -> None:
    batches: list[Sequence[int]] = []
    holding = threading.Event()

    def accept(items: Sequence[int], _: object) -> Sequence[str]:
        batches.append(items)
        if len(batches) == 1:
            assert holding.wait(20)
        if 13 in items:
            raise ZeroDivisionError
        return [f"stored {item}" for item in items]

    group = GroupCommit(accept)
    with ThreadPoolExecutor(65) as pool:
        first = pool.submit(group.submit, 100)
        eventually(lambda: batches)
        others = {number: pool.submit(group.submit, number) for number in range(64)}
        eventually(lambda: len(group._waiting) == 64)
        holding.set()
        assert first.result(5) == "stored 100"
        outcomes = {number: other.exception(5) or other.result() for number, other in others.items()}
    assert isinstance(outcomes.pop(13), ZeroDivisionError)
    assert outcomes == {number: f"stored {number}" for number in range(64) if number != 13}
    assert len(batches) <= 2 + 2 * 6, "halved again and again, not one by one"


def test_a_database_that_is_away_is_not_asked_for_each_item() -> None:
    tried: list[int] = []

    def accept(items: Sequence[int], _: object) -> Sequence[str]:
        tried.append(len(items))
        raise StoreUnavailableError("away")

    with pytest.raises(StoreUnavailableError):
        GroupCommit(accept).submit(1)
    assert tried == [1]


def test_where_a_leader_is_interrupted_the_next_one_serves_all_who_wait() -> None:
    begun, go_on = threading.Event(), threading.Event()
    batches: list[Sequence[str]] = []

    def accept(items: Sequence[str], _: object) -> Sequence[str]:
        batches.append(items)
        if len(batches) == 1:
            begun.set()
            assert go_on.wait(20)
            raise SystemExit
        return [f"stored {item}" for item in items]

    group = GroupCommit(accept)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(group.submit, "first")
        assert begun.wait(20)
        others = [pool.submit(group.submit, name) for name in "abc"]
        eventually(lambda: len(group._waiting) == 3)
        go_on.set()
        assert [each.result(5) for each in others] == [f"stored {name}" for name in "abc"]
        assert isinstance(first.exception(5), SystemExit)
    assert [sorted(batch) for batch in batches] == [["first"], ["a", "b", "c"]]
    assert group.submit("later") == "stored later"


def test_of_many_callers_each_gets_the_outcome_of_its_own_item_which_is_stored_once() -> None:
    stored: list[int] = []
    alone = threading.Lock()

    def accept(items: Sequence[int], _: object) -> Sequence[int]:
        assert alone.acquire(blocking=False), "one transaction at a time"
        stored.extend(items)
        alone.release()
        return [-item for item in items]

    group = GroupCommit(accept)
    with ThreadPoolExecutor(32) as pool:
        outcomes = list(pool.map(group.submit, range(2000)))
    assert outcomes == [-item for item in range(2000)]
    assert sorted(stored) == list(range(2000))
    assert not group._waiting
    assert not group._led


def test_whoever_stops_waiting_just_as_it_is_appointed_leads_all_the_same() -> None:
    stored: list[int] = []

    def accept(items: Sequence[int], _: object) -> Sequence[int]:
        time.sleep(0.001)  # about as long as callers wait
        stored.extend(items)
        return [-item for item in items]

    group = GroupCommit(accept, timeout_s=0.001)
    with ThreadPoolExecutor(8) as pool:
        made = {number: pool.submit(group.submit, number) for number in range(3000)}
        errors = {number: each.exception(20) for number, each in made.items()}
    late = {number for number, error in errors.items() if error is not None}
    assert all(isinstance(errors[number], StoreUnavailableError) for number in late)
    assert 0 < len(late) < 3000
    assert made.keys() - late <= set(stored)
    assert len(stored) == len(set(stored))
    assert not group._waiting
    assert not group._led
