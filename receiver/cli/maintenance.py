"""Commands that keep a deployment well: check, upgrade, rebuild, prune."""

import os
import sys
from datetime import timedelta

import click

from receiver.cli.context import open_database, open_runtime, settings
from receiver.cli.output import as_json, example, print_result, progress
from receiver.clock import utc_now
from receiver.maintenance import Pruning
from receiver.operations import count_tasks, every_task_id, rebuild_task, record_action
from receiver.store.audit_log import COMMAND, ActionKind

NAMED = 100  # of more changed tasks only the number is told


@click.command(epilog=example("receiver check --url https://receiver.example.org"))
@click.option("--url", help="Where the upstream reaches this receiver; without it that is not looked at.")
@click.option("--settings", "settings_only", is_flag=True, help="Look at the settings, and at nothing else.")
@as_json
def check(url: str | None, settings_only: bool, as_json: bool) -> None:
    """Say in plain words what is wrong with this deployment.

    Looks at the settings, the database and its disk, the poller, the clocks, the key at the upstream, and with
    --url at the way from outside. Exit code 1 when something is BAD; a warning alone is no failure.
    """
    from receiver.check import Level, check_settings, run_checks

    findings = check_settings(os.environ) if settings_only else run_checks(os.environ, url=url, now=utc_now())
    print_result([finding.shown for finding in findings], "\n".join(map(str, findings)), as_json=as_json)
    sys.exit(1 if any(finding.level is Level.BAD for finding in findings) else 0)


@click.command(epilog=example("receiver upgrade"))
@as_json
def upgrade(as_json: bool) -> None:
    """Bring the database's tables to this version.

    Makes them where there are none. The server does the same when it starts; CHANGELOG.md says what an upgrade
    costs. Make a backup before it.
    """
    database = open_database(settings(), may_create=True)
    versions = database.schema_versions()
    database.migrate()
    before, after = versions.tables, versions.program
    words = f"The tables were brought from version {before or 'none'} to {after}."
    already = f"The tables are of version {after} already."
    print_result({"from": before, "to": after}, words if versions.pending else already, as_json=as_json)


@click.command(epilog=example("receiver rebuild"))
@as_json
def rebuild(as_json: bool) -> None:
    """Derive every task again from its stored deliveries.

    With the same version of the program this changes nothing; after an upgrade it reads by the newer rules what
    came before. The server may run meanwhile.
    """
    runtime, now = open_runtime(), utc_now()
    looked_at, changed, names = 0, 0, list[str]()
    total = count_tasks(runtime)
    with progress("Rebuilding") as tell:
        for looked_at, key in enumerate(every_task_id(runtime), start=1):
            if rebuild_task(runtime, key, now=now):
                changed += 1
                names += [key] if len(names) < NAMED else []
            tell(looked_at, total)
    record_action(runtime, ActionKind.REBUILT, now=now, actor=COMMAND, detail={"changed": changed})
    summary = {"tasks": looked_at, "changed": changed, "taskIds": names}
    print_result(summary, "\n".join([*names, f"{changed} of {looked_at} tasks changed"]), as_json=as_json)


@click.command(epilog=example("receiver prune"))
@as_json
def prune(as_json: bool) -> None:
    """Drop raw bodies older than RECEIVER_RETENTION_DAYS.

    The server does it itself once a day, and may run meanwhile. Rows and states stay; bodies of tasks that are not
    settled stay too.
    """
    runtime, now = open_runtime(), utc_now()
    before = now - timedelta(days=runtime.settings.retention_days)
    pruning = Pruning(runtime.database, received_before=before)
    with progress("Pruning") as tell:
        while pruning.run_once():
            tell(pruning.place, pruning.end)
    record_action(runtime, ActionKind.PRUNED, now=now, actor=COMMAND, detail={"bodies": pruning.dropped})
    print_result({"dropped": pruning.dropped}, f"{pruning.dropped} bodies dropped", as_json=as_json)


COMMANDS = (check, upgrade, rebuild, prune)
