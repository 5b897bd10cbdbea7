"""Commands that maintain a deployment: settings, check, upgrade, rebuild, prune."""

import os
import re
import shlex
import sys
from datetime import timedelta

import click

from receiver.cli.context import open_database, open_runtime, settings
from receiver.cli.output import as_json, count, example, print_result, progress
from receiver.cli.parameters import TEXT
from receiver.clock import utc_now
from receiver.maintenance import Pruning
from receiver.operations import count_tasks, every_task_id, rebuild_task, record_action
from receiver.settings import EXAMPLE
from receiver.store.audit_log import COMMAND, ActionKind

MAX_NAMED_TASKS = 100  # of more changed tasks only the number is printed


@click.command("settings", epilog=example("receiver settings > receiver.env"))
@as_json
def settings_(as_json: bool) -> None:
    """List all settings, as a file to begin with.

    The required ones are empty, and the others have their defaults. With --json it is an object by name.
    """
    text = EXAMPLE.read_text(encoding="utf-8")
    given = re.findall(r"^#?(RECEIVER_\w+)=(.*)$", text, re.MULTILINE)
    print_result({name: "".join(shlex.split(value)) for name, value in given}, text.rstrip(), as_json=as_json)


@click.command(epilog=example("receiver check --url https://receiver.example.org"))
@click.option(
    "--url", type=TEXT, help="The public URL of this receiver; without it the callback URL is not tested."
)
@click.option("--settings", "settings_only", is_flag=True, help="Check the settings only.")
@as_json
def check(url: str | None, settings_only: bool, as_json: bool) -> None:
    """Diagnose this deployment.

    Checks the settings, the database and its disk, the poller, the clocks, the key at the upstream, and with --url
    the way in from outside. Exit code 1 when a check FAILs; warnings alone are no failure.
    """
    from receiver.check import Level, check_settings, run_checks

    if settings_only and url is not None:
        raise click.UsageError("--settings tests no URL: leave one of --settings and --url out.")
    findings = check_settings(os.environ) if settings_only else run_checks(os.environ, url=url, now=utc_now())
    print_result([finding.as_json for finding in findings], "\n".join(map(str, findings)), as_json=as_json)
    sys.exit(1 if any(finding.level is Level.FAIL for finding in findings) else 0)


@click.command(epilog=example("receiver upgrade"))
@as_json
def upgrade(as_json: bool) -> None:
    """Migrate the database.

    Creates the tables where there are none. The server does the same when it starts. With a million tasks an
    upgrade takes minutes. Make a backup first.
    """
    database = open_database(settings(), may_create=True)
    versions = database.schema_versions()
    database.migrate()
    before, after = versions.tables, versions.program
    words = f"Migrated the tables from version {before} to {after}."
    if not versions.pending:
        words = f"The tables already have version {after}."
    elif before is None:
        words = f"Created the tables, of version {after}."
    print_result({"from": before, "to": after}, words, as_json=as_json)


@click.command(epilog=example("receiver rebuild"))
@as_json
def rebuild(as_json: bool) -> None:
    """Rebuild all tasks from stored deliveries.

    Without an upgrade this changes nothing; after one it applies the newer rules to older deliveries. The server may
    run meanwhile.
    """
    runtime, now = open_runtime(), utc_now()
    rebuilt, changed, names = 0, 0, list[str]()
    total = count_tasks(runtime)
    with progress("Rebuilding") as report:
        for rebuilt, task_id in enumerate(every_task_id(runtime), start=1):
            if rebuild_task(runtime, task_id, now=now):
                changed += 1
                names += [task_id] if len(names) < MAX_NAMED_TASKS else []
            report(rebuilt, total)
    record_action(runtime, ActionKind.REBUILT, now=now, actor=COMMAND, detail={"changed": changed})
    summary = {"tasks": rebuilt, "changed": changed, "taskIds": names}
    print_result(
        summary, "\n".join([*names, f"{changed} of {count(rebuilt, 'task')} changed"]), as_json=as_json
    )


@click.command(epilog=example("receiver prune"))
@as_json
def prune(as_json: bool) -> None:
    """Drop raw bodies older than RECEIVER_RETENTION_DAYS.

    The server does the same once a day, and may run meanwhile. Rows and states stay, and so do the bodies of unsettled
    tasks.
    """
    runtime, now = open_runtime(), utc_now()
    before = now - timedelta(days=runtime.settings.retention_days)
    pruning = Pruning(runtime.database, received_before=before)
    with progress("Pruning") as report:
        while pruning.run_once():
            report(pruning.place, pruning.end)
    record_action(runtime, ActionKind.PRUNED, now=now, actor=COMMAND, detail={"bodies": pruning.dropped})
    print_result({"dropped": pruning.dropped}, f"{count(pruning.dropped, 'body')} dropped", as_json=as_json)


COMMANDS = (settings_, check, upgrade, rebuild, prune)
