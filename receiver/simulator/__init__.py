"""A simulated upstream: real HTTP, reproducible tasks, faults on demand."""

from receiver.simulator.faults import FAULTS, POISONS
from receiver.simulator.server import SimulatorServer
from receiver.simulator.simulation import Simulator

__all__ = ["FAULTS", "POISONS", "Simulator", "SimulatorServer"]
