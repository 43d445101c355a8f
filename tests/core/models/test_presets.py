"""Published presets: they build, and have the published number of parameters to 0.1 million (on the meta device: no memory, no time)."""

import json

import pytest
import torch

from core.conditioning.classes import ClassEmbedder
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.spatial import SpatialRescaler
from core.conditioning.text import BERTEmbedder
from core.diffusion.schedule import NoiseSchedule
from core.models.presets import AUTOENCODERS, LATENT_DIFFUSION, build_autoencoder, build_unet

CONDITIONERS = {
    cls.__name__: cls for cls in (ClassEmbedder, BERTEmbedder, CLIPTextEmbedder, SDXLTextEmbedder, SpatialRescaler)
}

AUTOENCODER_MILLIONS = {  # encoder and decoder, counted with the reference's own code
    "kl-f4": 55.3,
    "kl-f8": 83.7,
    "kl-f16": 69.6,
    "kl-f32": 103.9,
    "vq-f4": 55.3,
    "vq-f4-noattn": 53.2,
    "vq-f8": 67.6,
    "vq-f8-n256": 67.6,
    "vq-f16": 69.5,
}
UNET_MILLIONS = {
    "celeba256": 274.1,
    "ffhq256": 274.1,
    "lsun_beds256": 274.1,
    "lsun_churches256": 295.0,
    "cin256": 395.0,
    "cin256-v2": 400.9,
    "text2img256": 403.6,
    "txt2img-1p4B": 872.3,
    "layout2img-openimages256": 246.3,
    "semantic_synthesis256": 215.2,
    "semantic_synthesis512": 215.2,
    "bsr_sr": 113.6,
    "inpainting_big": 387.2,
    "stable-diffusion-v1": 859.5,
    "stable-diffusion-v1-inpainting": 859.5,
    "stable-diffusion-v2-base": 865.9,
    "stable-diffusion-v2": 865.9,
    "stable-diffusion-v2-inpainting": 865.9,
    "stable-diffusion-xl": 2567.5,
    "stable-diffusion-xl-refiner": 2259.5,
    "stable-diffusion-xl-inpainting": 2567.5,
}
CONDITIONER_MILLIONS = {
    "text2img256": 186.2,
    "txt2img-1p4B": 582.0,
    "layout2img-openimages256": 58.9,
    "stable-diffusion-v1": 123.1,
    "stable-diffusion-xl": 817.7,  # 123.1 of CLIP ViT-L and 694.7 of OpenCLIP ViT-bigG's text half
    "stable-diffusion-xl-refiner": 694.7,
}


def millions(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters()) / 1e6


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_autoencoder(name):
    with torch.device("meta"):
        model = build_autoencoder(name)
    assert type(model).__name__ == AUTOENCODERS[name]["model"] == ("KL" if "kl" in name else "VQ") + "Autoencoder"
    assert model.factor == int(name.split("-")[1].removeprefix("f"))
    assert millions(model.encoder, model.decoder) == pytest.approx(AUTOENCODER_MILLIONS[name], abs=0.1)
    assert any(".attn" in key for key in model.state_dict()) == (name != "vq-f4-noattn")


@pytest.mark.parametrize("name", LATENT_DIFFUSION)
def test_diffusion_model(name):
    preset = LATENT_DIFFUSION[name]
    with torch.device("meta"):
        unet = build_unet(name)
        first_stage = build_autoencoder(preset["first_stage"])
    assert millions(unet) == pytest.approx(UNET_MILLIONS[name], abs=0.1)
    assert unet.out_channels == first_stage.latent_channels
    assert (unet.in_channels > unet.out_channels) == (preset["conditioning_key"] in ("concat", "hybrid"))
    assert (unet.context_dim is not None) == (preset["conditioning_key"] in ("crossattn", "hybrid"))
    assert NoiseSchedule.linear(**preset["schedule"]).num_timesteps == 1000


@pytest.mark.parametrize("name", [name for name, preset in LATENT_DIFFUSION.items() if preset["conditioner"]])
def test_conditioner_fits_the_unet(name):
    preset = LATENT_DIFFUSION[name]
    conditioner, unet = preset["conditioner"], preset["unet"]
    with torch.device("meta"):
        model = CONDITIONERS[conditioner["model"]](**conditioner["config"])
    if name in CONDITIONER_MILLIONS:
        assert millions(model) == pytest.approx(CONDITIONER_MILLIONS[name], abs=0.1)
    config = model.config
    if isinstance(model, SDXLTextEmbedder):
        halves = [half for half in (model.clip_l, model.clip_g) if half is not None]
        assert sum(half.config["hidden_size"] for half in halves) == unet["context_dim"]
        assert unet["adm_in_channels"] - config["projection_dim"] == 256 * (4 + len(halves))
        return
    width = config.get("embed_dim") or config.get("n_embed") or config.get("hidden_size")
    if width is None:
        assert config["out_channels"] == unet["in_channels"] - unet["out_channels"]
    else:
        assert width == unet["context_dim"]


def test_presets_are_plain_data():
    for presets in (AUTOENCODERS, LATENT_DIFFUSION):
        assert json.loads(json.dumps(presets)) == presets


def test_building_with_changes_leaves_the_preset_alone():
    small = build_unet("cin256-v2", model_channels=16, norm_groups=4)
    assert small.config["channel_mult"] == [1, 2, 3, 5]
    small.config["channel_mult"].append(0)
    assert LATENT_DIFFUSION["cin256-v2"]["unet"]["channel_mult"] == [1, 2, 3, 5]
    assert build_autoencoder("kl-f8", model_channels=16, norm_groups=4, scale_factor=0.5).scale_factor == 0.5


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="no preset 'kl-f5'; there are kl-f4, kl-f8"):
        build_autoencoder("kl-f5")
