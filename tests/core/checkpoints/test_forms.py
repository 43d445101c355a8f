"""The forms in which other programs save the same model: each gives the weights, to the bit, that the usual form gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_ldm import assert_same, clip, kl, stable_diffusion, text_unet
from torch import Tensor

from core.checkpoints.compvis import save_compvis
from core.checkpoints.diffusers_folder import save_diffusers
from core.checkpoints.diffusers_keys import autoencoder_to_diffusers, unet_to_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.forms import CONDITIONER, FIRST_STAGE, UNET, in_compvis_names
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.load import load_checkpoint
from core.checkpoints.text_keys import clip_to_compvis, clip_to_transformers
from core.checkpoints.weights import read_weights, write_weights
from core.models.autoencoder import KLAutoencoder

State = Mapping[str, Tensor]


def whole(tmp_path: Path) -> tuple[LatentDiffusion, dict[str, Tensor]]:
    """A tiny Stable Diffusion, its file's tensors, and `m.yaml` that describes them."""
    model = stable_diffusion()
    save_compvis(model, tmp_path / "m.safetensors")
    return model, read_weights(tmp_path / "m.safetensors")


def only(state: State, prefix: str, under: str = "") -> dict[str, Tensor]:
    return {under + key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


FORMS: dict[str, tuple[Callable[[State], State], tuple[str, ...]]] = {
    "ComfyUI, the UNet alone": (lambda s: only(s, UNET), ("unet",)),
    "the UNet under diffusion_model": (lambda s: only(s, UNET, "diffusion_model."), ("unet",)),
    "the UNet compiled": (lambda s: only(s, UNET, UNET + "_orig_mod."), ("unet",)),
    "vae.": (lambda s: only(s, FIRST_STAGE, "vae."), ("autoencoder",)),
    "the autoencoder without a prefix": (lambda s: only(s, FIRST_STAGE), ("autoencoder",)),
    "CLIP alone": (lambda s: only(s, CONDITIONER + "transformer."), ("conditioner",)),
    "CLIP under transformer": (lambda s: only(s, CONDITIONER), ("conditioner",)),
    "CLIP of ComfyUI": (lambda s: only(s, CONDITIONER, "clip_l."), ("conditioner",)),
    "CLIP with its scale and its image half": (
        lambda s: only(s, CONDITIONER + "transformer.")
        | {"logit_scale": torch.ones(()), "vision_model.x": torch.ones(2), "text_projection.weight": torch.ones(2, 2)},
        ("conditioner",),
    ),
    "a leftover in the whole": (
        lambda s: {**s, CONDITIONER + "transformer.logit_scale": torch.ones(()), CONDITIONER + "logit_scale": torch.ones(())},
        ("unet", "autoencoder", "conditioner"),
    ),
    "module.": (lambda s: {f"module.{key}": value for key, value in s.items()}, ("unet", "autoencoder", "conditioner")),
    "parts under other names": (
        lambda s: only(s, UNET, "unet.") | only(s, FIRST_STAGE, "vae.") | only(s, CONDITIONER, "text_encoder."),
        ("unet", "autoencoder", "conditioner"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_part_has_the_same_weights_in_each_form(form: str, tmp_path: Path) -> None:
    model, state = whole(tmp_path)
    saved, parts = FORMS[form]
    write_weights(saved(state), tmp_path / "x.safetensors")
    found = load_checkpoint(tmp_path / "x.safetensors", config=tmp_path / "m.yaml")
    assert_same(replace(found, schedule=None), LatentDiffusion(**{part: getattr(model, part) for part in parts}))


@pytest.mark.parametrize("around", ["model", "module", "state_dict", "params_ema"])
def test_a_state_in_a_table_of_a_trainer_is_found(around: str, tmp_path: Path) -> None:
    model, state = whole(tmp_path)
    torch.save({around: state, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}, "epoch": 3}, tmp_path / "x.pt")
    assert_same(load_checkpoint(tmp_path / "x.pt", config=tmp_path / "m.yaml"), model)


def test_a_file_of_torch_may_be_called_safetensors(tmp_path: Path) -> None:
    model, state = whole(tmp_path)
    torch.save({"state_dict": state}, tmp_path / "x.safetensors")
    assert_same(load_checkpoint(tmp_path / "x.safetensors", config=tmp_path / "m.yaml"), model)


def test_openclip_alone(tmp_path: Path) -> None:
    text = stable_diffusion(2).conditioner
    names = clip_to_compvis(text.state_dict(), openclip=True)
    for prefix in ("", "model."):
        renamed = {prefix + key.removeprefix("model."): value for key, value in names.items()}
        found = in_compvis_names(renamed | {"logit_scale": torch.ones(())})
        assert {key.removeprefix(CONDITIONER) for key in found} >= names.keys()


@pytest.mark.parametrize("blocks", [1, 2])
def test_diffusers_names_without_a_configuration(blocks: int) -> None:
    from core.models.unet import UNet

    shape = {"model_channels": 32, "channel_mult": [1, 2, 2], "num_res_blocks": blocks, "num_heads": 2}
    unet = UNet(4, 4, context_dim=16, attention_factors=[1, 4], **shape)
    found = in_compvis_names(unet_to_diffusers(unet.state_dict(), unet.config))
    assert {key: value.shape for key, value in found.items()} == {
        UNET + key: value.shape for key, value in unet.state_dict().items()
    }
    shape.pop("num_heads")
    autoencoder = KLAutoencoder(**shape, attention_factors=[4])
    theirs = autoencoder_to_diffusers(autoencoder.state_dict(), autoencoder.config)
    own = autoencoder.state_dict()
    own.pop("scale_factor")
    found = in_compvis_names(theirs)
    assert found.keys() == {FIRST_STAGE + key for key in own}
    assert all(torch.equal(found[FIRST_STAGE + key], value) for key, value in own.items())


def test_an_autoencoder_of_diffusers_in_one_file_is_loaded(tmp_path: Path) -> None:
    autoencoder = kl()
    state = autoencoder_to_diffusers(autoencoder.state_dict(), autoencoder.config)
    write_weights(state, tmp_path / "vae.safetensors")
    found = load_checkpoint(tmp_path / "vae.safetensors", scale_factor=0.18215).autoencoder
    own = autoencoder.state_dict()
    assert found.state_dict().keys() == own.keys()
    assert all(torch.equal(found.state_dict()[key], value) for key, value in own.items())


def test_a_component_s_file_is_read_by_the_configuration_beside_it(tmp_path: Path) -> None:
    model = LatentDiffusion(text_unet(32), kl(), clip())
    save_diffusers(model, tmp_path / "m")
    for name, part in (("unet/diffusion_pytorch_model", "unet"), ("vae/diffusion_pytorch_model", "autoencoder")):
        file = tmp_path / "m" / f"{name}.safetensors"
        assert_same(load_checkpoint(file), LatentDiffusion(**{part: getattr(model, part)}))
        file.rename(file.with_stem(f"{file.stem}.non_ema"))
        assert_same(load_checkpoint(file.parent), LatentDiffusion(**{part: getattr(model, part)}))
    bare = tmp_path / "clip.safetensors"
    write_weights(clip_to_transformers(clip().state_dict()), bare)
    assert load_checkpoint(bare).conditioner.config["hidden_size"] == 32


def test_another_program_s_settings_are_passed_over_without_code(tmp_path: Path) -> None:
    """omegaconf's lists and the like, as CompVis' own files hold them: made here by a module that only looks like it."""
    import sys
    import types

    module = types.ModuleType("omegaconf.listconfig")
    module.ListConfig = type("ListConfig", (), {"__module__": "omegaconf.listconfig"})
    sys.modules |= {"omegaconf": types.ModuleType("omegaconf"), "omegaconf.listconfig": module}
    try:
        settings = module.ListConfig()
        settings.__dict__ |= {"_content": [1, 2], "_metadata": {"ref_type": list, "any": object}}
        model, state = whole(tmp_path)
        callbacks = {"settings": settings, "kinds": {int: "int"}}
        torch.save({"state_dict": state, "callbacks": callbacks, "hyper_parameters": settings}, tmp_path / "x.ckpt")
    finally:
        del sys.modules["omegaconf"], sys.modules["omegaconf.listconfig"]
    assert_same(load_checkpoint(tmp_path / "x.ckpt", config=tmp_path / "m.yaml"), model)
    assert "omegaconf" not in sys.modules


def test_blocks_out_of_all_proportion_are_refused(tmp_path: Path) -> None:
    write_weights({"down_blocks.0.resnets.99999999.norm1.weight": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        load_checkpoint(tmp_path / "x.safetensors")
