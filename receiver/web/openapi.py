"""The OpenAPI document, made of the endpoints' table and the schemas that validate."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields

from receiver.core.validation import MAX_TASK_ID_CHARS
from receiver.web.api_errors import CONTENT_TYPE
from receiver.web.api_output import OutputSchema, ProblemSchema
from receiver.web.endpoints import ENDPOINTS, JSON, Content, Endpoint
from receiver.web.error_types import COMMON_ERRORS, OTHER_ERRORS, ErrorType
from receiver.web.strict_fields import TASK_ID_PATTERN

OPENAPI_VERSION = "3.1.1"
OTHER = "OtherError"
ABOUT = (
    "A callback receiver for Suno-style music generation APIs: one reconciled state per task. "
    "Paths under `/api/` need a bearer token, and refuse a parameter or field that they do not have with 422. "
    "The callback URL stores its query, whatever it is; all other paths ignore it. "
    "A method that a path does not have gets 405. Every error is `application/problem+json`."
)
PATH_PARAMETERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "taskId": (
        "The task's id.",
        {"maxLength": MAX_TASK_ID_CHARS, "pattern": TASK_ID_PATTERN, "examples": ["9f3c-task"]},
    ),
    "token": ("One of `RECEIVER_CALLBACK_TOKENS`.", {"examples": ["your-callback-token"]}),
}


CALLBACK_EXAMPLE = {
    "code": 200,
    "msg": "All generated successfully.",
    "data": {
        "callbackType": "complete",
        "task_id": "9f3c-task",
        "data": [{"id": "e231-a", "audio_url": "https://cdn.example.org/a.mp3", "title": "Tides"}],
    },
}


class _Converter(OpenAPIConverter):
    def field2default(self, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
        """None stands for a parameter that is not there, so it is no default."""
        return {} if field.load_default is None else super().field2default(field)

    def schema2jsonschema(self, schema: Schema) -> dict[str, Any]:
        """A response may get more keys later, so its schema is open, strict as the tests are with it."""
        described: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        if isinstance(schema, OutputSchema):
            described.pop("additionalProperties", None)
        return described


class _Plugin(MarshmallowPlugin):
    Converter = _Converter


def _schema_name(schema: type[Schema] | Schema) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Schema")


@cache
def document() -> Mapping[str, Any]:
    """The whole document. Not to be changed: all requests share it."""
    spec = APISpec(
        title="receiver",
        version=version("receiver"),
        openapi_version=OPENAPI_VERSION,
        info={"description": ABOUT},
        plugins=[_Plugin(schema_name_resolver=_schema_name)],
    )
    spec.components.security_scheme("apiToken", {"type": "http", "scheme": "bearer"})
    spec.components.response(OTHER, _error_response(OTHER_ERRORS))
    for path in dict.fromkeys(endpoint.path for endpoint in ENDPOINTS):
        operations = {
            endpoint.method.lower(): _operation(endpoint) for endpoint in ENDPOINTS if endpoint.path == path
        }
        spec.path(path=path, operations=operations, parameters=list(_path_parameters(path)))
    return spec.to_dict()


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", path):
        description, rule = PATH_PARAMETERS[name]
        schema = {"type": "string", "minLength": 1, **rule}
        yield {"in": "path", "name": name, "required": True, "description": description, "schema": schema}


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": endpoint.id, "summary": endpoint.summary}
    if endpoint.description:
        operation["description"] = endpoint.description
    if endpoint.query.fields:
        operation["parameters"] = [{"in": "query", "schema": endpoint.query}]
    if endpoint.free_body or endpoint.body:
        schema = endpoint.body or {"type": "object", "examples": [CALLBACK_EXAMPLE]}
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    operation["responses"] = {
        str(status): response
        for status, response in sorted((_successes(endpoint) | _errors(endpoint)).items())
    } | {"default": OTHER}
    operation["security"] = [{"apiToken": []}] if endpoint.secured else []
    return operation


def _successes(endpoint: Endpoint) -> dict[int, dict[str, Any]]:
    return {status: _response(content) for status, content in endpoint.responses.items()}


def _response(content: Content) -> dict[str, Any]:
    response: dict[str, Any] = {"description": content.description}
    if content.headers:
        response["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in content.headers.items()
        }
    if content.media_type:
        schema: Any = content.schema or {"type": "object" if content.media_type == JSON else "string"}
        response["content"] = {content.media_type: {"schema": schema}}
    return response


def _errors(endpoint: Endpoint) -> dict[int, dict[str, Any]]:
    kinds = (*endpoint.errors, *COMMON_ERRORS)
    return {
        status: _error_response([kind for kind in kinds if kind.status == status])
        for status in {kind.status for kind in kinds}
    }


def _error_response(kinds: Iterable[ErrorType]) -> dict[str, Any]:
    examples = {
        kind.slug: {
            "value": {
                "title": kind.title,
                "status": kind.status,
                "detail": kind.detail,
                "type": kind.uri,
            }
        }
        for kind in kinds
    }
    description = " Or: ".join(kind.meaning for kind in kinds)
    return {
        "description": description,
        "content": {CONTENT_TYPE: {"schema": ProblemSchema, "examples": examples}},
    }
