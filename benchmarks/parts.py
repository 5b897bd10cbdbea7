"""CPU time of each part of a callback, by itself, in one thread on SQLite: `python -m benchmarks.parts`.

Under load each takes about 1.5 times as long, the bare route, too: processes and threads share caches and one lock.
"""

import io
import logging
import secrets
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from flask import Flask
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.generations import complete_callback
from benchmarks.peers.flask_bare import app as bare
from receiver.app import build_app
from receiver.intake import Delivery, callback_delivery
from receiver.intake.batch import Batch
from receiver.runtime import Runtime, open_runtime
from receiver.settings import load_settings
from tests.servers.processes import CALLBACK_TOKEN, environment

Times = Mapping[str, Sequence[float]]


@click.command()
@click.option("--rounds", default=30, show_default=True)
def main(rounds: int) -> None:
    """Print microseconds of CPU for each callback, in batches of several sizes: medians over the rounds."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        runtime = open_runtime(load_settings(environment(Path(folder))), migrate=True)
        measured = {size: measure(runtime, size, rounds) for size in (1, 4, 12, 32)}
        requests = measure_requests(build_app(runtime), rounds)
    table = Table("part", *(f"batch of {size}" for size in measured), box=box.MARKDOWN)
    for part in measured[1]:
        table.add_row(part, *(f"{statistics.median(times[part]):.0f}" for times in measured.values()))
    Console(width=110).print(table)
    for name, times in requests.items():
        click.echo(f"{name}: {statistics.median(times):.0f}")


def measure(runtime: Runtime, size: int, rounds: int) -> Times:
    """The parts of one batch of new tasks, in each round; the first rounds warm up."""
    times: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        began = time.thread_time()
        yield
        times[part].append((time.thread_time() - began) * 1e6 / size)

    for _ in range(rounds + 5):
        bodies = [complete_callback(secrets.token_hex(16)) for _ in range(size)]
        with timed("parse"):
            deliveries = [_delivery(body) for body in bodies]
        batch = Batch(rules=runtime.settings.rules, jitter=lambda: 0.0)
        with timed("prepare"):
            if size > 1:
                with runtime.database.read() as connection:
                    batch = batch.with_prepared(connection, deliveries)
            else:
                batch = replace(batch, deliveries=deliveries)
        with runtime.database.write() as connection:
            with timed("write"):
                batch.store(connection)
            began = time.thread_time()
        times["commit"].append((time.thread_time() - began) * 1e6 / size)
    return {part: each[5:] for part, each in times.items()}


def _delivery(body: bytes) -> Delivery:
    return callback_delivery(body, now=datetime.now(UTC), secrets=(CALLBACK_TOKEN,))


def measure_requests(app: Flask, rounds: int) -> Times:
    """The way of a request through the application to its view and back: a refused method, or the bare route."""
    body = complete_callback(secrets.token_hex(16))
    works: Mapping[str, Callable[[], None]] = {
        "a bare Flask route": lambda: _request(bare, "POST", "/callbacks", body),
        "a callback that stores nothing": lambda: _request(app, "GET", f"/callbacks/{CALLBACK_TOKEN}", body),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            began = time.thread_time()
            for _ in range(100):
                work()
            times[name].append((time.thread_time() - began) * 1e4)
    return times


def _request(app: Flask, method: str, path: str, body: bytes) -> None:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
    }
    b"".join(app(environ, lambda _status, _headers, _error=None: lambda _data: None))


if __name__ == "__main__":
    main()
