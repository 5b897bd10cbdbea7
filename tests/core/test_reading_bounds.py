"""Whoever knows the callback URL chooses a body: what is read of it is bounded."""

import itertools
import json
from typing import Any

import pytest

from receiver.core.payloads import ParsedPayload, ParseOutcome, parse_callback, parse_poll

URL = "https://cdn.example/1.mp3"


def parse(value: Any) -> ParsedPayload:
    return parse_callback(json.dumps(value).encode())


def stage(rows: Any, **data: Any) -> ParsedPayload:
    return parse({"code": 200, "data": {"callbackType": "complete", "task_id": "t", "data": rows, **data}})


def row_of(row: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What one row is read as, and the fields that errors name."""
    parsed = stage([{"id": "a", **row}])
    assert parsed.kind is ParseOutcome.PARSED
    assert parsed.observation is not None
    (track,) = parsed.observation.tracks
    values = {name: value for name, value in track.fields.items() if name != "id"}
    return values, [path.removeprefix("data.data.0.") for path in parsed.errors]


GOOD_URLS = [
    URL,
    "http://cdn.example/1.mp3",
    "HTTPS://CDN.example/1.mp3",
    "https://audiopipe.suno.ai/?item_id=4b1c",
    "https://cdn.example:8443/a/b?x=1&y=2#z",
    "https://[2001:db8::1]/1.mp3",
    "https://xn--e1afmkfd.example/%D0%BF.mp3",
    "https://пример.example/песня.mp3",
    "https://musicfile.kie.ai/NGIxYw==",
    "https://cdn.example/nonesuch.mp3",
    "https://cdn.example/Nancy.mp3",
    "https://cdn.example/none/1.mp3",
    "https://cdn.example/null-island.mp3",
    "https://cdn.example/" + "a" * 2000,
]


@pytest.mark.parametrize("url", GOOD_URLS)
@pytest.mark.parametrize("field", ["audioUrl", "imageUrl"])
def test_an_http_url_with_a_host_is_a_value(url: str, field: str) -> None:
    assert row_of({field: url}) == ({field: url}, [])


BAD_URLS = [
    "javascript:alert(1)",
    "JavaScript:alert(1)//https://x.example/1.mp3",
    "data:audio/mp3;base64,AAAA",
    "file:///etc/passwd",
    "ftp://cdn.example/1.mp3",
    "blob:https://cdn.example/1",
    "//cdn.example/1.mp3",
    "/1.mp3",
    "1.mp3",
    "cdn.example/1.mp3",
    "https:cdn.example",
    "https:/cdn.example/1.mp3",
    "https://",
    "https:///1.mp3",
    "https://?x=1",
    "https://#x",
    "https://:443/1.mp3",
    "https://user@/1.mp3",
    "https://./1.mp3",
    "https://cdn.example/a b.mp3",
    "https://cdn .example/1.mp3",
    "https://cdn.example/a\tb",
    "https://cdn.example/a\nb",
    "https://cdn.example/a\u0000b",
    "https://cdn.example/a\u202eb",
    "https://cdn.example/a\u00a0b",
    "https://cdn.example/\ud800",
    "https://good.example\\@evil.example/1.mp3",
    "https://cdn.example:port/1.mp3",
    "https://cdn.example:99999/1.mp3",
    "https://[::1/1.mp3",
    "https://[nonsense]/1.mp3",
    "http",
    "https://cdn.example/" + "a" * 2048,
    " " * 5000 + URL,
    5,
    True,
    {"url": URL},
    [URL],
]
URL_FIELDS = [
    "audioUrl",
    "streamAudioUrl",
    "imageUrl",
    "sourceAudioUrl",
    "sourceStreamAudioUrl",
    "sourceImageUrl",
]


@pytest.mark.parametrize(
    "url", BAD_URLS, ids=lambda url: str(url)[:40].encode("ascii", "backslashreplace").decode()
)
def test_what_is_no_http_url_with_a_host_is_no_value_and_its_field_is_named(url: Any) -> None:
    for field in URL_FIELDS:
        assert row_of({field: url, "title": "T"}) == ({"title": "T"}, [field])


PLACEHOLDERS = [
    "https://cdn1.suno.ai/None.mp3",
    "https://cdn1.suno.ai/none.mp4",
    "https://cdn1.suno.ai/NONE",
    "https://cdn1.suno.ai/null",
    "https://cdn1.suno.ai/Null.mp3?x=1",
    "https://cdn1.suno.ai/undefined.m4a",
    "https://cdn1.suno.ai/undefined/",
    "https://cdn1.suno.ai/NaN.wav",
    "https://cdn2.suno.ai/image_None.jpeg",
    "https://cdn2.suno.ai/image_large_null.jpeg",
    "https://audiopipe.suno.ai/?item_id=None",
    "https://undefined/1.mp3",
    "None",
    "null",
    "undefined",
    "NaN",
    "None.mp3",
    " null ",
]


@pytest.mark.parametrize("url", PLACEHOLDERS)
def test_a_placeholder_is_no_value_and_no_error(url: str) -> None:
    for field in URL_FIELDS:
        assert row_of({field: url, "title": "T"}) == ({"title": "T"}, [])


def test_a_port_changes_nothing_about_whether_an_address_is_a_value() -> None:
    """An address with a port is read part by part, the usual one without by a single pattern: they must agree."""
    hosts = (
        "cdn.example",
        "none.com",
        "undefined",
        "null.x.example",
        "a..b",
        "-.-",
        "_.example",
        "1.2.3.4",
        "a",
        "",
    )
    folders = ("", "a/", "none/", "../", "//", "%2F/", "a b/")
    names = (
        "1.mp3",
        "None",
        "None.mp3",
        "image_null.jpeg",
        "nan.",
        "~",
        "%",
        "-",
        "",
        "null/",
        "a;b",
        "\u043f",
    )
    for host, folder, name in itertools.product(hosts, folders, names):
        (plain, errors), (with_port, others) = (
            row_of({"audioUrl": f"https://{host}{port}/{folder}{name}"}) for port in ("", ":443")
        )
        assert (bool(plain), errors) == (bool(with_port), others), f"{host}/{folder}{name}"


@pytest.mark.parametrize(
    ("field", "most", "unit"),
    [("prompt", 16384, 1), ("title", 2048, 1), ("tags", 2048, 1), ("modelName", 64, 0)],
)
@pytest.mark.parametrize("sign", ["a", "ё", "歌", "🎵", "\u0315"])
def test_a_long_text_is_cut_between_two_characters(field: str, most: int, unit: int, sign: str) -> None:
    values, named = row_of({field: sign * 100_000})
    text = values[field]
    size = len(text.encode()) if unit else len(text)
    assert most - 3 <= size <= most
    assert text == sign * len(text)
    assert named == [], "the body keeps it whole, and asking again would bring no more"


@pytest.mark.parametrize("field", ["status", "type", "operationType", "errorCode"])
def test_words_are_cut_after_64_characters(field: str) -> None:
    data = {"taskId": "t", "status": "X", "response": None, field: "w" * 3000}
    for parsed in (
        parse({"code": 200, "data": data}),
        parse_poll(json.dumps({"code": 200, "data": data}).encode(), "t"),
    ):
        assert parsed.observation is not None
        value = parsed.observation.status if field == "status" else parsed.observation.details[field]
        assert value == "w" * 64


@pytest.mark.parametrize("field", ["param", "errorMessage"])
def test_texts_of_the_task_are_cut_after_16_kb(field: str) -> None:
    parsed = parse({"code": 200, "data": {"taskId": "t", "status": "X", field: "w" * 100_000}})
    assert parsed.observation is not None
    assert parsed.observation.details[field] == "w" * 16384


def test_an_id_that_is_too_long_is_none() -> None:
    for name in ("id", "audioId"):
        parsed = stage([{name: "x" * 201, "title": "T"}])
        assert parsed.observation is not None
        assert [track.key for track in parsed.observation.tracks] == ["#0"]
        assert list(parsed.errors) == ["data.data.0.id"]
    parsed = parse({"code": 200, "data": {"taskId": "t", "status": "X", "parentMusicId": "x" * 201}})
    assert list(parsed.errors) == ["data.parentMusicId"]


@pytest.mark.parametrize(
    "value", [1_000_001, 1e300, "9" * 65, "9" * 5000, 10**4000, -0.001, "1e999", "nan", "١" * 70]
)
def test_a_duration_is_bounded(value: Any) -> None:
    assert row_of({"duration": value, "title": "T"}) == ({"title": "T"}, ["duration"])


@pytest.mark.parametrize(
    "value", [10**18, 10**4000, -(10**4000), 1e308, "9" * 65, "9" * 5000, "2025-01-01" + " " * 100]
)
def test_a_time_is_bounded(value: Any) -> None:
    values, named = row_of({"createTime": value, "title": "T"})
    assert len(str(values.get("createTime", ""))) <= 64
    assert named in ([], ["createTime"])


def test_only_the_first_32_rows_are_read_and_the_rest_is_named() -> None:
    rows = [{"id": str(number), "audio_url": URL} for number in range(1000)]
    for parsed in (
        stage(rows),
        parse({"data": {"taskId": "t", "status": "SUCCESS", "response": {"sunoData": rows}}}),
    ):
        assert parsed.observation is not None
        assert [track.fields["id"] for track in parsed.observation.tracks] == [str(n) for n in range(32)]
        assert list(parsed.errors.values()) == [["Only the first 32 of 1000 rows were read."]]
    assert stage(rows[:32]).errors == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows",
    [
        [1] * 50_000,
        [{"id": ["x"], "audio_url": "x", "duration": "x", "createTime": "x", "title": []}] * 5000,
        [{"audio_url": "javascript:" + "x" * 10_000}] * 100,
        [{"k" * 5000: 1, "audio_url": 5}] * 100,
        [[[[]]]] * 5000,
    ],
    ids=["numbers", "bad fields", "long values", "long keys", "lists"],
)
def test_a_body_of_errors_makes_few_and_short_ones(rows: list[Any]) -> None:
    errors = stage(rows).errors
    assert 0 < len(errors) <= 20
    assert len(json.dumps(errors)) < 4000


def test_the_last_error_tells_how_many_more_there_are() -> None:
    errors = stage([{"audio_url": 1, "duration": "x"}] * 32).errors
    assert (len(errors), errors["more"]) == (20, ["46 more errors."])


def test_rows_that_are_left_out_are_named_before_bad_values() -> None:
    large = {f"k{number}": number for number in range(101)}
    rows = [{"duration": "x"}, large, 5, *[{"id": "a"}] * 30]
    places = ["data.data", "data.data.1", "data.data.0.duration", "data.data.2"]
    assert list(stage(rows).errors) == places
