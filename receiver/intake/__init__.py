"""The one way in, whoever tells: see `Intake`."""

from receiver.intake.batch import Result
from receiver.intake.delivery import (
    Delivery,
    callback_delivery,
    poll_delivery,
    reported_status,
    result_of,
    within_bounds,
)
from receiver.intake.intake import Intake

__all__ = [
    "Delivery",
    "Intake",
    "Result",
    "callback_delivery",
    "poll_delivery",
    "reported_status",
    "result_of",
    "within_bounds",
]
