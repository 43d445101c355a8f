"""Weights for parity tests: nothing zero or one, so that every layer shows in the output."""

from typing import TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def randomise(model: Model, seed: int = 0, gain: float = 1.0) -> Model:
    """Random weights that keep activations at about `gain`.

    Parity wants a small gain: a norm's epsilon then changes its output by far more than the tolerance.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            noise = torch.randn(parameter.shape, generator=generator)
            if isinstance(module, (nn.GroupNorm, nn.LayerNorm)):
                parameter.copy_(0.2 * noise + (name == "weight"))
            elif isinstance(module, nn.Embedding):
                parameter.copy_(noise)
            elif name == "bias":
                parameter.copy_(0.2 * gain * noise)
            else:
                parameter.copy_(gain * noise / parameter[0].numel() ** 0.5)
    return model.eval()
