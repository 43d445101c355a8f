"""Nodes as they stand in a file, for tests that draw graphs."""

from __future__ import annotations

from typing import Any

from graph_runner.run.engine import Engine, Result
from tests.graph_runner.conftest import graph
from tests.graph_runner.toys import CALLS, RECORDED

ONE = {"type": "number", "params": {"value": 1}}


def run_in(engine: Engine, nodes: dict[str, Any], *targets: str, **options: Any) -> Result:
    """Run a graph with empty logs before it."""
    CALLS.clear()
    RECORDED.clear()
    return engine.run(graph(nodes), targets=targets, **options)


def noted(x: str, label: str, kind: str = "noted") -> dict[str, Any]:
    return {"type": kind, "wires": {"x": x}, "params": {"label": label}}


def scale(x: str, by: float) -> dict[str, Any]:
    return {"type": "scale", "wires": {"x": x}, "params": {"by": by}}


def record(x: str, label: str = "x") -> dict[str, Any]:
    return {"type": "record", "wires": {"x": x}, "params": {"label": label}}


def repeat(n: int, inner: dict[str, Any], result: str, x: str = "one") -> dict[str, Any]:
    body = {"nodes": inner, "results": {"x": result}}
    return {"type": "repeat", "wires": {"state": {"x": x}}, "params": {"iterations": n}, "body": body}


def sweep(
    inner: dict[str, Any], results: dict[str, Any], over: dict[str, Any] | None = None, **wires: str
) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "for_each", "body": {"nodes": inner, "results": results}}
    return made | ({"params": {"over": over}} if over is not None else {"wires": {"over": wires}})


def every(n: int, inner: dict[str, Any]) -> dict[str, Any]:
    return {"type": "every", "params": {"steps": n}, "body": {"nodes": inner}}
