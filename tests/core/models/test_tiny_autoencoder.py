"""TAESD: equal to diffusers' AutoencoderTiny, in each form that its weights are published in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from core.checkpoints.compvis import save_compvis
from core.checkpoints.diffusers_folder import refuse_for_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.load import load_checkpoint, save_checkpoint
from core.checkpoints.weights import write_weights
from core.models.tiny_autoencoder import TinyAutoencoder

sys.path.append(str(Path(__file__).parents[1] / "checkpoints"))
from tiny_ldm import assert_same, randomise


def test_its_size_is_that_of_the_published_one() -> None:
    assert sum(parameter.numel() for parameter in TinyAutoencoder().parameters()) == 2_445_063


def test_it_equals_diffusers_in_every_form(tmp_path: Path) -> None:
    from diffusers import AutoencoderTiny

    widths = {"encoder_block_out_channels": (8, 8, 8), "decoder_block_out_channels": (8, 8, 8)}
    theirs = AutoencoderTiny(**widths, num_encoder_blocks=(1, 2, 1), num_decoder_blocks=(2, 1, 1))
    randomise(theirs).save_pretrained(tmp_path / "f")
    tiny = load_checkpoint(tmp_path / "f").autoencoder
    assert isinstance(tiny, TinyAutoencoder)
    images = torch.rand(2, 3, 16, 24) * 2 - 1
    with torch.no_grad():
        wanted = theirs.encode(images).latents
        torch.testing.assert_close(tiny.encode(images), wanted, rtol=0, atol=2e-5)
        torch.testing.assert_close(tiny.decode(wanted), theirs.decode(wanted).sample, rtol=0, atol=2e-5)
    assert (tiny.factor, wanted.shape) == (4, (2, 4, 4, 6))

    own = {key: value for key, value in tiny.state_dict().items() if key != "scale_factor"}
    write_weights({f"taesd_{key}": value for key, value in own.items()}, tmp_path / "comfy.safetensors")
    for half in ("encoder", "decoder"):
        part = {key.removeprefix(f"{half}."): value for key, value in own.items() if key.startswith(half)}
        torch.save(part, tmp_path / f"taesd_{half}.pth")
    save_checkpoint(LatentDiffusion(autoencoder=tiny), tmp_path / "ours")
    for name in ("comfy.safetensors", "taesd_encoder.pth", "taesd_decoder.pth", "ours"):
        found = load_checkpoint(tmp_path / name)
        assert_same(LatentDiffusion(autoencoder=found.autoencoder), LatentDiffusion(autoencoder=tiny))
    (tmp_path / "taesd_decoder.pth").unlink()
    with pytest.raises(CheckpointError, match=r"taesd_encoder\.pth is the encoder of a tiny autoencoder"):
        load_checkpoint(tmp_path / "taesd_encoder.pth")


def test_forms_that_cannot_hold_it_are_refused(tmp_path: Path) -> None:
    model = LatentDiffusion(autoencoder=TinyAutoencoder(channels=4, encoder_blocks=(1,), decoder_blocks=(1,)))
    with pytest.raises(ValueError, match="choose the form of Latent Loom"):
        save_compvis(model, tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="choose the form of Latent Loom"):
        refuse_for_diffusers(model)
