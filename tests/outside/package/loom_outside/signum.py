"""An optimizer: the sign of the gradients' running mean (Signum, Bernstein et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from core.training.optimizers import Groups
from graph_runner.contract import node
from nodes.wires import Optimizer


class SignumSteps(torch.optim.Optimizer):
    """Each weight moves by the learning rate, against the sign of its gradients' running mean."""

    def __init__(self, groups: Groups, lr: float, beta: float) -> None:
        super().__init__(groups, {"lr": lr, "beta": beta})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    mean = state.setdefault("mean", torch.zeros_like(parameter))
                    mean.lerp_(parameter.grad, 1 - group["beta"])
                    parameter.sub_(group["lr"] * mean.sign())


@dataclass(frozen=True)
class Signum:
    """The settings, which are what lies on the wire."""

    lr: float = 1e-3
    beta: float = 0.9

    def build(self, groups: Groups) -> torch.optim.Optimizer:
        """The optimizer of these parameters."""
        return SignumSteps(groups, self.lr, self.beta)


@node(category="outside")
def signum(
    lr: Annotated[float, Field(gt=0, le=1)] = 1e-3, beta: Annotated[float, Field(ge=0, lt=1)] = 0.9
) -> Optimizer:
    """Settings of Signum (Bernstein et al. 2018).

    lr: learning rate.
    beta: decay of the gradients' running mean.
    """
    return Signum(lr, beta)
