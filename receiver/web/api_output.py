"""What the endpoints respond with: schemas that describe the serializers' output, and that tests hold it to."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from marshmallow import RAISE, Schema, fields, validate

from receiver.core.alarms import Level
from receiver.core.observation import TRACK_FIELDS, URL_FIELDS, Source
from receiver.core.payloads.upstream_trouble import Trouble
from receiver.core.poller_status import PollerState
from receiver.core.product import Product
from receiver.core.results import DeliveryResult
from receiver.core.settlement import Outcome
from receiver.web.error_types import ErrorType

CALLBACK_RESULTS = tuple(result for result in DeliveryResult if result is not DeliveryResult.UNKNOWN)
TIME = "2026-01-31T12:00:00.000Z"


def _doc(description: str, example: Any, **properties: Any) -> dict[str, Any]:
    return {"description": description, "examples": [example], **properties}


def _text(description: str, example: str, *, nullable: bool = False) -> fields.String:
    return fields.String(required=True, allow_none=nullable, metadata=_doc(description, example))


def _time(description: str, example: str | None = TIME) -> fields.String:
    metadata = _doc(f"{description} ISO 8601 in UTC.", example, format="date-time")
    return fields.String(required=True, allow_none=True, metadata=metadata)


def _flag(description: str, *, example: bool) -> fields.Boolean:
    return fields.Boolean(required=True, metadata=_doc(description, example))


def _count(description: str, example: int, *, nullable: bool = False) -> fields.Integer:
    metadata = _doc(description, None if nullable else example)
    return fields.Integer(required=True, allow_none=nullable, metadata=metadata)


def _choice(
    names: Iterable[StrEnum], description: str, example: str | None, *, required: bool = True, **options: Any
) -> fields.String:
    allowed = validate.OneOf([name.value for name in names])
    return fields.String(required=required, validate=allowed, metadata=_doc(description, example), **options)


def _errors(description: str, example: dict[str, list[str]], *, required: bool) -> fields.Dict:
    messages = fields.List(fields.String())
    return fields.Dict(
        keys=fields.String(), values=messages, required=required, metadata=_doc(description, example)
    )


class OutputSchema(Schema):
    class Meta:
        unknown = RAISE


TRACK_DOCS = {
    "id": ("The track's id at the upstream.", "e231-a"),
    "prompt": ("The lyrics or the prompt.", "[Verse] The tide comes in"),
    "modelName": ("The model that made it.", "chirp-v5"),
    "title": ("The title.", "Tides"),
    "tags": ("The style.", "calm, piano"),
    "createTime": ("When the upstream made it.", TIME),
}


def _track_field(name: str) -> fields.Field[Any]:
    if name in URL_FIELDS:
        return _text("A URL of the upstream.", f"https://cdn.example.org/{name}", nullable=True)
    if name == "duration":
        return fields.Float(required=True, allow_none=True, metadata=_doc("Length in seconds.", 184.5))
    return _text(*TRACK_DOCS[name], nullable=True)


TRACK = OutputSchema.from_dict(
    {
        "id": _track_field("id"),
        "confirmed": _flag("Whether record-info reported the track and each of its URLs.", example=True),
        "playable": _flag("Whether there is a URL of an audio file.", example=True),
        **{name: _track_field(name) for name in TRACK_FIELDS if name != "id"},
    },
    name="TrackSchema",
)


class TaskSchema(OutputSchema):
    taskId = _text("The task's id at the upstream.", "9f3c-task")
    label = _text("Your own name for the task.", "order 17", nullable=True)
    status = _text("The upstream's status, reconciled from all deliveries.", "SUCCESS", nullable=True)
    outcome = _choice(Outcome, "How the task ended.", "succeeded")
    settled = _flag("Whether nothing more is expected.", example=True)
    confirmed = _flag("Whether record-info reported the status.", example=True)
    recovered = _flag("Whether it succeeded and no callback said so.", example=False)
    conflict = _flag("Whether deliveries contradict each other.", example=False)
    registered = _flag("Whether you registered the task.", example=True)
    operationType = _text("The upstream's operation.", "generate", nullable=True)
    type = _text("The upstream's type of task.", "chirp-v5", nullable=True)
    parentMusicId = _text("The track that this one was made from.", "c7d0-a", nullable=True)
    param = _text("The request as the upstream reports it, without secrets.", "{}", nullable=True)
    errorCode = fields.Raw(
        required=True,
        allow_none=True,
        metadata=_doc("The upstream's code of a failure.", None, type=["integer", "string"]),
    )
    errorMessage = fields.String(
        required=True, allow_none=True, metadata=_doc("The upstream's message about a failure.", None)
    )
    product = _choice(Product, "What kind of task it is.", "music")
    results = fields.List(
        fields.Dict(), required=True, metadata=_doc("Results other than tracks; empty for music.", [])
    )
    tracks = fields.List(
        fields.Nested(TRACK), required=True, metadata={"description": "The tracks, sorted by id."}
    )
    registeredAt = _time("When you registered the task.")
    firstSeenAt = _time("When the receiver first knew of the task.")
    changedAt = _time("When the state last changed.")
    lastCallbackAt = _time("When the last callback came.")
    lastPolledAt = _time("When record-info was last called.", None)
    nextPollAt = _time("When record-info is called next.", None)
    settledAt = _time("When the task settled.")
    callbacks = _count("Callbacks received.", 3)
    polls = _count("Calls of record-info.", 0)
    version = _count("Grows with each change of the state.", 3)


class DeliverySchema(OutputSchema):
    id = _count("Grows in order of arrival.", 1)
    taskId = _text("The task it is about.", "9f3c-task", nullable=True)
    source = _choice(Source, "How it came.", "callback")
    receivedAt = _time("When it came.")
    result = _choice(
        DeliveryResult, "What became of it. `unknown`: record-info does not know the task.", "accepted"
    )
    status = _text("The status that it reports.", "SUCCESS", nullable=True)
    product = _text("The product it is about, where that is not music.", "music", nullable=True)
    query = _text("The query string of the callback's URL, without secrets.", "orderId=17", nullable=True)
    errors = _errors("What could not be read, by path.", {}, required=True)
    repeats = _count("The id of the delivery whose content it repeats.", 1, nullable=True)
    body = _text("The body as it came; null for a repetition, and after the retention.", "{…}", nullable=True)


def _next() -> fields.String:
    metadata = _doc("The `cursor` of the next page; null on the last one.", None)
    return fields.String(required=True, allow_none=True, metadata=metadata)


class TaskListSchema(OutputSchema):
    tasks = fields.List(fields.Nested(TaskSchema), required=True)
    next = _next()


class DeliveryListSchema(OutputSchema):
    deliveries = fields.List(fields.Nested(DeliverySchema), required=True)
    next = _next()


class PollerSchema(OutputSchema):
    holder = _text("The process that polls.", "host-1:4711", nullable=True)
    heartbeatAge = fields.Float(
        required=True, allow_none=True, metadata=_doc("Seconds since its last sign of life.", 0.4)
    )
    state = _choice(PollerState, "`refused`: the upstream rejects the API key.", "polling")
    pausedUntil = _time("When polling goes on.", None)
    pausedSince = _time("Since when the upstream is in trouble.", None)
    trouble = _choice(Trouble, "The trouble's name.", None, allow_none=True)
    detail = fields.String(required=True, allow_none=True, metadata=_doc("What the upstream said.", None))


TASK_COUNTS = OutputSchema.from_dict(
    {outcome.value: _count(f"Tasks with the outcome `{outcome.value}`.", 1) for outcome in Outcome},
    name="TaskCountsSchema",
)


class StatsSchema(OutputSchema):
    tasks = fields.Nested(TASK_COUNTS, required=True)
    deliveries = fields.Dict(
        keys=fields.String(),
        values=fields.Dict(keys=fields.String(), values=fields.Integer()),
        required=True,
        metadata=_doc("How many there were by source and result.", {"callback": {"accepted": 3}}),
    )
    recovered = _count("Tasks that succeeded although no callback said so.", 0)
    lostCallbacks = _count("Settled tasks whose end no callback reported.", 0)
    poller = fields.Nested(PollerSchema, required=True)


class CallbackSchema(OutputSchema):
    """`result` and `taskId` are always there."""

    result = _choice(CALLBACK_RESULTS, "What became of the callback.", "accepted")
    taskId = _text("The task it is about.", "9f3c-task")
    status = fields.String(allow_none=True, metadata=_doc("The task's status.", "SUCCESS"))
    outcome = _choice(Outcome, "Its outcome.", "succeeded", required=False)
    product = fields.String(metadata=_doc("The product, where it is known.", "music"))
    errors = _errors("What could not be read, by path.", {}, required=False)


class HealthSchema(OutputSchema):
    status = fields.String(
        required=True, validate=validate.OneOf(["ok"]), metadata=_doc("Always `ok`.", "ok")
    )


class AlarmSchema(OutputSchema):
    name = _text("The problem's stable name.", "disk_low")
    level = _choice(Level, "How bad it is.", "amber")
    text = _text("What is wrong, and what to do.", "Little disk space is left.")


class ReadinessSchema(OutputSchema):
    status = fields.String(
        required=True,
        validate=validate.OneOf(["ok", "unavailable"]),
        metadata=_doc("Whether callbacks can be stored.", "ok"),
    )
    database = _text("`ok`, or why it takes no callbacks.", "ok")
    poller = fields.Nested(PollerSchema, required=True, allow_none=True)
    problems = fields.List(fields.Nested(AlarmSchema), required=True)


class ProblemSchema(OutputSchema):
    """An error (RFC 9457)."""

    title = _text("The kind of error, for people.", ErrorType.UNKNOWN_TASK.title)
    status = _count("The HTTP status.", ErrorType.UNKNOWN_TASK.status)
    detail = _text("What to do.", "There is no task 'x'. Register it with POST /api/tasks.")
    type = fields.String(
        required=True,
        validate=validate.OneOf([kind.uri for kind in ErrorType]),
        metadata=_doc("The kind of error, for programs.", ErrorType.UNKNOWN_TASK.uri, format="uri-reference"),
    )
    errors = _errors("What is wrong, by parameter or field.", {}, required=False)
