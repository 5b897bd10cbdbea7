"""A core of its own for each worker: threads that pass Python's lock between cores cost a third of its time."""

import contextlib
import os
from collections import Counter
from collections.abc import Collection, Iterable


def usable_cores() -> Collection[int]:
    """The cores that this process may use; none where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()


def own_core(usable: Collection[int], taken: Iterable[int | None], workers: int) -> int | None:
    """The core for one more of so many workers, where others have `taken` theirs.

    None unless each core gets as many of them, on this server and so on several servers of one machine: a worker that
    is bound to a busy core is kept from an idle one.
    """
    if not usable or workers % len(usable):
        return None
    used = Counter(taken)
    return min(sorted(usable), key=lambda core: used[core])


def stay_on(core: int) -> None:
    """Bind this thread, and those that it starts from now on. A system that forbids it keeps them free."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {core})
