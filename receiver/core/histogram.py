"""Durations counted in buckets, so that a median of millions needs a few dozen numbers.

A bucket is an eighth of a doubling wide, so a quantile is right to within five per cent.
"""

import math
from collections.abc import Mapping

BUCKETS_PER_DOUBLING = 8
MIN_S = 0.1
MAX_BUCKET = BUCKETS_PER_DOUBLING * 32


def bucket(seconds: float) -> int:
    """The number of this duration's bucket; everything up to a tenth of a second shares one."""
    doublings = math.log2(max(seconds, MIN_S) / MIN_S)
    return min(round(BUCKETS_PER_DOUBLING * doublings), MAX_BUCKET)


def middle_s(number: int) -> float:
    """The duration in the middle of a bucket, in seconds."""
    return MIN_S * math.exp2(number / BUCKETS_PER_DOUBLING)


def quantile_s(counts: Mapping[int, int], share: float) -> float | None:
    """The duration that this share of all durations do not exceed; None when nothing was counted."""
    total = sum(counts.values())
    reached = 0
    for number in sorted(counts):
        reached += counts[number]
        if total > 0 and reached >= share * total:
            return middle_s(number)
    return None
