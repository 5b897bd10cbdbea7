"""From a request to what its process works with."""

from flask import current_app

from receiver.runtime import Runtime


def current_runtime() -> Runtime:
    runtime: Runtime = current_app.extensions["receiver"]
    return runtime
