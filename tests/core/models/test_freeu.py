"""FreeU: equal to diffusers' on its pipeline's UNet, to the authors' formulas written out, and without effect where all is 1."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from core.checkpoints.load import load_checkpoint
from core.conditioning.conditioning import Conditioning
from core.models.freeu import FreeU
from core.models.unet import UNet
from core.models.unet_parts import embed

sys.path.append(str(Path(__file__).parents[1] / "checkpoints"))
import tiny_pipelines
from tiny_ldm import randomise, text_unet


def inputs(channels: int = 4, side: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    z, told = (torch.randn(shape, generator=generator) for shape in ((2, channels, side, side), (2, 7, 32)))
    return z, torch.tensor([981, 3]), told


def test_it_is_diffusers(tmp_path: Path) -> None:
    pipeline = tiny_pipelines.PIPELINES["Stable Diffusion 1"](tmp_path)
    pipeline.save_pretrained(tmp_path / "sd")
    pipeline.unet.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
    ours = load_checkpoint(tmp_path / "sd").unet
    assert isinstance(ours, UNet)
    z, t, told = inputs()
    changed = FreeU(ours, (1.2, 1.4), (0.9, 0.2), "1", "by level")
    with torch.no_grad():
        theirs = pipeline.unet(z, t, told).sample
        plain = ours(z, t, Conditioning(told))
        torch.testing.assert_close(changed(z, t, Conditioning(told)), theirs, rtol=1e-5, atol=1e-5)
        assert (theirs - plain).abs().max() > 1e-3
        pipeline.unet.disable_freeu()
        torch.testing.assert_close(plain, pipeline.unet(z, t, told).sample, rtol=1e-5, atol=1e-5)


def filtered(skip: torch.Tensor, s: float) -> torch.Tensor:
    """The four lowest of the frequencies, as sums of waves."""
    h, w = skip.shape[-2:]
    y, x = torch.arange(h), torch.arange(w)
    lowest = torch.zeros(skip.shape, dtype=torch.complex64)
    for i in (0, -1):
        for j in (0, -1):
            wave = torch.exp(2j * torch.pi * (i * y[:, None] / h + j * x / w))
            lowest += (skip * wave.conj()).mean((2, 3), keepdim=True) * wave
    return skip + ((s - 1) * lowest).real


@pytest.mark.parametrize("version", ["1", "2"])
def test_it_is_what_the_authors_compute(version: str) -> None:
    shape = {"model_channels": 32, "channel_mult": [1, 2, 4, 4], "num_res_blocks": 1, "attention_factors": [1]}
    unet = randomise(UNet(4, 4, context_dim=32, num_heads=2, **shape), 1)
    z, t, told = inputs(side=16)
    changed = FreeU(unet, (1.3, 1.4), (0.9, 0.2), "1" if version == "1" else "2")
    with torch.no_grad():
        emb = embed(unet.time_embed, None, 32, t, None, 2)
        h, skips = z, []
        for block in unet.input_blocks:
            h = block(h, emb, told)
            skips.append(h)
        h = unet.middle_block(h, emb, told)
        seen = []
        for block in unet.output_blocks:
            skip = skips.pop()
            if h.shape[1] in (128, 64):
                b, s = (1.3, 0.9) if h.shape[1] == 128 else (1.4, 0.2)
                mean = h.mean(1, keepdim=True)
                low, high = (getattr(mean.flatten(1), way)(1).reshape(2, 1, 1, 1) for way in ("amin", "amax"))
                factor = b if version == "1" else (b - 1) * (mean - low) / (high - low) + 1
                h = torch.cat([h[:, : h.shape[1] // 2] * factor, h[:, h.shape[1] // 2 :]], 1)
                skip = filtered(skip, s)
                seen.append(h.shape[1])
            h = block(torch.cat([h, skip], 1), emb, told)
        torch.testing.assert_close(changed(z, t, Conditioning(told)), unet.out(h), rtol=1e-5, atol=1e-5)
    assert seen == [128, 128, 128, 128, 128, 64, 64]


def test_ones_change_nothing_and_the_unet_stays_as_it_is() -> None:
    unet = text_unet(32)
    z, t, told = inputs()
    with torch.no_grad():
        before = unet(z, t, Conditioning(told))
        same = FreeU(unet, (1, 1), (1, 1))(z, t, Conditioning(told))
        other = FreeU(unet, (1.3, 1.4), (0.9, 0.2))(z, t, Conditioning(told))
        assert torch.equal(unet(z, t, Conditioning(told)), before)
    torch.testing.assert_close(same, before, rtol=1e-5, atol=1e-5)
    assert (other - before).abs().max() > 1e-3


def test_a_unet_without_such_blocks_is_refused() -> None:
    shape = {"model_channels": 32, "channel_mult": [1, 1], "num_res_blocks": 1}
    unet = UNet(4, 4, num_heads=2, **shape)
    with pytest.raises(ValueError, match="take the stages by level"):
        FreeU(unet, (1.3, 1.4), (0.9, 0.2))
    FreeU(unet, (1.3, 1.4), (0.9, 0.2), stages="by level")
