"""Readers that wait for a task to settle: only so many at a time, and none beyond the end of the process."""

import threading


class LongPollSlots:
    """Slots for waiting readers: fewer than there are threads, so that a callback always finds a free one."""

    def __init__(self, slots: int) -> None:
        self._slots = threading.BoundedSemaphore(slots) if slots else None
        self._closed = threading.Event()

    def acquire(self) -> bool:
        """Take a slot; False if none is free."""
        return self._slots is not None and self._slots.acquire(blocking=False)

    def wait(self, seconds: float) -> bool:
        """Wait; False once the slots are closed."""
        return not self._closed.wait(seconds)

    def release(self) -> None:
        """Give the slot back."""
        if self._slots is not None:
            self._slots.release()

    def close(self) -> None:
        """End all waiting: a process that stops must not wait for its readers."""
        self._closed.set()
