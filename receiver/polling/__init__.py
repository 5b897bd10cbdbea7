"""Polling record-info: which tasks are due, the calls, and what follows from them."""

from receiver.polling.poller import PassCounts, Poller

__all__ = ["PassCounts", "Poller"]
