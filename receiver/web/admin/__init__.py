"""The admin page."""

from flask import Flask


def register(app: Flask) -> None:
    """Put the page onto the application."""
