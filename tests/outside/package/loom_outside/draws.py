"""Two zones: the mean loss of several draws, and a probe of it beside the steps of a training."""

from __future__ import annotations

from typing import Annotated, Protocol

import torch
from pydantic import Field

from graph_runner.context import Loop, Metrics
from graph_runner.contract import Body, node
from nodes.wires import Loss


class Draw(Protocol):
    """One draw of what is random in a loss: its number in, the loss out."""

    def __call__(self, turn: int) -> Loss:
        """The loss of this draw."""
        ...


@node(category="outside")
def mean_of_draws(draw: Body[Draw], loop: Loop, draws: Annotated[int, Field(ge=1)] = 4) -> Loss:
    """The mean of a loss over several draws of its time steps and noise, which makes the gradient's variance less.

    draws: how many.
    """
    return torch.stack([draw(turn) for turn in loop(draws)]).mean()


@node(category="outside", aside="interval")
def probe(
    draw: Body[Draw],
    loop: Loop,
    metrics: Metrics,
    interval: Annotated[int, Field(ge=1)] = 100,
    draws: Annotated[int, Field(ge=2)] = 4,
) -> None:
    """Measure a loss over several draws, beside the steps of the zone around: a curve of its mean and its deviation.

    interval: steps between two measurements.
    draws: how many.
    """
    losses = torch.stack([draw(turn) for turn in loop(draws)])
    metrics(mean=losses.mean(), deviation=losses.std())
