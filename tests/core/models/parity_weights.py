"""Weights for parity tests: nothing zero or one, activations of order one, so that every layer shows in the output."""

from typing import TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def randomise(model: Model, seed: int = 0) -> Model:
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            noise = torch.randn(parameter.shape, generator=generator)
            if name == "bias":
                parameter.copy_(0.2 * noise)
            elif isinstance(module, (nn.GroupNorm, nn.LayerNorm)):
                parameter.copy_(1 + 0.2 * noise)
            elif isinstance(module, nn.Embedding):
                parameter.copy_(noise)
            else:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
    return model.eval()
