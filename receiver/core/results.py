"""What becomes of deliveries and refused callbacks. The values are stored, and are labels of metrics."""

from enum import StrEnum


class DeliveryResult(StrEnum):
    """What became of a stored delivery. `UNKNOWN`: record-info does not know the task."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    UNSUPPORTED = "unsupported"
    UNKNOWN = "unknown"


class RefusalReason(StrEnum):
    """Why a callback was refused and not stored."""

    WRONG_TOKEN = "wrong_token"  # noqa: S105
    BAD_SIGNATURE = "bad_signature"
    TOO_LARGE = "too_large"
    CUT_OFF = "cut_off"
