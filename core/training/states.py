"""What a training's state is made of: looked at before it is kept, and split as the parameters are before it is taken over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from core.numbers import spoilt
from core.parts import local, split_as
from core.training.schedule_free import parameters

REMEDY = "lower its learning rate, or clip its gradients; the checkpoint before still stands"


def split(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimizer's state, whole or split, with its tensors split as the parameters are that they belong to."""
    own = dict(enumerate(parameters(optimizer)))
    moments = {
        i: {key: split_as(value, own.get(int(i))) for key, value in each.items()} for i, each in state["state"].items()
    }
    return {**state, "state": moments}


def refuse_spoilt(state: Mapping[str, Any], step: int) -> None:
    """Raise FloatingPointError where a weight, an average or a moment is no number."""
    named = {
        f"{part} {name}, {key}": tensor
        for part in ("models", "averages")
        for name, tensors in state[part].items()
        for key, tensor in tensors.items()
    }
    for i, optimizer in enumerate(state["optimizers"]):
        for j, moments in optimizer["state"].items():
            named |= {f"optimizer {i}, {key} of parameter {j}": tensor for key, tensor in tensors_of(moments)}
    if name := spoilt({key: local(tensor) for key, tensor in named.items()}):
        raise FloatingPointError(f"weights are no numbers any more at step {step} ({name}), and are not kept; {REMEDY}")


def tensors_of(moments: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of one parameter's state, at any depth."""
    for key, value in moments.items():
        if isinstance(value, Tensor):
            yield key, value
        elif isinstance(value, Mapping):
            yield from tensors_of(value)
