"""PixArt's transformer against diffusers' with the same weights, the published sizes, and what a denoiser must do."""

from __future__ import annotations

from typing import Any

import pytest
import told_transformers as alike
import torch
from diffusers import PixArtTransformer2DModel
from torch import Tensor

from core.checkpoints.diffusers_pixart import (
    pixart_from_diffusers,
    pixart_from_diffusers_config,
    pixart_to_diffusers,
    pixart_to_diffusers_config,
)
from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import Context, ContextMask, Vector
from core.models.denoiser import denoise
from core.models.kept_context import constant_context
from core.models.pixart import PIXART, PixArt

KINDS: dict[str, dict[str, Any]] = {
    "alpha": {},
    "alpha 1024": {"use_additional_conditions": True, "interpolation_scale": 2},
    "sigma": {"interpolation_scale": 0.5, "out_channels": 4},
}
TINY: dict[str, Any] = {
    "in_channels": 4,
    "hidden_size": 24,
    "depth": 2,
    "num_heads": 3,
    "context_dim": 6,
    "sample_size": 8,
}
PARAMETERS = {name: 611_349_152 if name == "pixart-alpha-1024" else 610_856_096 for name in PIXART}


def theirs(**options: Any) -> PixArtTransformer2DModel:
    shape = {
        "sample_size": 8,
        "num_layers": 3,
        "attention_head_dim": 8,
        "num_attention_heads": 3,
        "cross_attention_dim": 24,
        "caption_channels": 6,
    }
    return alike.awake(PixArtTransformer2DModel(**shape | options))


def ours(reference: PixArtTransformer2DModel) -> PixArt:
    made = PixArt(**pixart_from_diffusers_config(reference.config)).eval()
    made.load_state_dict(pixart_from_diffusers(reference.state_dict(), made.config))
    return made


def awake(**options: Any) -> PixArt:
    return alike.awake(PixArt(**TINY | options))


def inputs(h: int = 8, w: int = 8, sizes: bool = False) -> tuple[Tensor, Tensor, Conditioning]:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(3, 4, h, w, generator=generator)
    read = torch.tensor([[1, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1]]).bool()
    parts = [Context(torch.randn(3, 7, 6, generator=generator)), ContextMask(read)]
    told = [Vector(torch.tensor([[64.0, 96.0, 64 / 96], [1024, 512, 2], [8, 8, 1]]))] if sizes else []
    return z, torch.tensor([1.0, 333.3, 999.0]), Conditioning(parts=[*parts, *told])


