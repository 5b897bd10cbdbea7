"""The one way in for callbacks and for answers to polls: see `Intake`."""

from receiver.intake.applied import Result
from receiver.intake.delivery import Delivery, callback_delivery, poll_delivery
from receiver.intake.intake import Intake

__all__ = ["Delivery", "Intake", "Result", "callback_delivery", "poll_delivery"]
