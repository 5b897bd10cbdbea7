"""The commands: `receiver --help`."""

import json
import os
import random
import signal
import sys
import time
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from receiver.core.payloads.envelope import readable_task_id
from receiver.core.task import Task
from receiver.operations import (
    every_task_id,
    note_done,
    prune_bodies,
    rebuild_task,
    register_task,
    request_task_poll,
)
from receiver.runtime import Runtime, build_runtime, utc_now
from receiver.settings import Settings, SettingsError, load_settings
from receiver.store import deliveries, listing, tasks
from receiver.store.actions import COMMAND, Kind
from receiver.store.database import StoreUnavailableError
from receiver.web.views import show_delivery, show_task

console = Console(stderr=True)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class TaskId(click.ParamType[str]):
    name = "task_id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        task_id = readable_task_id(value)
        if task_id is None:
            self.fail("not a task id: text without white space or slashes, 200 characters at most", param)
        return task_id


TASK_ID = TaskId()


@click.group()
def main() -> None:
    """Receive callbacks of a Suno-style API, poll for the missing ones, keep one state per task.

    Settings come from RECEIVER_* variables; config/receiver.env.example lists them all.
    """


@main.command()
@click.option("--tasks", "count", type=click.IntRange(1, 10_000), default=60, show_default=True)
@click.option("--seed", type=int, default=None, help="Repeat a run; a random one by default.")
@click.option("--exit", "leave", is_flag=True, help="End when every task is settled; the last line is JSON.")
def demo(count: int, seed: int | None, leave: bool) -> None:
    """Run the receiver against the simulator, with every kind of trouble."""
    from receiver.demo import run_demo
    from receiver.demo.deployment import DemoError

    chosen = random.randrange(1_000_000) if seed is None else seed
    console.print(f"Seed {chosen}")
    for ending in (signal.SIGINT, signal.SIGTERM):  # either ends the receiver and the simulator too
        signal.signal(ending, signal.default_int_handler)
    try:
        report = run_demo(count=count, seed=chosen, stay=not leave, console=console)
    except DemoError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        raise click.Abort from None
    click.echo(json.dumps(asdict(report)))
    sys.exit(1 if report.mismatched else 0)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=9000, show_default=True)
