"""A record whose `param` is escaped once too little is no JSON, and is read all the same."""

import json
import time

import pytest

from receiver.core.payloads import ParseOutcome, classify_response, parse_poll
from receiver.core.payloads.envelope import NotJsonError
from receiver.core.payloads.repair import parse_response_json

REST = '"status":"SUCCESS","response":{"sunoData":[{"id":"a","audioUrl":"https://x.example/a.mp3"}]},"createTime":1}}'
START = '{"code":200,"msg":"success","data":{"taskId":"t",'
INNER = json.dumps({"loop": True, "title": "a", "empty": "", "tags": 'rock, "hard"', "more": {"q": [1]}})
NESTED = json.dumps({"input": INNER, "model": "m"})
HALF = json.dumps(NESTED)[1:-1].replace('\\\\\\"', '\\\\"')  # as it was seen on the wire
RIGHT = json.dumps(INNER)
FORMS = {
    "nested once too little": f'{START}"param":"{HALF}",{REST}',
    "not escaped at all": f'{START}"param":"{INNER}",{REST}',
    "not escaped, with line ends": f'{START}"param":"{{"prompt":"a, \\"b\\"\nnew","model":"V5"}}",{REST}',
    "paramJson": f'{START}"paramJson":"{HALF}",{REST}',
    "both": f'{START}"param":"{HALF}","paramJson":"{INNER}",{REST}',
    "with white space": f'{START}\n "param" : "{HALF}" ,\n {REST}',
    "as the last key": f'{START}{REST[:-2]},"param":"{HALF}"}}}}',
}


@pytest.mark.parametrize("form", FORMS)
def test_the_value_is_cut_out_and_the_rest_is_read(form):
    body = FORMS[form].encode()
    with pytest.raises(ValueError):  # noqa: PT011  no JSON
        json.loads(body)
    assert classify_response(200, body) is None
    payload = parse_poll(body, "t")
    assert payload.observation
    assert (payload.kind, payload.observation.status) == (ParseOutcome.PARSED, "SUCCESS")
    assert [track.fields["id"] for track in payload.observation.tracks] == ["a"]
    assert "data.param" in payload.errors
    assert "param" not in payload.observation.details


def test_a_right_param_beside_a_broken_one_is_kept():
    parsed = parse_response_json(f'{START}"param":{RIGHT},"paramJson":"{HALF}",{REST}'.encode())
    assert (parsed.cut, parsed.value["data"]["param"]) == (True, INNER)


def test_a_body_that_is_right_is_left_alone():
    body = f'{START}"param":{RIGHT},{REST}'.encode()
    assert parse_response_json(body).value == json.loads(body)
    assert not parse_response_json(body).cut


@pytest.mark.parametrize(
    "raw", [b"", b"<html>", b'{"param":"', b'{"param":"x', b'{"a": 1,}', b'\xff{"param":"']
)
def test_what_is_broken_elsewhere_stays_no_json(raw):
    with pytest.raises(NotJsonError):
        parse_response_json(raw)


LARGE = 512 * 1024
HOSTILE = (
    '{"param":"',
    '"',
    '"' + " " * 19,
    "[",
    '\\"',
    '{"a":',
    '",   "',
    ',"' + "a" * 70,
    '","a":',
    '"}',
    "\\",
)


@pytest.mark.slow
@pytest.mark.parametrize("part", HOSTILE)
@pytest.mark.parametrize("start", ['{"param":"', '{"param":"{', '{"data":{"param":"{\\"'])
def test_no_body_takes_long(start, part):
    body = (start + part * (LARGE // len(part))).encode()
    began = time.process_time()
    with pytest.raises((NotJsonError, RecursionError)):
        parse_response_json(body)
    assert time.process_time() - began < 0.5
