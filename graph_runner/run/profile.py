"""Where a run spends its time and memory: counted at each call of a node, inside of loops too."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from graph_runner.base.files import write_atomically
from graph_runner.compile.plan import Unit
from graph_runner.run.gauges import DeviceClock, memory_of
from graph_runner.run.interpreter import Do, Frame

if TYPE_CHECKING:
    from graph_runner.run.activation import Activation

PROFILE, TRACE = "profile.json", "trace.json"
"""What a profile is written to, in the run's folder."""
TRACED = 200
"""The trace shows so many calls of each node, the first ones: a training of a million steps must not fill the disk."""
MEASURED = 16
"""Memory is read around so many calls of each node, the first ones: reading takes longer than many a node."""


@dataclass
class NodeProfile:
    """What one node took: its calls, and the seconds of all of them.

    own_seconds: without those of the nodes inside of a zone. device_seconds: on a GPU, from the beginning to the end of the
    calls' work there; None elsewhere. memory: bytes by which memory in use grew in a call, at most, with what is inside of a
    zone; 0 where the system does not tell.
    """

    type: str
    calls: int = 0
    seconds: float = 0.0
    own_seconds: float = 0.0
    device_seconds: float | None = None
    memory: int = 0


class Profile:
    """Does steps as `do` does, and counts what they take (see `graph_runner.run.interpreter.Do`).

    Of calls that were made as one, each has an equal part. What counting takes, some microseconds a call, is the zone's around.
    """

    def __init__(self, do: Do, device: torch.device) -> None:
        self.do, self.device = do, device
        self.nodes: dict[str, NodeProfile] = {}
        self.seconds = 0.0
        self.memory = memory_of(device)
        self.clock = DeviceClock(device) if device.type == "cuda" else None
        self._began = time.perf_counter()
        self._inside = 0.0  # seconds of the steps done so far in the step that is being done
        self._peak = 0  # the most memory seen so far in the step that is being done
        self._events: list[dict[str, Any]] = []
        self._left_out = 0

    def __call__(self, unit: Unit, frame: Frame, around: Activation) -> Sequence[Any]:
        """Do a step."""
        nodes = [self.nodes.setdefault(step.id, NodeProfile(step.spec.type)) for step in unit.members]
        before, self._inside = self._inside, 0.0
        mark = self.clock.mark() if self.clock is not None else None
        began = time.perf_counter()
        try:
            with self._measured(nodes):
                return self.do(unit, frame, around)
        finally:
            spent = time.perf_counter() - began
            own, self._inside = spent - self._inside, before + spent
            self._trace(unit, nodes[0], began, spent, around)
            for node in nodes:
                node.calls += 1
                node.seconds += spent / len(nodes)
                node.own_seconds += own / len(nodes)
            if self.clock is not None:
                self.clock.add(tuple(step.id for step in unit.members), mark)

    @contextmanager
    def _measured(self, nodes: list[NodeProfile]) -> Iterator[None]:
        """While inside, look for the most memory in use, for these nodes and for what is around them."""
        memory = self.memory
        if memory is None or nodes[0].calls >= MEASURED:
            yield
            return
        around = max(self._peak, memory.peak())
        memory.reset()
        before = self._peak = memory.now()
        try:
            yield
        finally:
            peak = max(self._peak, memory.peak())
            for node in nodes:
                node.memory = max(node.memory, peak - before)
            memory.reset()
            self._peak = max(around, peak)

    def _trace(self, unit: Unit, node: NodeProfile, began: float, spent: float, around: Activation) -> None:
        if node.calls >= TRACED:
            self._left_out += 1
            return
        self._events.append(
            {
                "name": " + ".join(step.id for step in unit.members),
                "cat": node.type,
                "ph": "X",
                "ts": round((began - self._began) * 1e6, 3),
                "dur": round(spent * 1e6, 3),
                "pid": 1,
                "tid": 1,
                "args": {"turns": list(around.turns)},
            }
        )

    def write(self, folder: Path, seconds: float) -> None:
        """End it, and write it into the run's folder; seconds: of the whole run. Raises OSError where the disk refuses.

        The trace is in Chrome's trace event format, which Perfetto opens.
        """
        self.seconds = seconds
        if self.clock is not None:
            self.clock.drain()
            for id, node in self.nodes.items():
                node.device_seconds = self.clock.seconds.get(id, 0.0)
        write_atomically(folder / PROFILE, json.dumps(self.to_json(), indent=1).encode())
        names = [
            {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": folder.name}},
            {"ph": "M", "name": "thread_name", "pid": 1, "tid": 1, "args": {"name": "nodes"}},
        ]
        trace = {
            "displayTimeUnit": "ms",
            "otherData": {"shown": f"the first {TRACED} calls of each node", "calls left out": self._left_out},
            "traceEvents": [*names, *self._events],
        }
        write_atomically(folder / TRACE, json.dumps(trace).encode())

    def to_json(self) -> dict[str, Any]:
        """What each node took, as a JSON object."""
        return {
            "seconds": round(self.seconds, 6),
            "device": str(self.device),
            "memory_of": self.memory.about if self.memory is not None else "",
            "nodes": {id: asdict(node) for id, node in self.nodes.items()},
        }
