"""What the receiver calls itself where it calls others."""

from importlib.metadata import version

USER_AGENT = f"receiver/{version('receiver')}"
