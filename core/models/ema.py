"""Exponential moving average of a model's weights, as CompVis/latent-diffusion keeps it (ldm/modules/ema.py)."""

from copy import deepcopy

import torch
from torch import Tensor, nn


class EMA:
    """A copy of a model, `ema.model`, whose weights are the average of the original's over its training.

    Update n (from 1) keeps min(decay, (1 + n) / (10 + n)) of the average, so that early updates forget the initial
    weights quickly; `warmup=False` keeps `decay` from the start. Averages of half-precision weights are float32:
    bfloat16 would lose the small steps. Buffers are copied as they are.
    """

    def __init__(self, model: nn.Module, decay: float = 0.9999, warmup: bool = True) -> None:
        if not 0 <= decay <= 1:
            raise ValueError(f"decay is {decay}; it must lie between 0 and 1")
        self.decay = decay
        self.warmup = warmup
        self.updates = 0
        self.model = deepcopy(model).eval().requires_grad_(False)
        for parameter in self.model.parameters():
            if parameter.dtype in (torch.float16, torch.bfloat16):
                parameter.data = parameter.data.float()

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards `model`'s present weights; call it once after each optimizer step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        averages: list[Tensor] = list(self.model.parameters())
        weights = [weight.to(average.dtype) for weight, average in zip(model.parameters(), averages, strict=True)]
        torch._foreach_lerp_(averages, weights, 1 - decay)
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
