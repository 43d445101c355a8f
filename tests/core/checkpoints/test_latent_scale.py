"""Autoencoders of newer models: a shift, a mean and deviation for each channel, no (post-)quant convolutions; against diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_ldm import kl, randomise

from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_scale import with_scale
from core.checkpoints.load import load_checkpoint
from core.checkpoints.weights import read_weights, write_weights

MEAN, STD = [0.1, -0.2, 0.3, 0.0], [1.5, 0.5, 2.0, 1.0]


def theirs(folder: Path, **options: Any) -> Any:
    from diffusers import AutoencoderKL

    shape = {"block_out_channels": (32, 32), "down_block_types": ("DownEncoderBlock2D",) * 2, "latent_channels": 4}
    model = randomise(AutoencoderKL(**shape, up_block_types=("UpDecoderBlock2D",) * 2, **options))
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    "options",
    [
        {"scaling_factor": 1.5305, "shift_factor": 0.0609, "use_quant_conv": False, "use_post_quant_conv": False},
        {"scaling_factor": 0.5, "latents_mean": MEAN, "latents_std": STD},
        {"use_quant_conv": False},
    ],
)
def test_z_is_what_a_pipeline_makes_of_the_latent(options: dict[str, Any], tmp_path: Path) -> None:
    """(latent − shift) · scale, or (latent − mean) · scale / std; and the decoder undoes it."""
    model = theirs(tmp_path, **options)
    own = load_checkpoint(tmp_path).autoencoder
    images = torch.rand(2, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        latent = model.encode(images).latent_dist.mode()
        mean = (
            torch.tensor(options["latents_mean"])[:, None, None]
            if "latents_mean" in options
            else options.get("shift_factor", 0.0)
        )
        std = torch.tensor(options["latents_std"])[:, None, None] if "latents_std" in options else 1.0
        wanted = (latent - mean) * options.get("scaling_factor", 0.18215) / std
        torch.testing.assert_close(own.encode(images), wanted, rtol=1e-5, atol=2e-5)
        torch.testing.assert_close(own.decode(wanted), model.decode(latent).sample, rtol=1e-5, atol=1e-4)


def test_a_single_file_without_those_convolutions_is_loaded(tmp_path: Path) -> None:
    model = theirs(tmp_path / "f", use_quant_conv=False, use_post_quant_conv=False)
    state = read_weights(tmp_path / "f/diffusion_pytorch_model.safetensors")
    write_weights(state, tmp_path / "ae.safetensors")
    own = load_checkpoint(tmp_path / "ae.safetensors", scale_factor=1.0).autoencoder
    images = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(own.encode(images), model.encode(images).latent_dist.mode(), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"latents_mean": [0.0], "latents_std": [1.0]}, "not of the 4 channels"),
        ({"latents_mean": MEAN}, "latents_mean without latents_std"),
        ({"latents_std": STD}, "or the other way round"),
    ],
)
def test_numbers_that_do_not_belong_together_are_refused(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    theirs(tmp_path, **options)
    with pytest.raises(CheckpointError, match=said):
        load_checkpoint(tmp_path)


def test_one_autoencoder_takes_over_the_scale_of_another() -> None:
    own, images = kl(), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        latent = own.from_z(own.encode(images))
        plain = with_scale(own, torch.tensor(0.5))
        torch.testing.assert_close(plain.encode(images), latent * 0.5)
        shifted = with_scale(own, torch.tensor(0.3611), torch.tensor(0.1159))
        torch.testing.assert_close(shifted.encode(images), (latent - 0.1159) * 0.3611)
        torch.testing.assert_close(
            shifted.decode(shifted.encode(images)), own.decode(own.encode(images)), rtol=0, atol=1e-4
        )
        like = with_scale(plain, shifted.scale_factor, shifted.shift_factor)
        torch.testing.assert_close(like.encode(images), shifted.encode(images))
        back = with_scale(like, own.scale_factor, own.shift_factor)
    assert back.config["per_channel_scale"] is False
    assert float(own.scale_factor) == pytest.approx(0.18215), "the original is as it was"
    with pytest.raises(ValueError, match="a scale of 3 channels does not fit a latent of 4"):
        with_scale(own, torch.ones(3, 1, 1))
