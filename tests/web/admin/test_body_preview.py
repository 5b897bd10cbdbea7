"""Bodies to read, whatever came."""

import json
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from receiver.web.admin.body_preview import FOLDED_STRING_CHARS, MAX_BODY_CHARS, PREVIEW_CHARS, Body, body_of

LAWS = settings(max_examples=100, deadline=None, derandomize=True)
SURROGATES = st.text(st.characters(codec=None), max_size=5)
TEXTS = st.text(max_size=10) | SURROGATES | st.text(max_size=3).map(lambda text: text * 120)
NUMBERS = st.floats() | st.integers(-(10**400), 10**400)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
LIMITS = st.integers(0, 400)
UNLIMITED = 10**9


def text_of(body: Body) -> str:
    return "".join(part.text for part in body.parts)


def as_json(body: Body) -> str:
    """The body as JSON again: what was unfolded for its reader, folded back."""
    return "".join(json.dumps(part.text) if part.folded else part.text for part in body.parts)


@LAWS
@given(VALUES)
def test_joining_the_parts_gives_back_the_body(value: object) -> None:
    body = body_of(json.dumps(value).encode(), max_chars=UNLIMITED)
    # Compared as text: not-a-number is not itself.
    assert json.dumps(json.loads(as_json(body))) == json.dumps(value)
    assert not body.truncated
    assert body.size == len(json.dumps(value))


@LAWS
@given(VALUES, LIMITS)
def test_what_is_shown_is_the_beginning_of_the_whole_and_never_over_the_limit(
    value: object, max_chars: int
) -> None:
    raw = json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")
    whole, shown = body_of(raw, max_chars=UNLIMITED), body_of(raw, max_chars=max_chars)
    assert text_of(shown) == text_of(whole)[:max_chars]
    assert shown.truncated == (text_of(shown) != text_of(whole))
    assert [part.folded for part in shown.parts] == [part.folded for part in whole.parts][: len(shown.parts)]


@LAWS
@example(b"\xef\xbb\xbf{}", 5)
@example(b'\xff\xfe"\x00', 5)
@example(b'"\xed\xa0\x80"', 50)
@given(st.binary(max_size=40) | st.text('[]{}:,"\\1e-9NaInfty ', max_size=20).map(str.encode), LIMITS)
def test_no_bytes_at_all_are_too_odd_to_be_shown(raw: bytes, max_chars: int) -> None:
    body = body_of(raw, max_chars=max_chars)
    assert len(text_of(body)) <= max_chars
    assert body.size == len(raw)
    assert all(len(part.preview) <= PREVIEW_CHARS for part in body.parts)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 200_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b"[" * 900 + b"]" * 900,
        b"9" * 5000,
        b"-" + b"9" * 100_000,
        b"1e999999999",
        b"NaN",
        b'{"a": -Infinity}',
        b"",
        b"\x00" * 100,
        b'"\\ud800 alone"',
        b'{"\\udfff": "\\ud800"}',
        "\ufeff{}".encode("utf-16-le"),
        b'{"a": 1} {"b": 2}',
    ],
    ids=lambda raw: f"{raw[:12]!r}",
)
def test_no_body_breaks_the_page_however_hostile(raw: bytes) -> None:
    body = body_of(raw)
    assert len(text_of(body)) <= MAX_BODY_CHARS
    text_of(body).encode(errors="replace")


def test_what_is_not_json_is_shown_as_it_came() -> None:
    assert body_of("<p>Bad gateway — später</p>".encode()).parts[0].text == "<p>Bad gateway — später</p>"
    assert text_of(body_of(b"caf\xe9")) == "caf\ufffd"


def test_json_is_indented_and_read_in_its_own_letters() -> None:
    assert text_of(body_of(b'{"a":["\\u00e9",null]}')) == '{\n  "a": [\n    "é",\n    null\n  ]\n}'


def test_a_long_text_is_folded_and_shown_in_lines_as_its_reader_would_see_it() -> None:
    lyrics = 'He said "no"\n' * 30
    body = body_of(json.dumps({"prompt": lyrics, "title": "Tides"}).encode())
    assert [part.text for part in body.parts if part.folded] == [lyrics]
    folded = body.parts[1]
    assert folded.preview == " ".join(lyrics.split())[:PREVIEW_CHARS]
    assert body.parts[0].text.endswith('"prompt": ')
    assert '"title": "Tides"' in body.parts[2].text


def test_a_text_is_folded_from_a_length_on_and_so_is_a_key() -> None:
    # The quote that ends it counts.
    short, long = "x" * (FOLDED_STRING_CHARS - 1), "x" * FOLDED_STRING_CHARS
    assert [part.folded for part in body_of(json.dumps(short).encode()).parts] == [False]
    assert [part.folded for part in body_of(json.dumps(long).encode()).parts] == [False, True, False]
    assert [part.text for part in body_of(json.dumps({long: 1}).encode()).parts if part.folded] == [long]


def test_the_limit_itself_is_not_cut_and_one_more_is() -> None:
    assert not body_of(b"x" * 50, max_chars=50).truncated
    assert body_of(b"x" * 51, max_chars=50).truncated
    assert body_of(b"x", max_chars=0) == Body(parts=(), size=1, truncated=True)
    in_a_fold = body_of(json.dumps("x" * 500).encode(), max_chars=300)
    assert in_a_fold.truncated
    assert text_of(in_a_fold) == "x" * 300


def test_a_small_body_that_is_large_when_indented_costs_no_more_than_what_is_shown_of_it() -> None:
    raw = b"[" * 400 + b"1," * 20_000 + b"1" + b"]" * 400  # 40 kB, which would be 16 MB
    tracemalloc.start()
    body = body_of(raw, max_chars=3000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert body.truncated
    assert peak < 4_000_000


@pytest.mark.parametrize("raw", [b'{"id": "a", "id": "b"}', b"1e999", b"12345678901234567890.25"])
def test_what_came_is_shown_with_nothing_lost_or_rounded(raw: bytes) -> None:
    # a lenient parser would drop one of two equal keys, and round numbers (`Infinity` for 1e999)
    lost = [token for token in ('"a"', "1e999", "12345678901234567890.25") if token.encode() in raw]
    assert all(token in text_of(body_of(raw)) for token in lost)
