"""Optimizers that keep their running means in bfloat16: half the memory of what they know of each weight.

A step is computed in float32, one parameter after the other, and its new means are rounded up or down at random, in proportion to
how near each is (stochastic rounding; Gupta et al. 2015). To the nearest they would stand still: with beta2 = 0.999 a running square moves
by a thousandth, and bfloat16's numbers lie a hundred and twenty-eighth apart. What is drawn goes by the step and the parameter, so that
a training goes on to the same bits, and processes that train one model round alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from core.parts import local

ROUNDED = "steps_rounded"
"""In a group: the steps that were rounded so far."""


def keeping_half(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """An optimizer's class whose running means are bfloat16. It has the class's own name, for a state is one of that kind: what was
    kept in float32 is taken over, and the other way about. Each parameter must be stepped by itself."""
    return type(kind.__name__, (_HalfState, kind), {})


def rounded(values: Tensor, generator: torch.Generator) -> Tensor:
    """Float32 values of any shape as bfloat16: each one of the two neighbours, so that the mean is the value. What bfloat16 has
    stays."""
    bits = values.view(torch.int32)
    chance = torch.randint(2**16, bits.shape, generator=generator, device=bits.device, dtype=torch.int32)
    return ((bits + chance) & -(2**16)).view(torch.float32).bfloat16()


class _HalfState(torch.optim.Optimizer):
    """Goes before an optimizer's class."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """A step of each parameter in turn, so that one alone has float32 means."""
        loss = None if closure is None else closure()
        groups, number = self.param_groups, 0
        for group in groups:
            for parameter in group["params"]:
                number += 1
                if parameter.grad is None:
                    continue
                self._cast(parameter, lambda tensor: tensor.float())
                self.param_groups = [{**group, "params": [parameter]}]
                try:
                    super().step()
                finally:
                    self.param_groups = groups
                generator = torch.Generator(local(parameter).device)
                generator.manual_seed(number << 32 | group.get(ROUNDED, 0))
                self._cast(parameter, lambda tensor, by=generator: _narrow(tensor, by))  # type: ignore[misc]
            group[ROUNDED] = group.get(ROUNDED, 0) + 1
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state. PyTorch makes it float32, as the weights are."""
        super().load_state_dict(state_dict)
        for parameter in self.state:
            self._cast(parameter, lambda tensor: tensor.bfloat16())

    def _cast(self, parameter: Tensor, cast: Callable[[Tensor], Tensor]) -> None:
        state = self.state[parameter]
        for name, value in state.items():
            if (
                isinstance(value, Tensor)
                and value.is_floating_point()
                and value.dim()
                and value.shape == parameter.shape
            ):
                state[name] = cast(value)


def _narrow(tensor: Tensor, generator: torch.Generator) -> Tensor:
    narrow = tensor.bfloat16()
    local(narrow).copy_(rounded(local(tensor), generator))
    return narrow
