"""Stable Diffusion 3's transformer against diffusers' with the same weights, the published sizes, and what a denoiser must do."""

from __future__ import annotations

from typing import Any

import pytest
import told_transformers as alike
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
    return alike.awake(SD3Transformer2DModel(**shape | options))


def ours(reference: SD3Transformer2DModel) -> MMDiT:
    made = MMDiT(**mmdit_from_diffusers_config(reference.config)).eval()
    made.load_state_dict(mmdit_from_diffusers(reference.state_dict(), made.config))
    return made


def awake(**options: Any) -> MMDiT:
    return alike.awake(MMDiT(**TINY | options), std=0.1)


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
    assert alike.number_of_weights(made) == alike.number_of_weights(reference) == PARAMETERS[name]


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


def test_it_begins_at_zero_and_what_it_is_told_counts() -> None:
    z, t, told = inputs()
    assert not MMDiT(**TINY)(z, t, told).any()
    alike.what_it_is_told_counts(awake(qk_norm=True, dual_layers=1), (z, t, told), least=1e-5)


def test_checkpointing_changes_no_gradient() -> None:
    given = inputs()
    alike.checkpointing_changes_no_gradient(
        lambda checkpointing: awake(dual_layers=[1], gradient_checkpointing=checkpointing), lambda made: made(*given)
    )


def test_an_adapter_on_its_attention_trains_and_the_model_does_not() -> None:
    layers = {"joint_blocks.0.x_block.attn2.qkv", "joint_blocks.1.context_block.attn.qkv"}
    alike.an_adapter_trains_and_the_model_does_not(awake(dual_layers=1), inputs(), layers)


def test_half_weights_give_the_latents_precision() -> None:
    alike.half_weights_give_the_latents_precision(lambda: awake(qk_norm=True), inputs())


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
