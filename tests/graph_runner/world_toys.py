"""Toy nodes for several processes: what differs from one to the other, and what waits for the others."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.distributed as dist
from torch import Tensor

from graph_runner.context import Processes, Rng
from graph_runner.contract import Wire, node
from tests.graph_runner.toys import Number

Rows = Annotated[Tensor, Wire("rows", "b")]


@node(category="world")
def ranked(x: Number, processes: Processes) -> Number:
    """A number that is another in each process."""
    return x * (1 + processes.rank)


@node(category="world")
def rows(x: Number, rng: Rng) -> Rows:
    """Three rows in each process."""
    return x.detach() + rng.rand(3)


@node(category="world")
def count(rows: Rows) -> Number:
    """How many rows there are."""
    return torch.tensor(float(len(rows)))


@node(category="world")
def meets(x: Number) -> Number:
    """How many processes it met: it waits for the others as soon as PyTorch knows them, as torchmetrics does."""
    met = torch.ones(())
    if dist.is_initialized():
        dist.all_reduce(met)
    return x.detach() * 0 + met
