"""Every endpoint but the admin page's: what it takes and what it responds with.

Requests are validated by this table, and `/openapi.json` and `/docs` are made of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from marshmallow import Schema

from receiver.web import api_input, api_output
from receiver.web.error_types import ErrorType

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A response: its body is described by a schema, is text without one, or is not there."""

    description: str
    schema: type[Schema] | None = None
    media_type: str | None = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path. `name` is Flask's, `id` the document's.

    With `free_body` it reads any JSON object. It is `secured` if it needs an API token.
    """

    id: str
    name: str
    method: str
    path: str
    summary: str
    description: str = ""
    query: Schema = api_input.NOTHING
    body: Schema | None = None
    free_body: bool = False
    responses: Mapping[int, Content]
    errors: tuple[ErrorType, ...] = ()

    @property
    def secured(self) -> bool:
        return ErrorType.UNAUTHORIZED in self.errors


API_ERRORS = (
    ErrorType.NOT_JSON,
    ErrorType.BODY_INCOMPLETE,
    ErrorType.UNAUTHORIZED,
    ErrorType.BODY_TOO_LARGE,
    ErrorType.UNSUPPORTED_MEDIA_TYPE,
    ErrorType.INVALID_REQUEST,
    ErrorType.DATABASE_UNAVAILABLE,
)
TASK_ERRORS = (*API_ERRORS, ErrorType.UNKNOWN_TASK)
CALLBACK_ERRORS = (
    ErrorType.NOT_JSON,
    ErrorType.BODY_INCOMPLETE,
    ErrorType.SIGNATURE_REFUSED,
    ErrorType.UNKNOWN_CALLBACK_URL,
    ErrorType.BODY_TOO_LARGE,
    ErrorType.NO_TASK_ID,
    ErrorType.DATABASE_UNAVAILABLE,
)
TASK = Content(description="The task.", schema=api_output.TaskSchema)
TASKS = Content(description="A page of tasks.", schema=api_output.TaskListSchema)
DELIVERIES = Content(description="A page of deliveries.", schema=api_output.DeliveryListSchema)
TEXT = "text/plain"
LOCATION = {"Location": "The task's path."}
ENDPOINTS = (
    Endpoint(
        id="createTask",
        name="api.create_task",
        method="POST",
        path="/api/tasks",
        summary="Register a task",
        description="Tell the receiver a task id that the upstream gave you. You may repeat it.",
        body=api_input.NEW_TASK,
        responses={
            200: Content(description="The task was known already.", schema=api_output.TaskSchema),
            201: Content(description="The task is new.", schema=api_output.TaskSchema, headers=LOCATION),
        },
        errors=API_ERRORS,
    ),
    Endpoint(
        id="listTasks",
        name="api.list_tasks",
        method="GET",
        path="/api/tasks",
        summary="List tasks",
        description="The newest first; with `changedSince` in order of change, so that you can read on.",
        query=api_input.TASK_PAGE,
        responses={200: TASKS},
        errors=API_ERRORS,
    ),
    Endpoint(
        id="readTask",
        name="api.read_task",
        method="GET",
        path="/api/tasks/{taskId}",
        summary="Read a task, or wait until it settles",
        description="With `wait` the response comes when the task settles or the time is over.",
        query=api_input.WAIT,
        responses={
            200: Content(
                description="The task.",
                schema=api_output.TaskSchema,
                headers={"Retry-After": "Only where too many readers wait: ask again after these seconds."},
            )
        },
        errors=TASK_ERRORS,
    ),
    Endpoint(
        id="changeTask",
        name="api.change_task",
        method="PATCH",
        path="/api/tasks/{taskId}",
        summary="Change or remove a task's label",
        body=api_input.LABEL,
        responses={200: TASK},
        errors=TASK_ERRORS,
    ),
    Endpoint(
        id="deleteTask",
        name="api.remove_task",
        method="DELETE",
        path="/api/tasks/{taskId}",
        summary="Delete a task and its deliveries",
        description="A later callback about it creates the task again, unregistered.",
        responses={204: Content(description="The task is deleted.", media_type=None)},
        errors=TASK_ERRORS,
    ),
    Endpoint(
        id="listDeliveries",
        name="api.list_deliveries",
        method="GET",
        path="/api/tasks/{taskId}/deliveries",
        summary="List a task's deliveries",
        description="Callbacks and responses of record-info, in order of arrival.",
        query=api_input.PAGE,
        responses={200: DELIVERIES},
        errors=TASK_ERRORS,
    ),
    Endpoint(
        id="pollTask",
        name="api.poll_task",
        method="POST",
        path="/api/tasks/{taskId}/poll",
        summary="Poll a task now",
        description="The poller calls record-info for this task before all others.",
        responses={202: Content(description="The task, due now.", schema=api_output.TaskSchema)},
        errors=TASK_ERRORS,
    ),
    Endpoint(
        id="listQuarantine",
        name="api.list_quarantine",
        method="GET",
        path="/api/quarantine",
        summary="List the quarantine",
        description="Deliveries that the receiver could not read, the newest first.",
        query=api_input.PAGE,
        responses={200: DELIVERIES},
        errors=API_ERRORS,
    ),
    Endpoint(
        id="readStats",
        name="api.read_stats",
        method="GET",
        path="/api/stats",
        summary="Read counts and the poller's state",
        responses={200: Content(description="The counts.", schema=api_output.StatsSchema)},
        errors=API_ERRORS,
    ),
    Endpoint(
        id="receiveCallback",
        name="callbacks.receive",
        method="POST",
        path="/callbacks/{token}",
        summary="Receive a callback",
        description="The upstream calls this. One more part may follow the token; a query string is stored.",
        free_body=True,
        responses={200: Content(description="The callback is stored.", schema=api_output.CallbackSchema)},
        errors=CALLBACK_ERRORS,
    ),
    Endpoint(
        id="tryCallbackUrl",
        name="callbacks.receive",
        method="GET",
        path="/callbacks/{token}",
        summary="Try the callback URL",
        responses={200: Content(description="The URL is right.", media_type=TEXT)},
        errors=(ErrorType.UNKNOWN_CALLBACK_URL,),
    ),
    Endpoint(
        id="healthz",
        name="health.healthz",
        method="GET",
        path="/healthz",
        summary="Is the process up?",
        responses={200: Content(description="It is.", schema=api_output.HealthSchema)},
    ),
    Endpoint(
        id="readyz",
        name="health.readyz",
        method="GET",
        path="/readyz",
        summary="Can callbacks be stored?",
        description="The poller's state and all problems are in the body, and do not change the status.",
        responses={
            200: Content(description="They can.", schema=api_output.ReadinessSchema),
            503: Content(description="They cannot; `database` says why.", schema=api_output.ReadinessSchema),
        },
    ),
    Endpoint(
        id="metrics",
        name="metrics.read_metrics",
        method="GET",
        path="/metrics",
        summary="Metrics for Prometheus",
        description="On the receiver's own machine it needs no token.",
        responses={200: Content(description="The metrics.", media_type=TEXT)},
        errors=(ErrorType.UNAUTHORIZED,),
    ),
    Endpoint(
        id="openapi",
        name="docs.read_openapi",
        method="GET",
        path="/openapi.json",
        summary="This description as OpenAPI 3.1",
        responses={200: Content(description="The document.")},
    ),
    Endpoint(
        id="docs",
        name="docs.show_docs",
        method="GET",
        path="/docs",
        summary="This description as a page",
        responses={200: Content(description="The page.", media_type="text/html")},
    ),
)
BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
"""By Flask's name, which is unique but for the callback URL's."""
