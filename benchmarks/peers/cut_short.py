"""The receiver with a callback's view that answers after a part of the work, and stores nothing.

gunicorn serves `cut_short:app("parses")`. What each part adds to the one before shows where a callback's time goes.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Flask, Response, jsonify, request

from receiver.app import create_app
from receiver.clock import utc_now
from receiver.group_commit import GroupCommit
from receiver.intake import Delivery, callback_delivery
from receiver.intake.batch import Batch
from receiver.runtime import Runtime
from receiver.settings import load_settings

ANSWER = {"result": "accepted", "taskId": "0" * 32, "status": "SUCCESS", "outcome": "in_progress"}


def app(after: str) -> Flask:
    """The application whose view ends after `reads`, `parses`, `groups` or `prepares`."""
    application = create_app(load_settings(os.environ))
    work = _works(application.extensions["receiver"])[after]

    def view(**_: Any) -> Response:
        work(request.get_data())
        return jsonify(ANSWER)

    application.view_functions["callbacks.receive"] = view
    return application


def _works(runtime: Runtime) -> Mapping[str, Callable[[bytes], object]]:
    secrets, rules = runtime.settings.callback_tokens, runtime.settings.rules

    def parse(body: bytes) -> Delivery:
        return callback_delivery(body, now=utc_now(), secrets=secrets)

    def prepare(deliveries: Sequence[Delivery], _: object) -> Sequence[Delivery]:
        with runtime.database.read() as connection:
            Batch(rules=rules, jitter=lambda: 0.0).with_prepared(connection, deliveries)
        return deliveries

    group = GroupCommit[Delivery, Delivery](lambda deliveries, _: deliveries)
    preparing = GroupCommit[Delivery, Delivery](prepare)
    return {
        "reads": len,
        "parses": parse,
        "groups": lambda body: group.submit(parse(body)),
        "prepares": lambda body: preparing.submit(parse(body)),
    }
