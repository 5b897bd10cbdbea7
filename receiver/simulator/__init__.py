"""A simulated upstream: real HTTP, reproducible tasks, faults on demand."""

from .faults import FAULTS, POISONS
from .server import SimulatorServer
from .simulation import Simulator

__all__ = ["FAULTS", "POISONS", "Simulator", "SimulatorServer"]
