"""What single files leave open is told, and what they say of themselves is believed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_ldm import assert_same, kl, randomise, stable_diffusion, text_unet

from core.checkpoints.compvis import load_compvis, save_compvis
from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.load import load_checkpoint
from core.checkpoints.untold import told_parametrisation, untold
from core.checkpoints.weights import read_weights, write_weights


@pytest.mark.parametrize(
    ("entries", "metadata", "told"),
    [
        ([], {"modelspec.prediction_type": "v"}, "v"),
        ([], {"modelspec.prediction_type": "epsilon"}, "eps"),
        (["v_pred"], {}, "v"),
        ([], {"modelspec.prediction_type": "unheard of"}, None),
        ([], {}, None),
    ],
)
def test_a_header_or_an_entry_says_what_the_unet_predicts(
    entries: list[str], metadata: dict[str, str], told: str | None
) -> None:
    assert told_parametrisation({entry: torch.zeros(1) for entry in entries}, metadata) == told


def test_a_stable_diffusion_2_file_that_says_nothing_is_asked_about() -> None:
    question = untold({}, 1024, alone=False, told=None, described=False)
    assert len(question) == 1
    assert "set parametrisation to v" in question[0]
    assert untold({}, 1024, alone=False, told="eps", described=False) == ()
    assert untold({}, 1024, alone=False, told=None, described=True) == ()
    assert untold({}, 768, alone=False, told=None, described=False) == ()


@pytest.mark.parametrize("prefix", ["depth_model.", "embedder.", "control_model."])
def test_the_half_that_is_not_read_is_named(prefix: str, tmp_path: Path) -> None:
    save_compvis(stable_diffusion(), tmp_path / "m.safetensors")
    state = read_weights(tmp_path / "m.safetensors")
    write_weights({**state, f"{prefix}model.weight": torch.ones(2)}, tmp_path / "m.safetensors")
    (sentence,) = load_compvis(tmp_path / "m.safetensors").untold
    assert sentence.startswith(f"{prefix}* in this file is not read")


def test_an_autoencoder_alone_is_asked_for_its_scale_until_it_is_given(tmp_path: Path) -> None:
    save_compvis(LatentDiffusion(autoencoder=kl()), tmp_path / "vae.safetensors")
    (tmp_path / "vae.yaml").unlink()
    state = read_weights(tmp_path / "vae.safetensors")
    write_weights({key: value for key, value in state.items() if key != "scale_factor"}, tmp_path / "vae.safetensors")
    (sentence,) = load_checkpoint(tmp_path / "vae.safetensors").untold
    assert "give scale_factor" in sentence
    given = load_checkpoint(tmp_path / "vae.safetensors", scale_factor=0.18215)
    assert given.untold == ()
    assert given.autoencoder is not None
    assert given.autoencoder.scale_factor.item() == pytest.approx(0.18215)


def test_averaged_weights_alone_are_a_unet(tmp_path: Path) -> None:
    """Their names lost the dots: the yaml's UNet knows them."""
    ema = randomise(text_unet(32), 42)
    save_compvis(stable_diffusion(), tmp_path / "m.ckpt", ema=ema)
    state = read_weights(tmp_path / "m.ckpt")
    write_weights(
        {key: value for key, value in state.items() if not key.startswith("model.diffusion_model.")},
        tmp_path / "m.ckpt",
    )
    loaded = load_compvis(tmp_path / "m.ckpt")
    assert_same(LatentDiffusion(loaded.unet), LatentDiffusion(ema))
    (tmp_path / "m.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"averaged weights alone.* give its yaml"):
        load_compvis(tmp_path / "m.ckpt")