@pytest.mark.parametrize("size", [(8, 8), (12, 24), (2, 6)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_it_computes_what_diffusers_does(kind: str, size: tuple[int, int]) -> None:
    reference = theirs(**KINDS[kind])
    z, t, told = inputs(*size, sizes=kind == "alpha 1024")
    sizes = told[Vector].values if kind == "alpha 1024" else torch.zeros(3, 3)
    wanted = reference(
        z,
        told[Context].tokens,
        t,
        {"resolution": sizes[:, :2], "aspect_ratio": sizes[:, 2:]},
        encoder_attention_mask=told[ContextMask].read.long(),
    ).sample
    assert wanted.abs().mean() > 0.1
    made = ours(reference)
    torch.testing.assert_close(made.with_variance(z, t, told), wanted, rtol=0, atol=1e-4)
    torch.testing.assert_close(denoise(made, z, t, told), wanted[:, :4], rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_configuration_go_there_and_back(kind: str) -> None:
    reference = theirs(**KINDS[kind])
    made = ours(reference)
    back, wanted = pixart_to_diffusers(made.state_dict(), made.config), reference.state_dict()
    assert back.keys() == wanted.keys()
    assert all(torch.equal(back[key], wanted[key]) for key in wanted)
    config = PixArtTransformer2DModel.from_config(pixart_to_diffusers_config(made.config)).config
    assert pixart_from_diffusers_config(config) == pixart_from_diffusers_config(reference.config)


@pytest.mark.parametrize("name", PIXART)
def test_presets_have_as_many_weights_as_diffusers_models_and_the_published_number(name: str) -> None:
    with torch.device("meta"):
        made = PixArt(**PIXART[name])
        reference = PixArtTransformer2DModel.from_config(pixart_to_diffusers_config(made.config))
    assert alike.number_of_weights(made) == alike.number_of_weights(reference) == PARAMETERS[name]
    assert made.positions == (16 if name == "pixart-alpha-256" else 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": 3}, "the option colour = 3 is not known"),
        ({"out_channels": 6}, "out_channels = 6"),
        ({"norm_type": "ada_norm_zero"}, "norm_type = ada_norm_zero"),
        ({"attention_bias": False}, "attention_bias = False"),
        ({"cross_attention_dim": 8}, "cross_attention_dim = 8"),
        ({"caption_channels": None}, "caption_channels = None"),
    ],
)
def test_what_cannot_be_carried_over_is_said(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pixart_from_diffusers_config({"caption_channels": 6} | options)


def test_what_diffusers_cannot_express_is_said() -> None:
    with pytest.raises(ValueError, match="3 times as wide"):
        pixart_to_diffusers_config(PixArt(**TINY, mlp_ratio=3).config)
    config = pixart_from_diffusers_config(theirs().config)
    with pytest.raises(ValueError, match="unknown: strange"):
        pixart_from_diffusers(theirs().state_dict() | {"strange": torch.ones(1)}, config)


def test_it_begins_at_zero_and_what_it_is_told_counts() -> None:
    z, t, told = inputs(sizes=True)
    assert not PixArt(**TINY, sizes=True)(z, t, told).any()
    alike.what_it_is_told_counts(awake(sizes=True), (z, t, told), least=1e-4)


@torch.no_grad()
def test_what_is_not_read_says_nothing() -> None:
    z, t, told = inputs()
    made = awake()
    found = denoise(made, z, t, told)
    unread = ~told[ContextMask].read[..., None]
    other = Conditioning(parts=[Context(told[Context].tokens + 5 * unread), told[ContextMask]])
    torch.testing.assert_close(denoise(made, z, t, other), found)
    whole = awake(masked=False)
    assert (denoise(whole, z, t, Conditioning(parts=[told[Context]]))[0] - found[0]).abs().max() > 1e-3
    torch.testing.assert_close(denoise(whole, z, t, told), found)
    with constant_context():
        torch.testing.assert_close(denoise(made, z, t, told), found)
        torch.testing.assert_close(denoise(made, z, t, told), found)


def test_checkpointing_changes_no_gradient() -> None:
    given = inputs(sizes=True)
    alike.checkpointing_changes_no_gradient(
        lambda checkpointing: awake(sizes=True, gradient_checkpointing=checkpointing),
        lambda made: made.with_variance(*given),
    )


def test_an_adapter_on_its_attention_trains_and_the_model_does_not() -> None:
    layers = {"blocks.0.attn.qkv", "blocks.1.cross_attn.kv_linear"}
    alike.an_adapter_trains_and_the_model_does_not(awake(), inputs(), layers)


def test_half_weights_give_the_latents_precision() -> None:
    alike.half_weights_give_the_latents_precision(lambda: awake(sizes=True), inputs(sizes=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 5}, "multiple of num_heads"),
        ({"depth": 0}, "at least 1"),
        ({"sample_size": 1}, "at least the patch_size, 2"),
        ({"hidden_size": 32, "num_heads": 2, "sizes": True}, "multiple of 3"),
        ({"interpolation_scale": 0.0}, "above 0, not 0.0"),
        ({"mlp_ratio": 0.01}, "leaves MLPs of 24 channels without any"),
    ],
)
def test_arguments_that_make_no_model(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PixArt(**TINY | options)


def test_what_does_not_fit_is_named() -> None:
    z, t, told = inputs(sizes=True)
    made, sized = PixArt(**TINY), PixArt(**TINY, sizes=True)
    context, mask = told[Context], told[ContextMask]
    with pytest.raises(ValueError, match="the PixArt needs context_mask"):
        denoise(made, z, t, Conditioning(parts=[context]))
    with pytest.raises(ValueError, match="the PixArt takes no vector"):
        denoise(made, z, t, told)
    with pytest.raises(ValueError, match="the PixArt needs vector"):
        denoise(sized, z, t, Conditioning(parts=[context, mask]))
    with pytest.raises(ValueError, match="multiples of its patches' 2"):
        denoise(made, torch.zeros(3, 4, 7, 8), t, Conditioning(parts=[context, mask]))
    with pytest.raises(ValueError, match="3 numbers, and the condition's has 4; wire resolution_condition"):
        denoise(sized, z, t, Conditioning(parts=[context, mask, Vector(torch.zeros(3, 4))]))
    with pytest.raises(ValueError, match=r"context must be \(b, tokens, 6\)"):
        denoise(made, z, t, Conditioning(parts=[Context(torch.zeros(3, 7, 5)), mask]))
    with pytest.raises(ValueError, match="7 tokens and says of 4 whether"):
        denoise(made, z, t, Conditioning(parts=[context, ContextMask(mask.read[:, :4])]))
