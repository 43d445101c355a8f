"""Mixed models: the sums of their weights, weight by weight, and refusals that name what differs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from core.models.adapter import adapter_for, with_adapter
from core.models.blending import combined

sys.path.append(str(Path(__file__).parents[1] / "checkpoints"))
from tiny_ldm import clip, kl, randomise, text_unet


def test_the_weights_are_the_sums() -> None:
    a, b, c = (randomise(text_unet(16), seed) for seed in (1, 2, 3))
    ours, theirs, base = (model.state_dict() for model in (a, b, c))
    before = {key: value.clone() for key, value in ours.items()}
    mixed, added = combined([a, b], [0.25, 0.75]).state_dict(), combined([a, b, c], [1, 0.5, -0.5]).state_dict()
    for key in ours:
        torch.testing.assert_close(mixed[key], 0.25 * ours[key] + 0.75 * theirs[key])
        torch.testing.assert_close(added[key], ours[key] + 0.5 * (theirs[key] - base[key]))
        assert torch.equal(ours[key], before[key])
    assert all(torch.equal(value, ours[key]) for key, value in combined([a, b], [1, 0]).state_dict().items())


def test_blocks_by_their_names() -> None:
    a, b = (randomise(text_unet(16), seed) for seed in (1, 2))
    mixed = combined(
        [combined([a, b], [0, 1], ["output_blocks*"]), b], [0.5, 0.5], ["*attn2*", "middle_block*"]
    ).state_dict()
    for key, value in a.state_dict().items():
        other = b.state_dict()[key]
        start = other if key.startswith("output_blocks") else value
        half = "attn2" in key or key.startswith("middle_block")
        torch.testing.assert_close(mixed[key], 0.5 * start + 0.5 * other if half else start)


def test_what_differs_is_named() -> None:
    unet = text_unet(16)
    with pytest.raises(ValueError, match=r"attn2\.to_k\.weight is 32×16 in model 1 and 32×24 in model 2"):
        combined([unet, text_unet(24)], [0.5, 0.5])
    with pytest.raises(ValueError, match="model 1 is a UNet and model 3 a CLIPTextEmbedder"):
        combined([unet, unet, clip()], [1, 1, -1])
    with pytest.raises(ValueError, match=r"no weight of the UNet matches 'attn3'"):
        combined([unet, unet], [0.5, 0.5], ["attn3"])
    with pytest.raises(ValueError, match="hidden_act is quick_gelu in model 1 and gelu in model 2"):
        combined([clip(), clip("gelu")], [0.5, 0.5])
    with pytest.raises(ValueError, match="merge them first"):
        combined([unet, with_adapter(unet, adapter_for(unet, ["*attn*"]))], [0.5, 0.5])
    assert combined([kl(), kl()], [0.5, 0.5]).scale_factor == kl().scale_factor
