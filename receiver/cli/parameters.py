"""The types of parameters that several commands have."""

from typing import Any

import click

from receiver.core.validation import TASK_ID_RULE, UNSTORABLE, parse_task_id


class TaskIdType(click.ParamType[str]):
    name = "task_id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        task_id = parse_task_id(value)
        if task_id is None:
            self.fail(f"not a task id: {TASK_ID_RULE}", param)
        return task_id


class TextType(click.ParamType[str]):
    """Text that can be stored, sent and searched for. An argument may hold any bytes."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if UNSTORABLE.search(value):
            self.fail("must be text in UTF-8", param)
        return str(value)


TASK_ID, TEXT = TaskIdType(), TextType()
