"""Conditions of the published presets: of the shape that the preset's UNet takes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from core.conditioning.published import build_conditioner, random_condition
from core.conditioning.sdxl import SDXLTextEmbedder
from core.models.presets import LATENT_DIFFUSION

WIDTHS = {"BERTEmbedder": "n_embed", "CLIPTextEmbedder": "hidden_size", "ClassEmbedder": "embed_dim"}


@pytest.mark.parametrize("name", LATENT_DIFFUSION)
def test_every_conditioner_speaks_its_unets_width(name: str) -> None:
    with torch.device("meta"):
        conditioner = build_conditioner(name)
    width = LATENT_DIFFUSION[name]["unet"].get("context_dim")
    kind = type(conditioner).__name__
    if isinstance(conditioner, SDXLTextEmbedder):
        halves = [half for half in (conditioner.clip_l, conditioner.clip_g) if half is not None]
        assert sum(half.config["hidden_size"] for half in halves) == width
        return
    assert (conditioner.config[WIDTHS[kind]] if kind in WIDTHS else None) == width


@pytest.mark.parametrize("name", ["celeba256", "cin256", "semantic_synthesis256", "bsr_sr", "inpainting_big"])
def test_a_random_condition_fits_the_unet(name: str) -> None:
    random = SimpleNamespace(randn=torch.randn, randint=lambda high, *shape: torch.randint(high, shape))
    condition = random_condition(name, 2, 4, random)
    unet = LATENT_DIFFUSION[name]["unet"]
    beside = unet["in_channels"] - unet["out_channels"]
    assert (None if condition.concat is None else tuple(condition.concat.shape)) == (
        (2, beside, 4, 4) if beside else None
    )
    assert (condition.context is None) == ("context_dim" not in unet)
    if condition.context is not None:
        assert condition.context.shape == (2, 1, unet["context_dim"])
        assert not torch.equal(condition.context[0], condition.context[1])


def test_an_unknown_name_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"there is no preset 'cin512'; there are celeba256, "):
        build_conditioner("cin512")
