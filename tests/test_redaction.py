"""What is taken out of bodies and queries before they are stored: our token, and what looks like a secret."""

import json
import re
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from receiver.redaction import is_secret_name, looks_secret, redact, redact_query

TOKEN = "callback-token-0001"
QUERY = "song_id=42&token=perSongSecret&userId=u7&verify=hidden1"
URL = f"https://r.example/callbacks/{TOKEN}?{QUERY}"


def in_json(value: object) -> str:
    return json.dumps(value)


FORMS = {
    "plain": URL,
    "in JSON": in_json({"u": URL}),
    "in JSON in JSON": in_json({"param": in_json({"callBackUrl": URL})}),
    "in JSON three times": in_json({"x": in_json({"param": in_json({"callBackUrl": URL})})}),
    "with escaped slashes": in_json({"u": URL}).replace("/", "\\/"),
    "with slashes escaped twice": in_json({"param": in_json({"u": URL}).replace("/", "\\/")}),
    "percent-encoded": "https://x.example/?cb=" + quote(URL, safe=""),
    "percent-encoded in small letters": quote(URL, safe="").replace("%2F", "%2f").replace("%3D", "%3d"),
    "percent-encoded twice": quote(quote(URL, safe=""), safe=""),
    "with u0026": in_json({"u": URL}).replace("&", "\\u0026").replace("=", "\\u003d").replace("?", "\\u003f"),
    "with u0026 in JSON in JSON": in_json({"param": in_json({"u": URL}).replace("&", "\\u0026")}),
    "in markup": URL.replace("&", "&amp;"),
    "with another token": in_json({"param": in_json({"u": URL.replace(TOKEN, "forgotten-token-1")})}),
    "with a slash behind the token": URL.replace("?", "/?"),
    "with a submission": URL.replace("?", "/0123456789abcdef?"),
    "with doubled slashes": URL.replace("/callbacks/", "//callbacks//"),
    "by http": URL.replace("https", "http"),
    "with a port": URL.replace("r.example", "127.0.0.1:8000"),
    "without a host": URL.removeprefix("https://r.example"),
    "in single quotes": f"{{'u': '{URL}'}}",
    "with letters escaped in the query": in_json({"u": URL.replace("?", "?имя=Ж&")}),
    "beside others": in_json([URL, "token=public", URL]),
}


@pytest.mark.parametrize("form", FORMS)
def test_secrets_in_the_query_of_a_callback_url_are_removed_in_every_escaping(form: str) -> None:
    redacted = redact(FORMS[form].encode(), [TOKEN]).decode()
    for secret in (TOKEN, "forgotten-token-1", "perSongSecret", "hidden1"):
        assert secret not in redacted
    assert "[removed]" in redacted
    assert "42" in redacted, "what is no secret is kept"
    assert "u7" in redacted


@pytest.mark.parametrize("form", [name for name in FORMS if "in JSON" in name or "slashes escaped" in name])
def test_json_stays_json(form: str) -> None:
    json.loads(redact(FORMS[form].encode(), [TOKEN]))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_another_encoding_of_unicode_hides_nothing(encoding: str) -> None:
    redacted = redact(in_json({"u": URL}).encode(encoding), [TOKEN])
    assert json.loads(redacted) == {
        "u": "https://r.example/callbacks/[removed]?song_id=42&token=[removed]&userId=u7&verify=[removed]"
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        b"nothing of ours?token=abc",
        b'{"url": "https://cdn.example/1.mp3?token=signed"}',
        b"callbacks",
        b"callbacks/",
        b'"callbacks/"',
    ],
)
def test_other_bodies_stay_as_they_came(body: bytes) -> None:
    assert redact(body, [TOKEN]) == body


def escaped(sign: str, how: int) -> str:
    """The sign as it is, behind backslashes, by its code behind backslashes, or percent-encoded in several rounds."""
    code, kind, rounds = f"{ord(sign):02x}", how % 4, how // 4
    return [sign, "\\" * rounds + sign, "\\" * (rounds + 1) + "u00" + code, "%" + "25" * rounds + code][kind]


