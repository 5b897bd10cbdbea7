"""Activity of the last days, from the hourly counts."""

import json

from flask import Response

from receiver.core.times import humanize
from receiver.store import hourly_counts
from receiver.web.admin import activity, queries, time_series
from receiver.web.admin.activity import Plot
from receiver.web.admin.blueprint import blueprint, read_query, request_time
from receiver.web.admin.layout import page
from receiver.web.admin.time_series import BUCKET_LENGTHS, SUBJECTS, TimeSeries
from receiver.web.current import current_runtime

ROWS_SHOWN = 48


@blueprint.get("/activity")
def show_activity() -> Response:
    now, days = request_time(), read_query(queries.ACTIVITY)["days"]
    start = time_series.since(now, days)
    with current_runtime().database.read() as connection:
        counts = hourly_counts.by_hour(connection, SUBJECTS, since=start)
    series = time_series.bucket_counts(counts, start=start, now=now, length=BUCKET_LENGTHS[days])
    limit = current_runtime().settings.poll_limit
    plots = activity.draw(series, calls_per_s=limit.amount / limit.period_s)
    return page(
        "activity.html",
        live=True,
        days=days,
        windows=list(BUCKET_LENGTHS),
        bucket="hour" if BUCKET_LENGTHS[days] == time_series.HOUR else "day",
        plots=plots,
        data={plot.key: plot_json(plot, series) for plot in plots},
        rows_of=lambda plot: [
            (humanize(start, now), values)
            for start, values in activity.table_rows(plot, series.starts, limit=ROWS_SHOWN)
        ],
    )


def plot_json(plot: Plot, series: TimeSeries) -> str:
    """The plot as its script reads it."""
    return json.dumps(
        {
            "unit": plot.unit,
            "step": int(series.length.total_seconds()),
            "times": [int(start.timestamp()) for start in series.starts],
            "lines": [
                {"label": line.label, "colour": line.colour, "share": line.share, "values": line.values}
                for line in plot.lines
            ],
        },
        separators=(",", ":"),
    )
