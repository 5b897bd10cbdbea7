"""What each page takes in its address. An empty field of a form counts as not given."""

from marshmallow import fields, validate

from receiver.core.payloads import ParseOutcome
from receiver.core.settlement import Outcome
from receiver.store.audit_log import ActionKind
from receiver.store.quarantine import CAUSES
from receiver.store.task_list import Flag
from receiver.web.admin.time_series import BUCKET_LENGTHS
from receiver.web.api_input import MAX_SEARCH_CHARS
from receiver.web.strict_fields import MAX_ROW_ID, StrictSchema, WholeNumber, one_of, text

DEFAULT_DAYS = 7
SHOW_ALL = "yes"


def _row_id(name: str | None = None) -> WholeNumber:
    return WholeNumber(load_default=None, validate=validate.Range(min=1, max=MAX_ROW_ID), data_key=name)


class TaskListQuery(StrictSchema):
    outcome = one_of(Outcome, None, "")
    status = text(load_default=None)
    flag = fields.Enum(Flag, by_value=True, load_default=None)
    q = text(load_default=None, max_chars=MAX_SEARCH_CHARS)
    cursor = fields.String(load_default=None)


class QuarantineQuery(StrictSchema):
    cause = fields.Enum(ParseOutcome, by_value=True, load_default=None, validate=validate.OneOf(CAUSES))
    seen = fields.String(load_default=None, validate=validate.Equal(SHOW_ALL))
    delivery_id = _row_id("only")
    before = _row_id()


class AuditLogQuery(StrictSchema):
    kind = fields.Enum(ActionKind, by_value=True, load_default=None)
    before = _row_id()


class ActivityQuery(StrictSchema):
    days = WholeNumber(load_default=DEFAULT_DAYS, validate=validate.OneOf(tuple(BUCKET_LENGTHS)))


TASK_LIST, QUARANTINE = TaskListQuery(), QuarantineQuery()
AUDIT_LOG, ACTIVITY = AuditLogQuery(), ActivityQuery()
