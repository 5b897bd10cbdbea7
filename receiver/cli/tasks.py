"""Commands about tasks, for a person at a terminal and for scripts."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from receiver.cli.context import open_runtime
from receiver.cli.output import (
    as_json,
    example,
    notify,
    print_result,
    printable,
    table_console,
)
from receiver.cli.parameters import TASK_ID, TEXT
from receiver.clock import utc_now
from receiver.core.settlement import Outcome
from receiver.core.validation import LABEL_RULE, is_label
from receiver.operations import register_task, request_task_poll
from receiver.store import deliveries, task_list, tasks
from receiver.store.audit_log import COMMAND
from receiver.store.database import Database
from receiver.store.task_list import Page, TaskFilter
from receiver.web.serializers import serialize_delivery, serialize_task

COLUMNS = {
    "task": "taskId",
    "outcome": "outcome",
    "status": "status",
    "tracks": "tracks",
    "callbacks": "callbacks",
    "polls": "polls",
    "first seen": "firstSeenAt",
    "label": "label",
}


@click.command(epilog=example('receiver register 5c79be8e --label "order 17"'))
@click.argument("task_id", type=TASK_ID)
@click.option("--label", type=TEXT, help="Text to find it by (up to 200 characters).")
@as_json
def register(task_id: str, label: str | None, as_json: bool) -> None:
    """Register a task, so that it is polled without callbacks."""
    if label and not is_label(label):
        raise click.BadParameter(LABEL_RULE, param_hint="--label")
    task, created = register_task(open_runtime(), task_id, label=label, now=utc_now(), actor=COMMAND)
    word = "registered" if created else "already exists"
    print_result(serialize_task(task), f"{task_id}: {word}, {task.settlement.outcome.value}", as_json=as_json)


@click.command(
    "tasks", epilog=example("receiver tasks --outcome unresolved", "receiver tasks --search tides")
)
@click.option(
    "--outcome",
    type=click.Choice([outcome.value for outcome in Outcome]),
    help="Only this outcome.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Maximum number of results."
)
@click.option("--search", type=TEXT, help="The start of a task id, or of words in label and titles.")
@as_json
def list_tasks(outcome: str | None, limit: int, search: str | None, as_json: bool) -> None:
    """List tasks, newest first."""
    page = _newest(open_runtime().database, TaskFilter(outcome=outcome, text=search), limit)
    shown = [serialize_task(task) for task in page.tasks]
    if as_json:
        click.echo(json.dumps(shown))
    else:
        table = Table(*COLUMNS)
        for task in shown:
            table.add_row(*(Text(_cell(task[name])) for name in COLUMNS.values()))  # and no markup
        table_console().print(table)
    if page.next is not None:
        notify("There are more results: raise --limit, or narrow the filters.")


@click.command(epilog=example("receiver show 5c79be8e"))
@click.argument("task_id", type=TASK_ID)
@as_json
def show(task_id: str, as_json: bool) -> None:
    """Show a task and its deliveries.

    --json prints everything, including the bodies of the deliveries.
    """
    with open_runtime().database.read() as connection:
        task = tasks.load(connection, task_id)
        log = deliveries.of_task(connection, task_id)
    if task is None and not log:
        raise _unknown(task_id)
    shown = task and serialize_task(task)
    if as_json:
        both = {"task": shown, "deliveries": [serialize_delivery(delivery) for delivery in log]}
        click.echo(json.dumps(both, indent=2))
        return
    for name, value in (shown or {}).items():
        if not isinstance(value, list) and value not in (None, ""):
            click.echo(f"{name:16}{_cell(value)}")
    for track in (shown or {}).get("tracks", ()):
        line = f"{'track':16}{track['id']}  {track['title'] or ''}  {track['audioUrl'] or 'no audio yet'}"
        click.echo(printable(line))
    for delivery in log:
        click.echo(f"{'delivery':16}{_line(serialize_delivery(delivery))}")


@click.command(epilog=example("receiver poll 5c79be8e"))
@click.argument("task_id", type=TASK_ID)
@as_json
def poll(task_id: str, as_json: bool) -> None:
    """Queue a task for polling now.

    The running poller calls record-info as soon as the quota allows.
    """
    requested = request_task_poll(open_runtime(), task_id, now=utc_now(), actor=COMMAND)
    if requested is None:
        raise _unknown(task_id)
    task = requested.task
    print_result(
        serialize_task(task), f"{task_id}: due now, {task.settlement.outcome.value}", as_json=as_json
    )


def _newest(database: Database, filters: TaskFilter, limit: int) -> Page:
    """Up to `limit` tasks, from as many pages as that takes."""
    with database.read() as connection:
        page = task_list.find(connection, filters, limit=limit)
        while page.next is not None and len(page.tasks) < limit:
            rest = replace(filters, before=page.next)
            more = task_list.find(connection, rest, limit=limit - len(page.tasks))
            page = Page(tasks=[*page.tasks, *more.tasks], next=more.next)
    return page


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(len(value)) if isinstance(value, list) else "" if value is None else printable(str(value))


def _line(delivery: Mapping[str, Any]) -> str:
    parts = (delivery["receivedAt"], delivery["source"], delivery["result"], delivery["status"] or "")
    wrong = "; ".join(f"{name}: {' '.join(texts)}" for name, texts in delivery["errors"].items())
    return printable("  ".join((*parts, wrong)).rstrip())


def _unknown(task_id: str) -> click.ClickException:
    return click.ClickException(f"Task {task_id!r} not found. Register it with: receiver register {task_id}")


COMMANDS = (register, list_tasks, show, poll)
