"""`POST /callbacks/<token>`: the status is for the upstream's machine, the body for people.

A 4xx or 5xx makes the upstream retry, and then hide the task's real status behind `CALLBACK_EXCEPTION`. So a
callback with the right token that names its task gets a 200 once it is stored, understood or not.
"""

import json
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import ClientDisconnected, MethodNotAllowed
from werkzeug.wrappers import Request, Response

from receiver.clock import utc_now
from receiver.core.payloads import ParseOutcome
from receiver.core.results import DeliveryResult, RefusalReason
from receiver.core.signature import problem_with_signature
from receiver.core.system_state import FAILED
from receiver.intake import Delivery, Result, callback_delivery
from receiver.redaction import redact_query
from receiver.runtime import Runtime
from receiver.web.api_errors import ApiError, describe, to_http
from receiver.web.content_encoding import InflatedTooLargeError, decode
from receiver.web.error_types import ErrorType
from receiver.web.secrets import same_secret
from receiver.web.storage_health import WriteProbe

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PREFIX = "/callbacks/"
READ_TO_REFUSE = 2
TO_SEND = "Send a JSON object, plain or with Content-Encoding gzip or deflate."
REACHED = "This is a callback URL, and it can be reached. It takes POST.\n"

log = logging.getLogger(__name__)


class CallbackRequest(Request):
    endpoint = "callbacks.receive"  # as the metrics name it


def before(application: "WSGIApplication", runtime: Runtime, probe: WriteProbe) -> "WSGIApplication":
    """Take what is below `/callbacks`, in every method: refusals are counted, and nothing is redirected.

    Flask takes the rest. Its routing, hooks and contexts would cost a callback more than all that is done here.
    """

    def call(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not f"{environ['PATH_INFO']}/".startswith(PREFIX):
            return application(environ, start_response)
        try:
            response = _receive(runtime, CallbackRequest(environ))
        except Exception as error:  # noqa: BLE001  whatever it is, the upstream gets a response
            response = to_http(describe(error))
            if response.status_code >= 500:
                runtime.intake.failures.note(FAILED, now=utc_now())
                probe.callback_failed()
        return response(environ, start_response)

    return call


def _receive(runtime: Runtime, request: Request) -> Response:
    _check_address(runtime, request)
    if request.method in ("GET", "HEAD"):
        return Response(REACHED, content_type="text/plain; charset=utf-8")
    if request.method != "POST":
        raise MethodNotAllowed(valid_methods=["GET", "HEAD", "POST"])
    secrets = runtime.settings.callback_tokens
    query = redact_query(request.query_string, secrets)
    body = _read_body(runtime, request)
    delivery = callback_delivery(body, now=utc_now(), secrets=secrets, query=query)
    _check_signature(runtime, request, delivery)
    result = runtime.intake.submit(delivery)
    _refuse_unreadable(delivery)
    text = json.dumps(_response_fields(delivery, result), separators=(",", ":"))
    return Response(f"{text}\n", content_type="application/json")


def _check_address(runtime: Runtime, request: Request) -> None:
    """The token, with or without a slash behind it, and at most one more part, which is not read yet."""
    token, *rest = request.path[len(PREFIX) :].rstrip("/").split("/")
    if len(rest) > 1 or not same_secret(token, runtime.settings.callback_tokens):
        _refuse(runtime, request, RefusalReason.WRONG_TOKEN)
        raise ApiError(
            ErrorType.UNKNOWN_CALLBACK_URL,
            "This is not the callback URL. Its last part must be one of RECEIVER_CALLBACK_TOKENS.",
        )


def _read_body(runtime: Runtime, request: Request) -> bytes:
    """The whole body, whether its length was announced or it comes in chunks."""
    limit, announced = runtime.settings.max_body_bytes, request.content_length
    # Read what is a little too large all the same: a proxy that still sends loses an early response.
    read = READ_TO_REFUSE * limit
    body = b"" if (announced or 0) > read else _read_at_most(runtime, request, read)
    if max(len(body), announced or 0) > limit:
        raise _too_large(runtime, request)
    try:
        return decode(body, request.headers.get("Content-Encoding", ""), limit=limit)
    except InflatedTooLargeError:
        raise _too_large(runtime, request) from None


def _read_at_most(runtime: Runtime, request: Request, size: int) -> bytes:
    if request.content_length is None and not request.environ.get("wsgi.input_terminated"):
        return b""  # neither a length nor chunks: there is no body
    size = min(size, request.content_length or size)
    try:
        return bytes(request.environ["wsgi.input"].read(size))
    except ClientDisconnected as error:
        raise _cut_off(runtime, request) from error


def _too_large(runtime: Runtime, request: Request) -> ApiError:
    _refuse(runtime, request, RefusalReason.TOO_LARGE)
    limit = runtime.settings.max_body_bytes
    return ApiError(ErrorType.BODY_TOO_LARGE, f"The body has more than {limit} bytes. Nothing is stored.")


def _cut_off(runtime: Runtime, request: Request) -> ApiError:
    _refuse(runtime, request, RefusalReason.CUT_OFF)
    return ApiError(ErrorType.BODY_INCOMPLETE, ErrorType.BODY_INCOMPLETE.detail)


def _check_signature(runtime: Runtime, request: Request, delivery: Delivery) -> None:
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
        _refuse(runtime, request, RefusalReason.BAD_SIGNATURE)
        raise ApiError(ErrorType.SIGNATURE_REFUSED, wrong)


def _refuse(runtime: Runtime, request: Request, reason: RefusalReason) -> None:
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
