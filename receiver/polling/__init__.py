"""The poller: who is due, ask, hand to intake."""

from receiver.polling.poller import PassCounts, Poller

__all__ = ["PassCounts", "Poller"]
