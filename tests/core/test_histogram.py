"""Spans of time counted in buckets."""

import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.core.histogram import MAX_BUCKET, MIN_S, bucket, middle_s, quantile_s

LAWS = settings(max_examples=25, deadline=None, derandomize=True)
YEAR_S = 365 * 86400.0
SPANS = st.floats(MIN_S, YEAR_S)
SHARES = st.sampled_from(("0.01", "0.25", "0.5", "0.9", "0.95", "0.99", "1"))


def nearest_rank(spans, share):
    """The smallest of these spans that at least this share of them are at most as long as."""
    return sorted(spans)[math.ceil(Fraction(share) * len(spans)) - 1]


@LAWS
@given(SPANS)
def test_a_bucket_is_right_to_within_five_per_cent(span):
    assert middle_s(bucket(span)) == pytest.approx(span, rel=0.05)


@LAWS
@given(st.lists(SPANS, min_size=1, max_size=60), SHARES)
def test_a_quantile_read_off_buckets_is_right_to_within_five_per_cent(spans, share):
    read = quantile_s(Counter(map(bucket, spans)), float(share))
    assert read == pytest.approx(nearest_rank(spans, share), rel=0.05)


@LAWS
@given(SPANS, SPANS)
def test_a_longer_span_is_never_in_a_lower_bucket(span, other):
    assert (bucket(span) <= bucket(other)) if span <= other else (bucket(span) >= bucket(other))


@LAWS
@given(st.integers(0, MAX_BUCKET))
def test_the_middle_of_a_bucket_is_in_it(number):
    assert bucket(middle_s(number)) == number


@LAWS
@given(st.dictionaries(st.integers(0, MAX_BUCKET), st.integers(1, 10**9), min_size=1))
def test_a_higher_share_never_has_a_shorter_span(counts):
    spans = [span for share in range(1, 21) if (span := quantile_s(counts, share / 20)) is not None]
    assert len(spans) == 20
    assert spans == sorted(spans)


@pytest.mark.parametrize("span", [-86400.0, -0.0, 0.0, 1e-300, MIN_S])
def test_no_time_at_all_and_a_clock_set_back_are_the_shortest_span(span):
    assert bucket(span) == 0


def test_what_is_too_long_to_be_true_is_the_longest_span():
    assert bucket(1e300) == MAX_BUCKET
    assert middle_s(MAX_BUCKET) > 13 * YEAR_S


def test_of_nothing_there_is_no_quantile():
    assert quantile_s({}, 0.5) is None
    assert quantile_s({3: 0}, 0.5) is None
    assert quantile_s({3: 1, 4: -1}, 0.5) is None


def test_a_bucket_that_was_counted_back_to_nothing_is_no_quantile():
    counts = {0: 0, 40: 1, 80: 1}
    assert quantile_s(counts, 0.5) == middle_s(40)
    assert quantile_s(counts, 0.95) == middle_s(80)
    assert quantile_s(counts, 0.001) == middle_s(40)


def test_the_order_of_counting_does_not_matter():
    spans = [5.0, 90.0, 7200.0, 0.3, 90.0]
    assert quantile_s(Counter(map(bucket, spans)), 0.5) == quantile_s(
        Counter(map(bucket, reversed(spans))), 0.5
    )


@pytest.mark.parametrize("total", [1, 2, 19, 20, 21, 100, 10**6, 10**6 + 1])
def test_ninety_five_of_a_hundred_are_at_most_as_long_as_the_95th_percentile(total):
    short = total * 95 // 100
    counts = {10: short, 20: total - short}
    exact = short * 100 == total * 95
    assert quantile_s(counts, 0.95) == middle_s(10 if exact else 20)
