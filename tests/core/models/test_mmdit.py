"""Stable Diffusion 3's transformer against diffusers' with the same weights, the published sizes, and what a denoiser must do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor

from core.checkpoints.diffusers_mmdit import (
    mmdit_from_diffusers,
    mmdit_from_diffusers_config,
    mmdit_to_diffusers,
    mmdit_to_diffusers_config,
)
from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import Context, Vector
from core.layerwise import narrowed
from core.models.adapter import adapter_for, with_adapter
from core.models.denoiser import denoise
from core.models.mmdit import MMDIT, MMDiT

KINDS: dict[str, dict[str, Any]] = {
    "3": {},
    "3.5 large": {"qk_norm": "rms_norm"},
    "3.5 medium": {"qk_norm": "rms_norm", "dual_attention_layers": (0, 1)},
}
TINY: dict[str, Any] = {
    "in_channels": 4,
    "hidden_size": 16,
    "depth": 2,
    "num_heads": 2,
    "context_dim": 6,
    "vector_dim": 5,
    "sample_size": 8,
    "max_positions": 12,
}
PARAMETERS = {
    "stable-diffusion-3-medium": 2_028_328_000,
    "stable-diffusion-3.5-medium": 2_243_171_520,
    "stable-diffusion-3.5-large": 8_056_627_520,
}


def theirs(**options: Any) -> SD3Transformer2DModel:
    shape = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 3,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "joint_attention_dim": 6,
        "caption_projection_dim": 16,
        "pooled_projection_dim": 5,
        "pos_embed_max_size": 12,
    }
    reference = SD3Transformer2DModel(**shape | options).eval()
    torch.manual_seed(0)
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return reference


def ours(reference: SD3Transformer2DModel) -> MMDiT:
    made = MMDiT(**mmdit_from_diffusers_config(reference.config)).eval()
    made.load_state_dict(mmdit_from_diffusers(reference.state_dict(), made.config))
    return made


def awake(**options: Any) -> MMDiT:
    """A model none of whose layers is zero."""
    torch.manual_seed(0)
    made = MMDiT(**TINY | options)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made.eval()


def inputs(h: int = 8, w: int = 8) -> tuple[Tensor, Tensor, Conditioning]:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(3, 4, h, w, generator=generator)
    told = Context(torch.randn(3, 7, 6, generator=generator)), Vector(torch.randn(3, 5, generator=generator))
    return z, torch.tensor([1.0, 333.3, 999.0]), Conditioning(parts=told)


@pytest.mark.parametrize("size", [(8, 8), (12, 24), (2, 6)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_it_computes_what_diffusers_does(kind: str, size: tuple[int, int]) -> None:
    reference = theirs(**KINDS[kind])
    z, t, told = inputs(*size)
    wanted = reference(z, told[Context].tokens, told[Vector].values, t).sample
    assert wanted.abs().mean() > 0.1
    torch.testing.assert_close(denoise(ours(reference), z, t, told), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_configuration_go_there_and_back(kind: str) -> None:
    reference = theirs(**KINDS[kind])
    made = ours(reference)
    back, wanted = mmdit_to_diffusers(made.state_dict(), made.config), reference.state_dict()
    assert back.keys() == wanted.keys()
    assert all(torch.equal(back[key], wanted[key]) for key in wanted)
    config = mmdit_to_diffusers_config(made.config)
    assert mmdit_from_diffusers_config(SD3Transformer2DModel.from_config(config).config) == mmdit_from_diffusers_config(
        reference.config
    )


def test_new_positions_are_diffusers() -> None:
    reference, made = theirs(), MMDiT(**mmdit_from_diffusers_config(theirs().config))
    torch.testing.assert_close(made.pos_embed, reference.pos_embed.pos_embed, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MMDIT)
def test_presets_have_as_many_weights_as_diffusers_models_and_the_published_number(name: str) -> None:
    with torch.device("meta"):
        made = MMDiT(**MMDIT[name])
        reference = SD3Transformer2DModel.from_config(mmdit_to_diffusers_config(made.config))
    count = sum(parameter.numel() for parameter in made.parameters())
    assert count == sum(parameter.numel() for parameter in reference.parameters())
    assert count == PARAMETERS[name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": 3}, "the option colour = 3 is not known"),
        ({"out_channels": 8}, "out_channels = 8"),
        ({"qk_norm": "layer_norm"}, "qk_norm = layer_norm"),
        ({"caption_projection_dim": 8}, "caption_projection_dim = 8"),
        ({"pos_embed_max_size": None}, "pos_embed_max_size = None"),
    ],
)
def test_what_cannot_be_carried_over_is_said(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mmdit_from_diffusers_config(options)
    with pytest.raises(ValueError, match="3 times as wide"):
        mmdit_to_diffusers_config(MMDiT(**TINY, mlp_ratio=3).config)
    config = mmdit_from_diffusers_config(theirs().config)
    with pytest.raises(ValueError, match="unknown: strange"):
        mmdit_from_diffusers(theirs().state_dict() | {"strange": torch.ones(1)}, config)


@torch.no_grad()
def test_it_begins_at_zero_and_what_it_is_told_counts() -> None:
    z, t, told = inputs()
    assert not MMDiT(**TINY)(z, t, told).any()
    made = awake(qk_norm=True, dual_layers=1)
    found = denoise(made, z, t, told)
    for part in (Context, Vector):
        other = told.each(lambda each, part=part: each.null() if isinstance(each, part) else each)
        assert (denoise(made, z, t, other) - found).flatten(1).abs().amax(1).min() > 1e-5
    alone = denoise(made, z[1:2], t[1:2], told.map(lambda rows: rows[1:2]))
    torch.testing.assert_close(alone, found[1:2])


def test_checkpointing_changes_no_gradient() -> None:
    z, t, told = inputs()
    gradients = []
    for checkpointing in (False, True):
        made = awake(dual_layers=[1], gradient_checkpointing=checkpointing)
        made(z, t, told).square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in made.named_parameters()})
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients[0].values())
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_an_adapter_on_its_attention_trains_and_the_model_does_not() -> None:
    z, t, told = inputs()
    made = awake(dual_layers=1)
    adapter = adapter_for(made, ["*attn*"], rank=2)
    assert {"joint_blocks.0.x_block.attn2.qkv", "joint_blocks.1.context_block.attn.qkv"} <= set(adapter.layers)
    adapted = with_adapter(made, adapter, 1.0)
    before = denoise(made, z, t, told)
    assert torch.equal(denoise(adapted, z, t, told), before)
    optimizer = torch.optim.SGD(adapter.parameters(), lr=10.0)
    denoise(adapted, z, t, told).square().mean().backward()
    optimizer.step()
    assert (denoise(adapted, z, t, told) - before).abs().max() > 1e-5
    assert torch.equal(denoise(made, z, t, told), before)


@torch.no_grad()
def test_half_weights_give_the_latents_precision() -> None:
    z, t, told = inputs()
    made = awake(qk_norm=True)
    whole = denoise(made, z, t, told)
    for half in (narrowed(made, torch.bfloat16), awake(qk_norm=True).bfloat16()):
        found = denoise(half, z, t, told)
        assert found.dtype == torch.float32
        assert (found - whole).abs().max() < 0.1 * whole.abs().max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 3}, "multiple of num_heads"),
        ({"depth": 0}, "at least 1"),
        ({"sample_size": 1}, "at least the patch_size, 2"),
        ({"dual_layers": [2]}, "names block 2, and there are 2"),
        ({"mlp_ratio": 0.01}, "leaves MLPs of 16 channels without any"),
    ],
)
def test_arguments_that_make_no_model(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MMDiT(**TINY | options)


def test_what_does_not_fit_is_named() -> None:
    z, t, told = inputs()
    made = MMDiT(**TINY)
    with pytest.raises(ValueError, match="the MMDiT needs vector"):
        denoise(made, z, t, Conditioning(parts=[told[Context]]))
    with pytest.raises(ValueError, match="at most 24, got"):
        denoise(made, torch.zeros(3, 4, 26, 8), t, told)
    with pytest.raises(ValueError, match="vector has 5 numbers, and the condition's has 4"):
        denoise(made, z, t, Conditioning(parts=[told[Context], Vector(torch.zeros(3, 4))]))
    with pytest.raises(ValueError, match=r"context must be \(b, tokens, 6\)"):
        denoise(made, z, t, Conditioning(parts=[Context(torch.zeros(3, 1, 5)), told[Vector]]))
