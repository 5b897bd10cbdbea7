"""Commands to try the receiver with: the demo and the simulated upstream."""

import json
import random
import signal
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from receiver.cli.output import as_json, console, example, notify
from receiver.cli.parameters import TEXT

if TYPE_CHECKING:
    from receiver.simulator import SimulatorServer


@click.command(epilog=example("receiver demo --tasks 40 --seed 7 --exit"))
@click.option(
    "--tasks", "count", type=click.IntRange(1, 10_000), default=60, show_default=True, help="Number of tasks."
)
@click.option("--seed", type=int, default=None, help="Repeat a run; a random one by default.")
@click.option("--exit", "leave", is_flag=True, help="End when every task is settled; the last line is JSON.")
@click.option("--json", is_flag=True, expose_value=False, help="No effect: the last line is always JSON.")
def demo(count: int, seed: int | None, leave: bool) -> None:
    """Run the receiver against all simulated faults."""
    from receiver.demo import run_demo
    from receiver.demo.deployment import DemoError

    seed = random.randrange(1_000_000) if seed is None else seed
    notify(f"Seed {seed}")
    for ending in (signal.SIGINT, signal.SIGTERM):  # either ends the receiver and the simulator too
        signal.signal(ending, signal.default_int_handler)
    try:
        report = run_demo(count=count, seed=seed, stay=not leave, console=console)
    except DemoError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        raise click.Abort from None
    click.echo(json.dumps(asdict(report)))
    sys.exit(1 if report.mismatched else 0)


class FaultType(click.ParamType[tuple[str, float]]):
    name = "fault"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        name, _, chance = str(value).partition("=")
        try:
            return name, float(chance)
        except ValueError:
            self.fail(f"{value!r} is not NAME=PROBABILITY, such as callback-lost=0.2", param)


FAULT = FaultType()


@click.command(epilog=example("receiver simulator --port 9000 --fault callback-lost=0.2 --speed 10"))
@click.option("--host", type=TEXT, default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=9000, show_default=True, help="0: any free one."
)
@click.option("--fault", "faults", type=FAULT, multiple=True, metavar="NAME=PROBABILITY", help="Repeatable.")
@click.option(
    "--speed",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Times faster than real.",
)
@click.option("--seed", type=int, default=None, help="Repeat a run; a random one by default.")
@click.option("--api-key", type=TEXT, default="", help="Reject calls with another key.")
@click.option("--signing-key", type=TEXT, default="", help="Sign callbacks with this key.")
@click.option("--list-faults", is_flag=True, help="List the faults and what they do.")
@as_json
def simulator(
    host: str,
    port: int,
    faults: tuple[tuple[str, float], ...],
    speed: float,
    seed: int | None,
    api_key: str,
    signing_key: str,
    list_faults: bool,
    as_json: bool,
) -> None:
    """Run a simulated upstream API."""
    from receiver.simulator import FAULTS, Simulator, SimulatorServer

    if list_faults:
        lines = [f"{name:26}{meaning}" for name, meaning in FAULTS.items()]
        click.echo(json.dumps(dict(FAULTS)) if as_json else "\n".join(lines))
        return
    seed = random.randrange(1_000_000) if seed is None else seed
    try:
        upstream = Simulator(
            faults=dict(faults), speed=speed, seed=seed, api_key=api_key, signing_key=signing_key
        )
    except ValueError as error:
        raise click.BadParameter(f"{error} (see --list-faults)", param_hint="--fault") from None
    _serve(SimulatorServer(upstream, host=host, port=port), seed=seed, as_json=as_json)


def _serve(server: "SimulatorServer", *, seed: int, as_json: bool) -> None:
    """Serve until Ctrl-C."""
    try:
        server.start()
    except OSError as error:
        raise click.ClickException(str(error)) from None
    try:
        if as_json:
            click.echo(json.dumps({"url": server.url, "seed": seed}))
        notify(f"Serving {server.url} with seed {seed}; stop it with Ctrl-C.")
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return
    finally:
        server.stop()


COMMANDS = (demo, simulator)
