"""Activity: what went on in the last days, out of counts that are kept by the hour."""

import json

from flask import Response, request

from receiver.runtime import utc_now
from receiver.store import tallies
from receiver.web.admin import activity, steps
from receiver.web.admin.activity import Plot
from receiver.web.admin.frame import blueprint, gather_health, page
from receiver.web.admin.moments import moment_words
from receiver.web.admin.steps import STEPS, SUBJECTS, Steps
from receiver.web.here import runtime_here

DEFAULT_DAYS = 7
ROWS_SHOWN = 48


@blueprint.get("/activity")
def show_activity() -> Response:
    now, days = utc_now(), _days()
    start = steps.since(now, days)
    with runtime_here().database.read() as connection:
        told = tallies.by_hour(connection, SUBJECTS, since=start)
    counted = steps.put_into_steps(told, start=start, now=now, length=STEPS[days])
    limit = runtime_here().settings.poll_limit
    plots = activity.draw(counted, calls_per_s=limit.amount / limit.period_s)
    return page(
        "activity.html",
        health=gather_health(),
        live=True,
        days=days,
        windows=list(STEPS),
        step="hour" if STEPS[days] == steps.HOUR else "day",
        plots=plots,
        series={plot.key: series_of(plot, counted) for plot in plots},
        rows_of=lambda plot: [
            (moment_words(moment, now), values)
            for moment, values in activity.table_rows(plot, counted.starts, most=ROWS_SHOWN)
        ],
    )


def series_of(plot: Plot, counted: Steps) -> str:
    """The plot as its script reads it."""
    return json.dumps(
        {
            "unit": plot.unit,
            "step": int(counted.length.total_seconds()),
            "times": [int(start.timestamp()) for start in counted.starts],
            "lines": [
                {"label": line.label, "colour": line.colour, "share": line.share, "values": line.values}
                for line in plot.lines
            ],
        },
        separators=(",", ":"),
    )


def _days() -> int:
    given = request.args.get("days", "")
    return int(given) if given in {str(days) for days in STEPS} else DEFAULT_DAYS