@click.option("--fault", "faults", multiple=True, metavar="NAME=PROBABILITY", help="May be given often.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="How many times faster than real.")
@click.option("--seed", type=int, default=None, help="Repeat a run; a random one by default.")
@click.option("--api-key", default="", help="Refuse calls with another key.")
@click.option("--signing-key", default="", help="Sign callbacks with it.")
@click.option("--list-faults", is_flag=True, help="Print the faults' names and what they do.")
def simulator(
    host: str,
    port: int,
    faults: tuple[str, ...],
    speed: float,
    seed: int | None,
    api_key: str,
    signing_key: str,
    list_faults: bool,
) -> None:
    """Serve an upstream to aim at a deployment of your own."""
    from receiver.simulator import FAULTS, Simulator, SimulatorServer

    if list_faults:
        for name, meaning in FAULTS.items():
            click.echo(f"{name:26}{meaning}")
        return
    try:
        wanted = {name: float(chance) for name, _, chance in (fault.partition("=") for fault in faults)}
        chosen = random.randrange(1_000_000) if seed is None else seed
        upstream = Simulator(
            faults=wanted, speed=speed, seed=chosen, api_key=api_key, signing_key=signing_key
        )
    except ValueError as error:
        raise click.BadParameter(f"{error} (see --list-faults)", param_hint="--fault") from None
    with SimulatorServer(upstream, host=host, port=port) as server:
        console.print(f"Serving {server.url} with seed {chosen}; Ctrl-C ends it.")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return


@main.command()
@as_json
def check(as_json: bool) -> None:
    """Check settings, database and the key at the upstream; exit code 1 when something is wrong."""
    from receiver.check import run_checks

    findings = run_checks(os.environ, now=utc_now())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            click.echo(f"{'ok  ' if finding.ok else 'BAD '} {finding.name}: {finding.detail}")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


@main.command()
@click.argument("task_id", type=TASK_ID)
@click.option("--label")
@as_json
def register(task_id: str, label: str | None, as_json: bool) -> None:
    """Register a task, so that it is polled when its callbacks are missing."""
    task, created = register_task(_runtime(), task_id, label=label, now=utc_now(), actor=COMMAND)
    _print_task(task, as_json, "registered" if created else "known")


@main.command("tasks")
@click.option("--outcome", type=click.Choice(["in_progress", "succeeded", "failed", "unresolved"]))
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--search", help="Part of an id, a label or a title.")
@as_json
def list_tasks(outcome: str | None, limit: int, search: str | None, as_json: bool) -> None:
    """List tasks, newest first."""
    with _runtime().database.read() as connection:
        found = listing.find(connection, listing.Filter(outcome=outcome, text=search), limit=limit).tasks
    if as_json:
        click.echo(json.dumps([show_task(task) for task in found]))
        return
    table = Table("task", "outcome", "status", "tracks", "callbacks", "polls", "first seen", "label")
    for task in found:
        shown = show_task(task)
        names = ("taskId", "outcome", "status", "tracks", "callbacks", "polls", "firstSeenAt", "label")
        cells = [str(len(shown[name])) if name == "tracks" else str(shown[name] or "") for name in names]
        table.add_row(*cells)
    Console().print(table)


@main.command()
@click.argument("task_id", type=TASK_ID)
def show(task_id: str) -> None:
    """Print a task and all its deliveries as JSON."""
    with _runtime().database.read() as connection:
        task = tasks.load(connection, task_id)
        told = deliveries.of_task(connection, task_id)
    if task is None and not told:
        raise _unknown(task_id)
    shown = {"task": task and show_task(task), "deliveries": [show_delivery(delivery) for delivery in told]}
    click.echo(json.dumps(shown, indent=2, ensure_ascii=False))


@main.command()
@click.argument("task_id", type=TASK_ID)
@as_json
def poll(task_id: str, as_json: bool) -> None:
    """Have the running poller ask record-info about a task as soon as the quota allows."""
    task = request_task_poll(_runtime(), task_id, now=utc_now(), actor=COMMAND)
    if task is None:
        raise _unknown(task_id)
    _print_task(task, as_json, "due now")


@main.command()
@as_json
def rebuild(as_json: bool) -> None:
    """Fold all stored deliveries again; with the same version of the program this changes nothing."""
    runtime, now = _runtime(), utc_now()
    changed = [
        key
        for key in track(every_task_id(runtime), "Rebuilding", console=console)
        if rebuild_task(runtime, key, now=now)
    ]
    note_done(runtime, Kind.REBUILT, now=now, actor=COMMAND, detail={"changed": len(changed)})
    click.echo(json.dumps({"changed": changed}) if as_json else f"{len(changed)} tasks changed")


@main.command()
@as_json
def prune(as_json: bool) -> None:
    """Drop the raw bodies of settled tasks that are older than RECEIVER_RETENTION_DAYS."""
    dropped = prune_bodies(_runtime(), now=utc_now(), actor=COMMAND)
    click.echo(json.dumps({"dropped": dropped}) if as_json else f"{dropped} bodies dropped")


@main.command()
def upgrade() -> None:
    """Bring the database to this version's tables; the server does it at start as well."""
    _runtime()
    click.echo("The database is up to date.")


def _settings() -> Settings:
    try:
        return load_settings(os.environ)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def _runtime() -> Runtime:
    try:
        return build_runtime(_settings())
    except StoreUnavailableError as error:
        raise click.ClickException(f"The database cannot be used: {error}") from None


def _print_task(task: Task, as_json: bool, word: str) -> None:
    click.echo(
        json.dumps(show_task(task)) if as_json else f"{task.task_id}: {word}, {task.verdict.outcome.value}"
    )


def _unknown(task_id: str) -> click.ClickException:
    return click.ClickException(
        f"No task {task_id!r} is known here; register it with: receiver register {task_id}"
    )
