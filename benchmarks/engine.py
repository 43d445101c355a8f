"""What the engine itself costs, in process CPU time: `python -m benchmarks.engine`.

Nodes are as trivial as can be, so that nearly all of what is measured is the engine. Each figure is the median of several
runs, with the goal that the design sets.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Annotated, Any

import torch

from graph_runner.contract import Wire, node
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine

Value = Annotated[object, Wire("value")]
NODES, TURNS, BODY, LONG = 1_000, 10_000, 10, 20_000


@node(category="benchmark")
def start() -> Value:
    """Something."""
    return 0


@node(category="benchmark")
def join(a: Value, b: Value) -> Value:  # noqa: ARG001 - it only has to be read
    """One of two things."""
    return a


def chain(n: int, first: str, prefix: str) -> dict[str, Any]:
    """n nodes, each of which reads the one before it."""
    ids = [first, *(f"{prefix}{i}" for i in range(n))]
    return {ids[i]: {"type": "join", "wires": {"a": ids[i - 1], "b": first}} for i in range(1, n + 1)}


def graph(n: int) -> Workflow:
    """A chain of n nodes."""
    return Workflow.model_validate({"nodes": {"n": {"type": "start"}, **chain(n - 1, "n", "n")}})


def loop() -> Workflow:
    """A loop of which each turn runs a body of trivial nodes."""
    body = {"nodes": chain(BODY, "loop.state.x", "n"), "results": {"x": f"n{BODY - 1}"}}
    zone = {"type": "repeat", "params": {"iterations": TURNS}, "wires": {"state": {"x": "first"}}, "body": body}
    return Workflow.model_validate({"nodes": {"first": {"type": "start"}, "loop": zone}})


def seconds(call: Callable[[], object], times: int = 7) -> float:
    """The median process CPU time of a call."""
    spent = []
    for _ in range(times):
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def tell(what: str, figure: float, unit: str, goal: float | None = None) -> None:
    """Print one figure beside its goal."""
    wanted = f"  (goal ≤ {goal:g} {unit})" if goal is not None else ""
    print(f"{what:<62}{figure:>8.2f} {unit}{wanted}", flush=True)


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    registry = Registry.scan(["benchmarks.engine", "graph_runner.zones"])
    with tempfile.TemporaryDirectory() as folder:

        def engine() -> Engine:
            return Engine(registry, folder)

        turning, many, long = loop(), graph(NODES), graph(LONG)
        each = 1e6 / (TURNS * BODY)
        spent = seconds(lambda: engine().run(turning, targets=["loop.x"], fresh=True))
        tell(f"a body of {BODY} nodes turned {TURNS:,} times, each node and turn", spent * each, "µs", 10)
        last = f"n{NODES - 2}"
        spent = seconds(lambda: engine().run(many, targets=[last]))
        tell(f"a graph of {NODES:,} nodes, validated, compiled and run", spent, "s", 1)
        warm = engine()
        warm.run(many, targets=[last])
        tell("the same, cached", seconds(lambda: warm.run(many, targets=[last])), "s", 0.05)
        last = f"n{LONG - 2}"
        spent = seconds(lambda: engine().run(long, targets=[last]), times=3)
        tell(f"a chain of {LONG:,} nodes", spent, "s")
        warm = engine()
        warm.run(long, targets=[last])
        tell("the same, cached", seconds(lambda: warm.run(long, targets=[last]), times=3), "s")


if __name__ == "__main__":
    main()
