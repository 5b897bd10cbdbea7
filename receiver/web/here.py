"""From a request to what its process works with."""

from flask import current_app

from receiver.runtime import Runtime


def runtime_here() -> Runtime:
    runtime: Runtime = current_app.extensions["receiver"]
    return runtime
