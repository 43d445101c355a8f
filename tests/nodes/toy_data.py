"""A data set of numbers for the training zone's tests."""

from __future__ import annotations

import torch
from torch import Tensor

from graph_runner.contract import node
from nodes.wires import Batch, Dataset, Loss
from tests.graph_runner.toys import Number


class Numbers:
    """Items are single numbers; batches come vectorised."""

    def __init__(self, values: list[float]) -> None:
        self.values = torch.tensor(values)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {"number": self.values[i]}


@node(category="toy")
def toy_data(values: list[float]) -> Dataset:
    """Numbers as a data set."""
    return Numbers(values)


@node(category="toy")
def batch_number(batch: Batch) -> Number:
    """The mean number of a batch."""
    return batch["number"].mean()


@node(category="toy")
def as_loss(x: Number) -> Loss:
    """A number as a loss."""
    return x
