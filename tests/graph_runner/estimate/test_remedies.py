"""Where memory runs out, what would help is tried in dry runs, and told with how much."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from graph_runner.contract import Lighter, Wire, node
from graph_runner.contract.registry import Registry
from graph_runner.estimate.remedies import adviser, lighter
from tests.graph_runner.conftest import TOYS, graph

Rows = Annotated[Tensor, Wire("rows", "n m")]


@node(category="toy")
def rows(count: Annotated[int, Field(ge=1), Lighter()] = 4000, keep: Annotated[bool, Lighter(False)] = False) -> Rows:
    """Ones."""
    return torch.ones(count, 1000)


@node(category="toy", lighter="summed_in_parts")
def summed(x: Rows) -> Rows:
    """The sum of the rows, by way of twice as much."""
    return torch.cat([x, x]).sum(0, keepdim=True)


@node(category="toy")
def summed_in_parts(x: Rows) -> Rows:
    """The same, by way of nothing."""
    return 2 * x.sum(0, keepdim=True)


NODES = Registry.scan([*TOYS, __name__])
GRAPH = graph({"a": {"type": "rows"}, "b": {"type": "summed", "wires": {"x": "a"}}})


def test_what_can_be_lighter_is_found() -> None:
    found = dict(lighter(GRAPH, NODES))
    assert list(found) == ["--set a.count=2000", "summed_in_parts in place of b"]
    assert found["--set a.count=2000"].nodes["a"].params == {"count": 2000}
    assert found["summed_in_parts in place of b"].nodes["b"].type == "summed_in_parts"
    assert GRAPH.nodes["a"].params == {}
    assert GRAPH.nodes["b"].type == "summed"


def test_what_helps_is_told_with_its_figures_the_most_helpful_first(tmp_path: Path) -> None:
    told = adviser(NODES, tmp_path)(GRAPH, torch.float32)
    assert told == [
        "summed_in_parts in place of b (16 MB at most instead of 48 MB)",
        "--set a.count=2000 (24 MB at most instead of 48 MB)",
    ]


def test_a_workflow_that_is_wrong_gets_no_advice(tmp_path: Path) -> None:
    assert adviser(NODES, tmp_path)(graph({"b": {"type": "summed"}}), torch.float32) == []
