"""`POST /callbacks/<token>`: the status is for the upstream's machine, the body for people.

A 4xx or 5xx makes the upstream retry, and then hide the task's real status behind `CALLBACK_EXCEPTION`. So a
callback with the right token that names its task gets a 200 once it is stored, understood or not.
"""

import logging
from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.exceptions import ClientDisconnected, MethodNotAllowed
from werkzeug.routing import Rule

from receiver.clock import utc_now
from receiver.core.payloads import ParseOutcome
from receiver.core.results import DeliveryResult, RefusalReason
from receiver.core.signature import problem_with_signature
from receiver.core.system_state import FAILED
from receiver.intake import Delivery, Result, callback_delivery
from receiver.redaction import redact_query
from receiver.runtime import Runtime
from receiver.web.api_errors import ApiError
from receiver.web.content_encoding import InflatedTooLargeError, decode
from receiver.web.current import current_runtime
from receiver.web.error_types import ErrorType
from receiver.web.secrets import same_secret
from receiver.web.storage_health import write_probe

READ_TO_REFUSE = 2
TO_SEND = "Send a JSON object, plain or with Content-Encoding gzip or deflate."
REACHED = "This is a callback URL, and it can be reached. It takes POST.\n"

log = logging.getLogger(__name__)
blueprint = Blueprint("callbacks", __name__)


@blueprint.record
def _add_addresses(state: BlueprintSetupState) -> None:
    """Route every method and every path below `/callbacks` here: refusals are counted, nothing is redirected."""
    for path in ("/callbacks", "/callbacks/<path:address>"):
        state.app.url_map.add(Rule(path, endpoint="callbacks.receive", strict_slashes=False))
    state.app.view_functions["callbacks.receive"] = receive


@blueprint.after_request
def _count_failure(response: Response) -> Response:
    if response.status_code >= 500:
        current_runtime().intake.failures.note(FAILED, now=utc_now())
        write_probe().callback_failed()
    return response


def receive(address: str = "") -> Response:
    runtime = current_runtime()
    _check_address(runtime, address)
    if request.method in ("GET", "HEAD"):
        return Response(REACHED, content_type="text/plain; charset=utf-8")
    if request.method != "POST":
        raise MethodNotAllowed(valid_methods=["GET", "HEAD", "POST"])
    secrets = runtime.settings.callback_tokens
    query = redact_query(request.query_string, secrets)
    delivery = callback_delivery(_read_body(runtime), now=utc_now(), secrets=secrets, query=query)
    _check_signature(runtime, delivery)
    result = runtime.intake.submit(delivery)
    _refuse_unreadable(delivery)
    return jsonify(_response_fields(delivery, result))


def _check_address(runtime: Runtime, address: str) -> None:
    """The token, with or without a slash behind it, and at most one more part, which is not read yet."""
    token, *rest = address.rstrip("/").split("/")
    if len(rest) > 1 or not same_secret(token, runtime.settings.callback_tokens):
        _refuse(runtime, RefusalReason.WRONG_TOKEN)
        raise ApiError(
            ErrorType.UNKNOWN_CALLBACK_URL,
            "This is not the callback URL. Its last part must be one of RECEIVER_CALLBACK_TOKENS.",
        )


def _read_body(runtime: Runtime) -> bytes:
    """The whole body, whether its length was announced or it comes in chunks."""
    limit, announced = runtime.settings.max_body_bytes, request.content_length
    # Read what is a little too large all the same: a proxy that still sends loses an early response.
    read = READ_TO_REFUSE * limit
    body = b"" if (announced or 0) > read else _read_at_most(runtime, read)
    if max(len(body), announced or 0) > limit:
        raise _too_large(runtime)
    try:
        return decode(body, request.headers.get("Content-Encoding", ""), limit=limit)
    except InflatedTooLargeError:
        raise _too_large(runtime) from None


def _read_at_most(runtime: Runtime, size: int) -> bytes:
    if request.content_length is None and not request.environ.get("wsgi.input_terminated"):
        return b""  # neither a length nor chunks: there is no body
    size = min(size, request.content_length or size)
    try:
        return bytes(request.environ["wsgi.input"].read(size))
    except ClientDisconnected as error:
        raise _cut_off(runtime) from error


def _too_large(runtime: Runtime) -> ApiError:
    _refuse(runtime, RefusalReason.TOO_LARGE)
    limit = runtime.settings.max_body_bytes
    return ApiError(ErrorType.BODY_TOO_LARGE, f"The body has more than {limit} bytes. Nothing is stored.")


def _cut_off(runtime: Runtime) -> ApiError:
    _refuse(runtime, RefusalReason.CUT_OFF)
    return ApiError(ErrorType.BODY_INCOMPLETE, ErrorType.BODY_INCOMPLETE.detail)


def _check_signature(runtime: Runtime, delivery: Delivery) -> None:
    settings = runtime.settings
    if not settings.signing_key:
        return
    wrong = problem_with_signature(
        settings.signing_key,
        task_id=delivery.parsed.task_id or "",
        timestamp=request.headers.get("X-Webhook-Timestamp", ""),
        signature=request.headers.get("X-Webhook-Signature", ""),
        now=delivery.received_at,
        tolerance_s=settings.signature_tolerance,
    )
    if wrong:
        _refuse(runtime, RefusalReason.BAD_SIGNATURE)
        raise ApiError(ErrorType.SIGNATURE_REFUSED, wrong)


def _refuse(runtime: Runtime, reason: RefusalReason) -> None:
    runtime.intake.count_refusal(reason, now=utc_now())
    log.warning("callback refused", extra={"fields": {"reason": reason, "from": request.remote_addr}})


def _refuse_unreadable(delivery: Delivery) -> None:
    kind, errors = delivery.parsed.kind, delivery.parsed.errors
    if kind is ParseOutcome.NOT_JSON:
        raise ApiError(ErrorType.NOT_JSON, f"Stored in quarantine. {TO_SEND}", errors=errors)
    if kind is ParseOutcome.NO_TASK_ID:
        detail = "Stored in quarantine. A callback must be a JSON object that names its task."
        raise ApiError(ErrorType.NO_TASK_ID, detail, errors=errors)


def _response_fields(delivery: Delivery, result: Result) -> dict[str, Any]:
    fields: dict[str, Any] = {"result": result.result, "taskId": delivery.parsed.task_id}
    if result.outcome:
        fields["status"] = result.status
        fields["outcome"] = result.outcome.value
    if delivery.parsed.product:
        fields["product"] = delivery.parsed.product
    if result.errors and result.result in (DeliveryResult.QUARANTINED, DeliveryResult.ACCEPTED):
        fields["errors"] = result.errors
    return fields
