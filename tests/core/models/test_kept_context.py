"""Keys and values of a condition that stays: computed once for a sampling, the same bits, and never another's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from core.conditioning.conditioning import Conditioning
from core.conditioning.image_prompt import ImagePrompt
from core.diffusion.flow import RectifiedFlow
from core.diffusion.solvers import sample
from core.models.denoiser import denoise
from core.models.dit import DiT
from core.models.ip_adapter import IPAdapter
from core.models.kept_context import constant_context, once
from core.models.unet import UNet

Made = Callable[[], UNet | DiT]


def unet() -> UNet:
    return UNet(4, 4, 8, [1, 2], 1, [1, 2], num_heads=2, context_dim=12, norm_groups=4)


def dit() -> DiT:
    return DiT(4, 16, 2, 2, sample_size=8, context_dim=12)


def alive(make: Made) -> UNet | DiT:
    """A model whose last layers are no longer zero."""
    torch.manual_seed(0)
    model = make().eval().requires_grad_(False)
    for weight in model.parameters():
        weight.add_(0.05 * torch.randn_like(weight))
    return model


def test_a_pictures_keys_and_values_are_found_and_converted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of the UNet looks through no modules for them, and a dtype that is not theirs costs one conversion of each."""
    model = alive(unet).to(torch.float64)
    net = IPAdapter.beside(model, 6).float()
    told, z = Conditioning(torch.randn(2, 5, 12), parts=[net([torch.randn(2, 6)])]), torch.randn(2, 4, 8, 8)
    theirs = {each.untyped_storage().data_ptr() for each in told[ImagePrompt].tensors()}
    monkeypatch.setattr("core.models.unet.cross_attentions", lambda block: pytest.fail("all modules are gone through"))
    converted: list[Tensor] = []

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.aten._to_copy.default and args[0].untyped_storage().data_ptr() in theirs:
                converted.append(args[0])
            return func(*args, **(kwargs or {}))

    def predict(z: Tensor, t: Tensor) -> Tensor:
        return denoise(model, z, t, told)

    with torch.no_grad(), Seen():
        fast = sample(predict, z, RectifiedFlow(), "euler", steps=3)
    assert len(converted) == len(theirs) > 0
    assert fast.isfinite().all()


@pytest.mark.parametrize("make", [unet, dit])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_sampling_gives_the_same_bits_with_fewer_operations(make: Made, rows: int) -> None:
    model, z = alive(make), torch.randn(3, 4, 8, 8)
    condition = Conditioning(torch.randn(rows, 5, 12))

    def predict(z: Tensor, t: Tensor) -> Tensor:
        return denoise(model, z, t, condition)

    def anew(z: Tensor, t: Tensor) -> Tensor:
        return denoise(model, z, t, Conditioning(condition.context.clone()))  # type: ignore[union-attr]

    with torch.no_grad():
        with FlopCounterMode(display=False) as kept:
            fast = sample(predict, z, RectifiedFlow(), "euler", steps=6)
        with FlopCounterMode(display=False) as each:
            slow = sample(anew, z, RectifiedFlow(), "euler", steps=6)
    assert torch.equal(fast, slow)
    layers = [m for m in model.modules() if type(m).__name__ == "CrossAttention" and m.to_k.in_features == 12]
    once_each = sum(2 * 2 * 3 * 5 * layer.to_k.weight.numel() for layer in layers)
    assert each.get_total_flops() - kept.get_total_flops() == 5 * once_each


def test_another_context_another_dtype_and_changed_numbers_are_computed_anew() -> None:
    context, asked = torch.randn(2, 3, 4), list[Tensor]()

    def compute(given: Tensor) -> Tensor:
        asked.append(given)
        return given * 2

    with constant_context(), torch.no_grad():
        for _ in range(3):
            once("layer", context, compute)
            once("layer", context[:1].expand(5, 3, 4), compute)
        assert len(asked) == 2
        with torch.autocast("cpu", torch.bfloat16):
            once("layer", context, compute)
        context.add_(1)
        assert torch.equal(once("layer", context, compute), context * 2)
        once("another layer", context, compute)
        assert len(asked) == 5
        for _ in range(20):  # memory that is free again is no context that was seen
            fresh = torch.randn(2, 3, 4)
            assert torch.equal(once("layer", fresh, compute), fresh * 2)
            del fresh
    once("layer", context, compute)
    assert len(asked) == 26


def test_nothing_is_kept_where_gradients_are_taken() -> None:
    model = alive(unet)
    context = torch.randn(1, 5, 12, requires_grad=True)
    with constant_context(), torch.enable_grad():
        for _ in range(2):
            z = torch.randn(1, 4, 8, 8)
            (gradient,) = torch.autograd.grad(denoise(model, z, torch.ones(1), Conditioning(context)).sum(), context)
            assert gradient.abs().sum() > 0
