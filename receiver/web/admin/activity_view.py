"""Activity: what went on in the last days, out of counts that are kept by the hour."""

import json

from flask import Response, request

from receiver.clock import utc_now
from receiver.store import hourly_counts
from receiver.web.admin import activity, time_series
from receiver.web.admin.activity import Plot
from receiver.web.admin.layout import blueprint, gather_health, page
from receiver.web.admin.time_series import INTERVALS, SUBJECTS, TimeSeries
from receiver.web.admin.times import humanize
from receiver.web.current import current_runtime

DEFAULT_DAYS = 7
ROWS_SHOWN = 48


@blueprint.get("/activity")
def show_activity() -> Response:
    now, days = utc_now(), _days()
    start = time_series.since(now, days)
    with current_runtime().database.read() as connection:
        told = hourly_counts.by_hour(connection, SUBJECTS, since=start)
    counted = time_series.bucket_counts(told, start=start, now=now, length=INTERVALS[days])
    limit = current_runtime().settings.poll_limit
    plots = activity.draw(counted, calls_per_s=limit.amount / limit.period_s)
    return page(
        "activity.html",
        health=gather_health(),
        live=True,
        days=days,
        windows=list(INTERVALS),
        step="hour" if INTERVALS[days] == time_series.HOUR else "day",
        plots=plots,
        series={plot.key: series_of(plot, counted) for plot in plots},
        rows_of=lambda plot: [
            (humanize(moment, now), values)
            for moment, values in activity.table_rows(plot, counted.starts, most=ROWS_SHOWN)
        ],
    )


def series_of(plot: Plot, counted: TimeSeries) -> str:
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
    return int(given) if given in {str(days) for days in INTERVALS} else DEFAULT_DAYS
