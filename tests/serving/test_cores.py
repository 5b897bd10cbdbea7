"""Which core a worker gets: its own, or none where that would keep it from an idle one."""

import pytest

from receiver.serving.cores import own_core


def cores_of(workers: int, usable: set[int]) -> list[int | None]:
    """Of workers that are born one after another."""
    taken: list[int | None] = []
    for _ in range(workers):
        taken.append(own_core(usable, taken, workers))
    return taken


@pytest.mark.parametrize(
    ("workers", "usable", "cores"),
    [
        (2, {0, 1}, [0, 1]),
        (4, {3, 7}, [3, 7, 3, 7]),
        (1, {5}, [5]),
        (2, {0, 1, 2, 3}, [None, None]),
        (3, {0, 1}, [None, None, None]),
        (2, set(), [None, None]),
    ],
)
def test_each_core_gets_as_many_workers_or_none_is_bound(
    workers: int, usable: set[int], cores: list[int | None]
) -> None:
    assert cores_of(workers, usable) == cores


@pytest.mark.parametrize("ended", [0, 1])
def test_whoever_follows_a_worker_gets_its_core(ended: int) -> None:
    others = cores_of(2, {0, 1})
    core = others.pop(ended)
    assert own_core({0, 1}, others, 2) == core


def test_at_a_reload_the_new_workers_spread_like_the_old_ones() -> None:
    taken = cores_of(4, {0, 1})
    for _ in range(4):
        taken.append(own_core({0, 1}, taken, 4))
    assert sorted(core for core in taken[4:] if core is not None) == [0, 0, 1, 1]


def test_workers_that_were_free_before_do_not_count() -> None:
    assert own_core({0, 1}, [None, None, None, 0], 2) == 1
