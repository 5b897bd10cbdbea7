"""The family's one signature scheme, and what is said to a sender who gets it wrong."""

from datetime import UTC, datetime, timedelta

import pytest

from receiver.core.signature import problem_with_signature, sign

KEY = "a key that only the two of us hold"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
SIGNED = sign(KEY, task_id="2fac", timestamp=STAMP)


def problem(*, task_id="2fac", timestamp=STAMP, signature=SIGNED, key=KEY, now=NOW, tolerance_s=300.0):
    return problem_with_signature(
        key, task_id=task_id, timestamp=timestamp, signature=signature, now=now, tolerance_s=tolerance_s
    )


def test_the_signature_is_base64_of_hmac_sha256_over_task_id_dot_timestamp():
    assert (
        sign("key", task_id="task", timestamp="1700000000") == "gvI6gL9GybgZDXL/Mpk0Ccf/YM23cSLbj/iqVul3HJI="
    )


def test_a_valid_signature_has_no_problem():
    assert problem() is None


@pytest.mark.parametrize("missing", ["timestamp", "signature"])
def test_a_missing_header_is_named(missing):
    assert "required" in problem(**{missing: ""})


@pytest.mark.parametrize(
    "timestamp", ["now", "-5", "1.5", " 17", "²", "١٢", "1" * 16, "2026-03-01T12:00:00Z"]
)
def test_a_timestamp_that_is_not_unix_seconds_is_refused_even_when_signed(timestamp):
    signature = sign(KEY, task_id="2fac", timestamp=timestamp)
    assert "Unix seconds" in problem(timestamp=timestamp, signature=signature)


@pytest.mark.parametrize("signature", ["x", SIGNED[:-1], SIGNED.lower(), f" {SIGNED}", "ünïcode", "ÿ" * 44])
def test_a_wrong_signature_is_refused(signature):
    assert "does not match" in problem(signature=signature)


def test_a_signature_for_another_task_another_time_or_by_another_key_is_refused():
    assert "does not match" in problem(task_id="other")
    assert "does not match" in problem(timestamp=str(int(STAMP) + 1))
    assert "does not match" in problem(key="another key")


@pytest.mark.parametrize("sign_of_time", [1, -1])
def test_a_signature_is_valid_up_to_the_tolerance_and_stale_after_it_both_ways(sign_of_time):
    assert problem(now=NOW + sign_of_time * timedelta(seconds=300)) is None
    assert "more than 300 seconds" in problem(now=NOW + sign_of_time * timedelta(seconds=301))


def test_the_tolerance_may_be_a_fraction_and_is_shown():
    assert "more than 0.5 seconds" in problem(now=NOW + timedelta(seconds=1), tolerance_s=0.5)


def test_a_forger_is_not_shown_whether_the_time_was_right():
    stale = problem(signature="forged", now=NOW + timedelta(days=1))
    assert stale == problem(signature="forged")


def test_a_signature_problem_never_tells_the_right_signature():
    assert SIGNED not in problem(signature="forged")
    assert KEY not in problem(signature="forged")
