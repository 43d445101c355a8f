"""Moving averages of a model's weights: exponential, as CompVis/latent-diffusion keeps it (ldm/modules/ema.py), or by a power
of time (Karras et al. 2024, "Analyzing and improving the training dynamics of diffusion models", section 3)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from core.parts import local


class Averaging(Protocol):
    """How an average moves: any value with this method is a rule."""

    def keeps(self, update: int) -> float:
        """The share of the average that update number `update`, counted from 1, keeps; the weights get the rest."""
        ...


@dataclass(frozen=True)
class ExponentialAverage:
    """Update n keeps min(decay, (1 + n) / (10 + n)) of the average, so that early updates forget the initial weights quickly;
    `warmup=False` keeps `decay` from the start. Raises ValueError for a decay outside of [0, 1]."""

    decay: float = 0.9999
    warmup: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay is {self.decay}; it must lie between 0 and 1")

    def keeps(self, update: int) -> float:
        """The share of the average that an update keeps."""
        return min(self.decay, (1 + update) / (10 + update)) if self.warmup else self.decay


@dataclass(frozen=True)
class PowerAverage:
    """The average is over a fixed share of the training so far, however long that is: update n keeps (1 − 1/n)^(γ + 1)
    (Karras et al. 2024, equation 2), and nothing is left of the initial weights.

    sigma_rel: the width of the average's peak as a share of the training, below 12^−½ ≈ 0.289, which is an equal weight for
    all; the paper's best are 0.05 to 0.15. Raises ValueError outside of that.
    """

    sigma_rel: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.sigma_rel < 12**-0.5:
            raise ValueError(f"sigma_rel is {self.sigma_rel}; it must lie between 0 and 0.288")

    @cached_property
    def gamma(self) -> float:
        """The exponent γ: sigma_rel² = (γ + 1) / ((γ + 2)² (γ + 3)), solved (NVlabs/edm2, training/phema.py, std_to_exp)."""
        t = self.sigma_rel**-2
        return float(np.roots([1, 7, 16 - t, 12 - t]).real.max())

    def keeps(self, update: int) -> float:
        """The share of the average that an update keeps."""
        return float((1 - 1 / update) ** (self.gamma + 1))


class EMA:
    """A copy of a model, `ema.model`, whose weights are the average of the original's over its training.

    Averages of half-precision weights are float32: bfloat16 would lose the small steps. Buffers are copied as they are.
    twin: such a copy, where there is one already.
    """

    def __init__(self, model: nn.Module, averaging: Averaging, twin: nn.Module | None = None) -> None:
        self.averaging = averaging
        self.updates = 0
        self.model = (_copied(model) if twin is None else twin).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards `model`'s present weights; call it once after each optimizer step."""
        self.updates += 1
        averages = [local(average) for average in self.model.parameters()]
        weights = [
            local(weight).to(average.dtype) for weight, average in zip(model.parameters(), averages, strict=True)
        ]
        torch._foreach_lerp_(averages, weights, 1 - self.averaging.keeps(self.updates))
        for buffer, current in zip(self.model.buffers(), model.buffers(), strict=True):
            buffer.copy_(current)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged model's tensors under its own names, and `updates`: a resumed training goes on to the bit."""
        return {"updates": torch.tensor(self.updates), **self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what `state_dict` returned. Raises RuntimeError for tensors that do not fit the model."""
        weights = dict(state)
        self.updates = int(weights.pop("updates"))
        self.model.load_state_dict(weights)


def _copied(model: nn.Module) -> nn.Module:
    copy = deepcopy(model)
    for parameter in copy.parameters():
        if parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()
    return copy
