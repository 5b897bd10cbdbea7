"""`GET /openapi.json` and `GET /docs`: the same description for programs and for people, open to everybody."""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, render_template, request
from markupsafe import Markup

from receiver.web.error_types import ErrorType
from receiver.web.openapi import document

blueprint = Blueprint("docs", __name__)

MAX_AGE_S = 300
STYLE = Path(__file__).resolve().parent / "templates" / "docs.css"
HEADERS = {
    "Cache-Control": f"public, max-age={MAX_AGE_S}",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
Json = Mapping[str, Any]


@blueprint.get("/openapi.json")
def read_openapi() -> Response:
    return _cached(_openapi_json(), "application/json")


@blueprint.get("/docs")
def show_docs() -> Response:
    response = _cached(_page(), "text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _policy()
    response.headers["X-Frame-Options"] = "DENY"
    return response


def _cached(body: bytes, content_type: str) -> Response:
    response = Response(body, content_type=content_type, headers=HEADERS)
    response.add_etag()
    response.make_conditional(request)
    return response


@cache
def _openapi_json() -> bytes:
    return json.dumps(document(), ensure_ascii=False).encode()


@cache
def _page() -> bytes:
    functions = {"type_of": type_of, "example_text": example_text, "command": command, "resolve": resolve}
    html = render_template(
        "docs.html",
        document=document(),
        error_types=list(ErrorType),
        style=Markup(_style()),  # noqa: S704 - a file of our own
        **functions,
    )
    return html.encode()


@cache
def _policy() -> str:
    """Nothing may load but this one style sheet; no script may run."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    closed = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return f"default-src 'none'; style-src 'sha256-{digest}'; {closed}"


@cache
def _style() -> str:
    return STYLE.read_text(encoding="utf-8")


def resolve(schema: Json) -> Json:
    """The schema that a `$ref` stands for, or the one that may also be null."""
    for option in schema.get("anyOf", ()):
        if "$ref" in option:
            return resolve(option)
    if "$ref" not in schema:
        return schema
    name = str(schema["$ref"]).rsplit("/", 1)[-1]
    found: Json = document()["components"]["schemas"][name]
    return found


def type_of(schema: Json) -> str:
    """The schema's type in words: `string or null`, `array of Task`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(type_of(option) for option in schema["anyOf"])
    if schema.get("type") == "array":
        return f"array of {type_of(schema['items'])}"
    kinds = schema.get("type", "any")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def example_of(schema: Json) -> Any:
    """A value that the schema allows, made of its fields' examples."""
    schema = resolve(schema)
    for name in ("examples", "enum"):
        if name in schema:
            return schema[name][0]
    if "default" in schema:
        return schema["default"]
    if schema.get("type") == "array":
        return [example_of(schema["items"])]
    return {name: example_of(inner) for name, inner in schema.get("properties", {}).items()}


def example_text(schema: Json) -> str:
    """The example as JSON, its keys in the schema's order."""
    return json.dumps(example_of(schema), indent=2, ensure_ascii=False)


def command(path: str, method: str, operation: Json, parameters: list[Json]) -> str:
    """The call as a shell command."""
    for parameter in parameters:
        path = path.replace(f"{{{parameter['name']}}}", example_of(parameter["schema"]))
    parts = ["curl", *(["-X", method.upper()] if method not in ("get", "post") else [])]
    if operation["security"]:
        parts.append('-H "Authorization: Bearer $API_TOKEN"')
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        parts.append(f"--json '{json.dumps(example_of(schema))}'")
    elif method == "post":
        parts.append("-X POST")
    return " ".join([*parts, f"https://receiver.example.org{path}"])