def unescaped(text: str) -> str:
    """Each sign once, by the simplest means."""
    text = re.sub(r"%(?:25)*([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), text)
    return re.sub(r"\\+u00([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), text).replace("\\", "")


HOW = st.integers(min_value=0, max_value=15)
AROUND = st.lists(
    st.sampled_from(
        [*"\\%/?&=;\"' ux2", "25", "u00", "u006", "\\u0063", "callbacks", "callbacks/", TOKEN[:9], "ж"]
    ),
    max_size=6,
).map("".join)


@given(AROUND, st.lists(HOW, min_size=len(TOKEN), max_size=len(TOKEN)), AROUND)
@example("", [2] * len(TOKEN), "")
@example("payload=", [3] * len(TOKEN), "")
@example("", [0, 5] * (len(TOKEN) // 2) + [0], "")
@example("", [9] * len(TOKEN), "\\n")
def test_our_own_token_is_removed_in_every_escaping(before: str, ways: list[int], after: str) -> None:
    placed = "".join(map(escaped, TOKEN, ways))
    redacted = redact(f"{before}{placed}{after}".encode(), [TOKEN]).decode()
    assert placed not in redacted
    assert TOKEN not in unescaped(redacted)
    assert TOKEN not in unescaped(redact_query(f"{before}{placed}{after}".encode(), [TOKEN]))


@given(st.lists(HOW, min_size=6, max_size=6), AROUND, st.sampled_from([0, 1, 198, 199, 200, 201, 5000]))
def test_no_secret_of_a_query_is_kept_however_it_is_escaped_and_whatever_is_before_it(
    ways: list[int], before: str, parameters: int
) -> None:
    slash, question, first, second, equals, more = map(escaped, "/?&;=&", ways)
    before = re.sub(r"[\\\"' ]", "", before)  # where a URL ends, its query does too
    url = f"callbacks{slash}tok{question}{before}{first * parameters}{second}token{equals}perSongSecret{more}a=1"
    assert "perSongSecret" not in redact(url.encode(), [TOKEN]).decode()


@given(st.text(st.sampled_from('/?&=;%25\\"u0063x '), max_size=40), st.integers(min_value=1, max_value=3))
def test_json_stays_json_whatever_stands_behind_our_url(behind: str, layers: int) -> None:
    text = f"https://r.example/callbacks/{TOKEN}{behind}"
    for _ in range(layers):
        text = in_json(text)
    json.loads(redact(text.encode(), [TOKEN]))


PAST = {
    "many parameters": "a=1&" * 250,
    "empty parameters": "&" * 250,
    "one long parameter": "a=" + "x" * 17_000 + "&",
}


@pytest.mark.parametrize("name", PAST)
def test_what_is_past_the_budget_of_a_body_goes_unjudged(name: str) -> None:
    body = f"callbacks/one?{PAST[name]}b=kept0&token=perSongSecret callbacks/two?{PAST[name]}b=2 callbacks/three?c=5"
    redacted = redact(body.encode(), [TOKEN]).decode()
    assert "perSongSecret" not in redacted
    assert "kept0" not in redacted
    assert "two" not in redacted
    assert redacted.count("[removed]") >= 3
    assert redact_query((PAST[name] + "token=perSongSecret").encode(), []).find("perSongSecret") == -1


def test_the_budget_is_one_for_all_urls_of_a_body() -> None:
    body = "callbacks/token-x?a=1&token=perSongSecret " * 500
    redacted = redact(body.encode(), [TOKEN]).decode()
    assert redacted.startswith("callbacks/[removed]?a=1&token=[removed] callbacks")
    assert redacted.endswith("callbacks/[removed]?[removed] ")
    assert "perSong" not in redacted


SECRET_NAMES = (
    "token secret key verify sig signature auth password pass pwd passwd code access_token accessToken api_key apiKey"
    " apikey jwt hmac session sessionId session_id sid TOKEN x-api-key webhook_secret webhooksecret userPassword"
    " callbacktoken authorization bearer csrf otp pin hash sign nonce credential signed verification x[secret]"
    " private_key client_secret refresh-token user.password authToken"
).split()
PLAIN_NAMES = (
    "song_id songId userId orderId kind taskId task_id id user email author title keyword monkey design track number"
    " kind stage locale passenger compass signal authority tokenize secretary"
).split()


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_value_of_this_name_is_removed(name: str) -> None:
    assert is_secret_name(name)
    assert redact_query(f"a=1&{name}=x&b=2".encode(), [TOKEN]) == f"a=1&{name}=[removed]&b=2"


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_a_value_of_this_name_is_kept(name: str) -> None:
    assert redact_query(f"{name}=x42".encode(), [TOKEN]) == f"{name}=x42"


SECRET_VALUES = [
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "sk-proj-abc123",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "9f8a7b6c5d4e3f2a1b0c",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "q8Zr2LmT0vXc7NwPy5Kd",
    "MTIzNDU2Nzg5MGFiY2RlZmdoaWo9",
]
PLAIN_VALUES = [
    "42",
    "u_7",
    "2025-01-01T00:00:00Z",
    "550e8400-e29b-41d4-a716-446655440000",
    "550e8400e29b41d4a716446655440000",
    "507f1f77bcf86cd799439011",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "cjld2cjxh0000qzrmn831i7rn",
    "12345678901234567890123",
    "summer-playlist-for-my-friends",
    "someone@example.org",
    "My%20song%20with%20a%20long%20title%202024",
]


@pytest.mark.parametrize("value", SECRET_VALUES)
def test_a_value_that_looks_like_a_token_is_removed(value: str) -> None:
    assert looks_secret(value)
    assert redact_query(f"x={value}&a=1".encode(), [TOKEN]) == "x=[removed]&a=1"
    assert redact_query(value.encode(), [TOKEN]) == "[removed]", "a query may be nothing but a token"


@pytest.mark.parametrize("value", PLAIN_VALUES)
def test_a_value_that_looks_like_an_id_or_words_is_kept(value: str) -> None:
    assert redact_query(f"x={value}".encode(), [TOKEN]) == f"x={value}"


def test_an_id_by_name_may_look_random() -> None:
    assert redact_query(b"orderId=V1StGXR8_Z5jdHi6B-myT", [TOKEN]) == "orderId=V1StGXR8_Z5jdHi6B-myT"
    assert "eyJ" not in redact_query(b"orderId=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2", [TOKEN])


def test_names_and_values_are_judged_without_their_escapes() -> None:
    assert (
        redact_query(b"to%6ben=x&%74oken=y&t%256fken=z", [TOKEN])
        == "to%6ben=[removed]&%74oken=[removed]&t%256fken=[removed]"
    )
    for name in ("t\\u006fken", "t\\\\u006fken", "t%252525256fken", "t%5cu006fken", "x" * 101):
        assert redact_query(f"{name}=x&a=1".encode(), []) == f"{name}=[removed]&a=1"


def test_our_own_token_is_removed_wherever_it_stands() -> None:
    assert redact_query(f"a={TOKEN}&b={TOKEN}x".encode(), [TOKEN]) == "a=[removed]&b=[removed]x"


def test_a_query_is_kept_up_to_2000_printable_characters() -> None:
    assert len(redact_query(b"a=" + b"b c" * 5000, [TOKEN])) == 2000
    assert redact_query(b"a=\x00\xff\x1b[1m\n", [TOKEN]).isprintable()
    assert redact_query(b"", [TOKEN]) == ""
