"""What is asked alike of the transformers that are told a text (MMDiT, PixArt)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import Context, Vector
from core.layerwise import narrowed
from core.models.adapter import adapter_for, with_adapter
from core.models.denoiser import denoise

Model = TypeVar("Model", bound=nn.Module)
Inputs = tuple[Tensor, Tensor, Conditioning]


def awake(model: Model, std: float = 0.2) -> Model:
    """A model none of whose layers is zero."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=std)
    return model.eval()


def number_of_weights(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def what_it_is_told_counts(made: nn.Module, inputs: Inputs, least: float) -> None:
    """In every sample and of every part, by more than `least`; and a row does not depend on its batch."""
    z, t, told = inputs
    found = denoise(made, z, t, told)
    for part in (Context, Vector):
        other = told.each(lambda each, part=part: each.null() if isinstance(each, part) else each)
        assert (denoise(made, z, t, other) - found).flatten(1).abs().amax(1).min() > least
    alone = denoise(made, z[1:2], t[1:2], told.map(lambda rows: rows[1:2]))
    torch.testing.assert_close(alone, found[1:2])


def checkpointing_changes_no_gradient(make: Callable[[bool], nn.Module], call: Callable[[Any], Tensor]) -> None:
    gradients = []
    for checkpointing in (False, True):
        made = make(checkpointing)
        call(made).square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in made.named_parameters()})
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients[0].values())
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def an_adapter_trains_and_the_model_does_not(made: nn.Module, inputs: Inputs, layers: Collection[str]) -> None:
    """layers: some of those that "*attn*" names."""
    z, t, told = inputs
    adapter = adapter_for(made, ["*attn*"], rank=2)
    assert set(layers) <= set(adapter.layers)
    adapted = with_adapter(made, adapter, 1.0)
    before = denoise(made, z, t, told)
    assert torch.equal(denoise(adapted, z, t, told), before)
    optimizer = torch.optim.SGD(adapter.parameters(), lr=10.0)
    denoise(adapted, z, t, told).square().mean().backward()
    optimizer.step()
    assert (denoise(adapted, z, t, told) - before).abs().max() > 1e-5
    assert torch.equal(denoise(made, z, t, told), before)


@torch.no_grad()
def half_weights_give_the_latents_precision(make: Callable[[], nn.Module], inputs: Inputs) -> None:
    z, t, told = inputs
    made = make()
    whole = denoise(made, z, t, told)
    for half in (narrowed(made, torch.bfloat16), make().bfloat16()):
        found = denoise(half, z, t, told)
        assert found.dtype == torch.float32
        assert (found - whole).abs().max() < 0.1 * whole.abs().max()
