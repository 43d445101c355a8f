"""One door to every format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_ldm import EVERY_KIND, assert_same, class_conditional, clip, ldm_text, stable_diffusion

from core.checkpoints.compvis import save_compvis
from core.checkpoints.diffusers_folder import refuse_for_diffusers, save_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.load import load_checkpoint, read_about, save_checkpoint
from core.checkpoints.model_io import save_model
from core.conditioning.tokenizer import train_wordpiece
from core.models.discriminator import NLayerDiscriminator
from core.models.identity_autoencoder import IdentityAutoencoder


@pytest.mark.parametrize("make", EVERY_KIND.values(), ids=list(EVERY_KIND))
def test_a_whole_model_in_our_format_comes_back(make: Callable[[], LatentDiffusion], tmp_path: Path) -> None:
    model = make()
    save_checkpoint(model, tmp_path / "m", about={"workflow": {"loom": 1}})
    assert_same(load_checkpoint(tmp_path / "m"), model)
    assert read_about(tmp_path / "m") == {"workflow": {"loom": 1}}


def test_its_tokenizer_comes_back_with_it(tmp_path: Path) -> None:
    model = replace(ldm_text(), tokenizer=train_wordpiece(["a red circle"], vocab_size=99))
    save_checkpoint(model, tmp_path / "m")
    again = load_checkpoint(tmp_path / "m").tokenizer
    assert torch.equal(again(["a red circle"]), model.tokenizer(["a red circle"]))


def test_every_other_format_is_recognised(tmp_path: Path) -> None:
    model = stable_diffusion()
    save_compvis(model, tmp_path / "single/model.ckpt")
    save_compvis(model, tmp_path / "model.safetensors")
    save_diffusers(replace(model, conditioner=None), tmp_path / "folder")
    save_model(model.unet, tmp_path / "unet.safetensors")
    save_model(clip(), tmp_path / "text")
    assert_same(load_checkpoint(tmp_path / "single/model.ckpt"), model)
    assert_same(load_checkpoint(tmp_path / "single"), model)
    assert_same(load_checkpoint(tmp_path / "model.safetensors"), model)
    assert_same(load_checkpoint(tmp_path / "folder/vae"), LatentDiffusion(autoencoder=model.autoencoder))
    assert_same(load_checkpoint(tmp_path / "unet.safetensors"), LatentDiffusion(unet=model.unet))
    assert_same(load_checkpoint(tmp_path / "text"), LatentDiffusion(conditioner=clip()))
    changed = load_checkpoint(tmp_path / "single", parametrisation="v", scale_factor=0.5)
    assert changed.schedule.parametrisation == "v"
    assert changed.autoencoder.scale_factor.item() == 0.5


def test_a_first_stage_of_pixels_is_one_of_a_checkpoint(tmp_path: Path) -> None:
    model = LatentDiffusion(autoencoder=IdentityAutoencoder(scale_factor=0.5))
    save_model(model.autoencoder, tmp_path / "pixels.safetensors")
    assert_same(load_checkpoint(tmp_path / "pixels.safetensors"), model)
    save_checkpoint(model, tmp_path / "whole")
    assert_same(load_checkpoint(tmp_path / "whole"), model)
    with pytest.raises(ValueError, match="IdentityAutoencoder is not saved as a first stage of CompVis' programs"):
        save_compvis(model, tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="IdentityAutoencoder is not saved for diffusers"):
        refuse_for_diffusers(model)


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere does not exist; check the path"):
        load_checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"is no model's folder: .* but none; give the file itself"):
        load_checkpoint(tmp_path)
    for name in ("a.ckpt", "b.ckpt"):
        save_compvis(class_conditional(), tmp_path / name)
    with pytest.raises(CheckpointError, match=r"but a\.ckpt, b\.ckpt; give the file itself"):
        load_checkpoint(tmp_path)
    save_model(NLayerDiscriminator(base_channels=4, num_layers=1), tmp_path / "d.safetensors")
    with pytest.raises(CheckpointError, match="holds a NLayerDiscriminator, no part of a latent diffusion model"):
        load_checkpoint(tmp_path / "d.safetensors")
