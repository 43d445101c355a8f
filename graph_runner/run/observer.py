"""How a host looks on while a run computes: at what nodes give, and at what loops are at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from graph_runner.bind.graph import Slot
from graph_runner.contract import PortType


class Observer(Protocol):
    """Looks on, and changes nothing: what it is shown is the run's own. What it raises ends the run."""

    def on_values(self, node: str, values: Mapping[Slot, Any], types: Mapping[Slot, PortType]) -> None:
        """A node at the top has given these outputs, or the cache has instead of it."""
        ...

    def on_turn(self, folder: Path, zone: str, turn: int, given: Mapping[str, Any]) -> None:
        """A loop at the top is at this step, and its body was last given these values at its inner ports; now and then.

        folder: the run's.
        """
        ...
