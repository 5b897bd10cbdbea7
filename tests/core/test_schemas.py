"""A body is read by shorter ways than the general ones: both must agree, whatever is in it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from receiver.core.payloads import record_info, stages, tracks
from receiver.core.payloads.errors import flat_errors
from receiver.core.payloads.fields import (
    FOLDS,
    MAX_FOLDS,
    MAX_KEY_CHARS,
    REPLACEMENT,
    folded,
    is_blank,
    storable,
)
from receiver.core.payloads.schema import LiberalField, LiberalSchema
from receiver.core.payloads.urls import Url
from receiver.core.validation import UNSTORABLE

quick = settings(max_examples=25, deadline=None, derandomize=True)
long = settings(max_examples=500, deadline=None, derandomize=True)

SCHEMAS: Sequence[LiberalSchema] = (tracks.SCHEMA, stages.SCHEMA, record_info.SCHEMA)
ODD_TEXTS = ("", " ", "\u3000", "\x1c", "\x85", "\u200b", "\0", "\ud800", "😀", "é", "200", "-1", "٣", "2e2")
LONG_TEXTS = tuple(
    sign * length for sign in ("x", "é", "\0", " ", "1") for length in (64, 65, 200, 201, 2049, 16_385)
)
TIMES = (
    "2025-01-01",
    "2025-01-01T00:00:00Z",
    "2025-01-01\x0012:00",
    "1767225602000",
    1_767_225_602_000,
    1e17,
)
URLS = (
    "https://cdn.example/1.mp3",
    "https://cdn.example/None.mp3",
    "https://null/1.mp3",
    "HTTP://a.b/c",
    "//a",
    "None",
)
NUMBERS = (0, -1, 200, 10**15, 10**400, -0.0, 1.0, 1.5, 1e308, math.nan, math.inf, True, False)
SCALARS = (
    st.none() | st.sampled_from((*ODD_TEXTS, *LONG_TEXTS, *TIMES, *URLS, *NUMBERS)) | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def keys_of(schema: LiberalSchema) -> Sequence[str]:
    return [field.data_key or name for name, field in schema.load_fields.items()]


def loaded(schema: LiberalSchema, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The values, and by their keys the errors, that marshmallow finds."""
    try:
        found, errors = schema.load(values), {}
    except ValidationError as error:
        found, errors = error.valid_data, flat_errors(error.messages)
    return {name: value for name, value in found.items() if value is not None}, errors


@st.composite
def schemas_with_values(draw: st.DrawFn) -> tuple[LiberalSchema, dict[str, Any]]:
    schema = draw(st.sampled_from(SCHEMAS))
    return schema, draw(st.dictionaries(st.sampled_from((*keys_of(schema), "other")), VALUES, max_size=14))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_schema_reads_each_odd_value_as_marshmallow_loads_it(schema: LiberalSchema) -> None:
    for value in (None, *ODD_TEXTS, *LONG_TEXTS, *TIMES, *URLS, *NUMBERS, [], {}, [1], {"a": 1}, [math.nan]):
        assert_reads_alike(schema, dict.fromkeys(keys_of(schema), value))


@pytest.mark.slow
@long
@given(schemas_with_values())
def test_a_schema_reads_any_values_as_marshmallow_loads_them(
    drawn: tuple[LiberalSchema, dict[str, Any]],
) -> None:
    assert_reads_alike(*drawn)


def assert_reads_alike(schema: LiberalSchema, values: Mapping[str, Any]) -> None:
    read, errors = schema.read(values)
    assert repr((read, errors)) == repr(loaded(schema, values))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_field_of_a_schema_has_no_rule_that_reading_would_not_apply(schema: LiberalSchema) -> None:
    for field in schema.load_fields.values():
        assert isinstance(field, LiberalField)
        assert field.deserialize(None) is None
        rules = ("required", "validators", "pre_load", "post_load", "attribute")  # not all in each version
        assert not any(vars(field).get(rule) for rule in rules)
        assert type(field).deserialize is LiberalField.deserialize
    assert not any(schema._hooks.values())


SPELLINGS = (
    "task_id",
    "taskId",
    "TASK-ID",
    "taskid",
    "\u0130d",
    "i\u0307d",
    "_",
    "",
    "_" * 65,
    "a" * 64,
    "A_" * 32,
    "A" * 65,
)
BLANK_OR_NOT: st.SearchStrategy[Any] = st.sampled_from(
    (None, "", " ", [], {}, math.nan, 0, False, "a", [None])
)


@quick
@given(st.dictionaries(st.sampled_from(SPELLINGS) | st.text(max_size=2), BLANK_OR_NOT, max_size=8))
def test_of_the_spellings_of_a_key_the_first_by_value_and_name_is_chosen(raw: dict[str, Any]) -> None:
    by_name: dict[str, list[str]] = {}
    for key in raw:
        name = key if len(key) > MAX_KEY_CHARS else key.replace("_", "").replace("-", "").lower()
        by_name.setdefault(name, []).append(key)
    chosen = {name: min(keys, key=lambda key: (is_blank(raw[key]), key)) for name, keys in by_name.items()}
    assert list(folded(raw).items()) == [(name, raw[key]) for name, key in chosen.items()]


def test_few_keys_are_remembered_and_no_long_ones() -> None:
    for number in range(3 * MAX_FOLDS):
        assert folded({f"A_{number}": 1, "b" * 65 + str(number): 2, "task_id": 3})["taskid"] == 3
        assert len(FOLDS) <= MAX_FOLDS
    assert max(map(len, FOLDS)) <= MAX_KEY_CHARS


@quick
@given(VALUES)
def test_what_counts_as_no_value_is_nothing_empty_or_no_number(value: Any) -> None:
    no_number = isinstance(value, float) and not math.isfinite(value)
    no_text = isinstance(value, str) and not value.strip()
    assert is_blank(value) == (value is None or value in ([], {}) or no_text or no_number)


@quick
@given(st.text(st.characters(), max_size=6) | st.sampled_from((*ODD_TEXTS, *LONG_TEXTS)))
def test_a_text_is_made_storable_as_by_its_pattern(text: str) -> None:
    assert storable(text) == UNSTORABLE.sub(REPLACEMENT, text)


PARTS = st.lists(
    st.sampled_from(
        (
            "none",
            "NULL",
            "nil",
            "image_",
            "large_",
            ".",
            "..",
            "-",
            "_",
            "~",
            "%",
            "a",
            "mp3",
            "ı",
            "ſ",
            "\n",
            " ",
            "1",
        )
    ),
    max_size=4,
).map("".join)


@quick
@given(PARTS, st.lists(PARTS, max_size=3), st.sampled_from(("http", "https", "HTTPS", "ftp")))
@example("cdn.example", ["a" * 3000], "https")
def test_an_address_is_read_by_one_pattern_as_it_is_part_by_part(
    host: str, path: list[str], scheme: str
) -> None:
    """One with a port or an empty query is never the usual one."""
    names = "/".join(path)
    usual, by_parts = f"{scheme}://{host}/{names}", f"{scheme}://{host}:80/{names}"
    assert is_read(usual) == is_read(by_parts)


def is_read(url: str) -> bool | None:
    """Whether it is a value; None where it is an error."""
    try:
        return Url().read(url) == url.strip() or None
    except ValidationError:
        return False
