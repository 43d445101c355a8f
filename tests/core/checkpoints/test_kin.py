"""Stable Diffusion's kin in files: an upscaler whose attention sees words alone, unCLIP's other half, and a scheduler beside the scheduler."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_kin import image_encoder, kin, normalizer
from tiny_ldm import stable_diffusion
from tiny_pipelines import unet
from torch import Tensor

from core.checkpoints.compvis import load_compvis, save_compvis
from core.checkpoints.detect import detect_unet
from core.checkpoints.diffusers_folder import load_diffusers, save_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.image_embedder import image_embedder_files, load_image_embedder
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.model_io import save_model
from core.checkpoints.untold import told_parametrisation
from core.checkpoints.weights import write_weights
from core.conditioning.conditioning import Conditioning
from core.models import kept_context
from core.models.denoiser import denoise
from core.models.presets import UPSCALER
from core.models.unet import UNet

LEVELS = {
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
}
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@pytest.mark.parametrize("only", [(True, False), True])
def test_a_unet_whose_attention_sees_the_context_alone_is_diffusers(only: Any, tmp_path: Path) -> None:
    theirs = unet(4, 24, only_cross_attention=only, **LEVELS)
    theirs.save_pretrained(tmp_path / "unet")
    loaded = load_diffusers(tmp_path / "unet")
    ours = loaded.unet
    assert isinstance(ours, UNet)
    z, context, t = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 24), torch.tensor([3, 700])
    with torch.no_grad():
        wanted = theirs(z, t, context).sample
        found = denoise(ours, z, t, Conditioning(context))
        with kept_context.constant_context():
            again = denoise(ours, z, t, Conditioning(context))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert torch.equal(again, found)
    save_compvis(loaded, tmp_path / "single.safetensors")
    save_diffusers(LatentDiffusion(load_compvis(tmp_path / "single.safetensors").unet), tmp_path / "again")
    back = type(theirs).from_pretrained(tmp_path / "again" / "unet")
    assert all(torch.equal(back.state_dict()[key], value) for key, value in theirs.state_dict().items())


def test_the_published_upscaler_is_known_by_its_weights() -> None:
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        theirs = UNet2DConditionModel(
            block_out_channels=(256, 512, 512, 1024),
            down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * 3),
            up_block_types=(*("CrossAttnUpBlock2D",) * 3, "UpBlock2D"),
            only_cross_attention=(True, True, True, False),
            in_channels=7,
            out_channels=4,
            cross_attention_dim=1024,
            attention_head_dim=8,
            num_class_embeds=1000,
            use_linear_projection=True,
        )
        ours = UNet(**UPSCALER["unet"])
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    found = detect_unet(ours.state_dict(), "x4-upscaler-ema.ckpt").config
    # The first level has no attention to see.
    assert found["disable_self_attentions"] == [False, True, True, False]
    assert {name: found[name] for name in ("in_channels", "num_classes", "num_heads")} == {
        "in_channels": 7,
        "num_classes": 1000,
        "num_heads": 8,
    }


@pytest.mark.parametrize(
    ("part", "told"), [("depth_model.", "eps"), ("noise_augmentor.", "v"), ("low_scale_model.", "v")]
)
def test_a_part_of_a_published_file_says_what_its_unet_predicts(part: str, told: str, tmp_path: Path) -> None:
    assert told_parametrisation({f"{part}weight": torch.zeros(1)}, {}) == told
    assert told_parametrisation({f"{part}weight": torch.zeros(1)}, {"modelspec.prediction_type": "sample"}) == "x0"


def test_the_noise_of_the_small_picture_is_not_the_schedule(tmp_path: Path) -> None:
    """Whichever of the two the index names last."""
    kin("upscaler", tmp_path).save_pretrained(tmp_path / "saved")
    index = json.loads((tmp_path / "saved" / "model_index.json").read_text())
    index["low_res_scheduler"] = index.pop("low_res_scheduler")
    (tmp_path / "saved" / "model_index.json").write_text(json.dumps(index))
    schedule = load_diffusers(tmp_path / "saved").schedule
    assert schedule is not None
    assert schedule.to_dict()["parametrisation"] == "v"


# --- the image encoder of unCLIP ------------------------------------------------------------------------------------


def original_names(encoder: Any, statistics: Any) -> dict[str, Tensor]:
    """An image encoder as Stability's file has it, whose names are OpenCLIP's."""
    own = {key.removeprefix("vision_model."): value for key, value in encoder.state_dict().items()}
    names = {
        "class_embedding": "embeddings.class_embedding",
        "positional_embedding": "embeddings.position_embedding.weight",
        "conv1.weight": "embeddings.patch_embedding.weight",
    }
    state = {theirs: own[ours] for theirs, ours in names.items()} | {"proj": own["visual_projection.weight"].T}
    for end in ("weight", "bias"):
        state |= {f"ln_pre.{end}": own[f"pre_layrnorm.{end}"], f"ln_post.{end}": own[f"post_layernorm.{end}"]}
        for i in range(encoder.config.num_hidden_layers):
            layer, block = f"encoder.layers.{i}", f"transformer.resblocks.{i}"
            pairs = (
                ("ln_1", "layer_norm1"),
                ("ln_2", "layer_norm2"),
                ("mlp.c_fc", "mlp.fc1"),
                ("mlp.c_proj", "mlp.fc2"),
            )
            state |= {f"{block}.{theirs}.{end}": own[f"{layer}.{ours}.{end}"] for theirs, ours in pairs}
            state[f"{block}.attn.out_proj.{end}"] = own[f"{layer}.self_attn.out_proj.{end}"]
            qkv = [own[f"{layer}.self_attn.{letter}_proj.{end}"] for letter in "qkv"]
            state[f"{block}.attn.in_proj_{end}"] = torch.cat(qkv)
    named = {f"embedder.model.visual.{key}": value.contiguous() for key, value in state.items()}
    mean, std = (value.detach().flatten() for value in (statistics.mean, statistics.std))
    return named | {"noise_augmentor.data_mean": mean, "noise_augmentor.data_std": std}


def pixels(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    return ((images + 1) / 2 - mean) / std


@pytest.mark.parametrize("form", ["folder", "original", "ours"])
def test_the_image_encoder_is_read_in_every_form(form: str, tmp_path: Path) -> None:
    import transformers

    encoder, statistics = image_encoder(), normalizer()
    encoder.save_pretrained(tmp_path / "image_encoder")
    statistics.save_pretrained(tmp_path / "image_normalizer")
    path = tmp_path
    if form == "original":
        # Heads do not show in weights: as wide as the file's are taken to be.
        config = encoder.config.to_dict() | {"hidden_size": 128, "num_attention_heads": 2}
        encoder = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig.from_dict(config)).eval()
        path = tmp_path / "unclip.safetensors"
        write_weights(original_names(encoder, statistics), path)
    if form == "ours":
        path = tmp_path / "ours.safetensors"
        save_model(load_image_embedder(tmp_path), path)
    ours = load_image_embedder(path)
    images = torch.randint(0, 256, (2, 3, 28, 28)) / 127.5 - 1
    with torch.no_grad():
        found, wanted = ours(images), encoder(pixels(images)).image_embeds
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert torch.equal(ours.mean, statistics.mean)
    assert torch.equal(ours.std, statistics.std)
    if form == "folder":
        assert set(image_embedder_files(path)) == {
            "image_encoder/config.json",
            "image_encoder/model.safetensors",
            "image_normalizer/diffusion_pytorch_model.safetensors",
        }


def test_what_has_no_image_encoder_is_refused(tmp_path: Path) -> None:
    save_compvis(stable_diffusion(), tmp_path / "sd.safetensors")
    with pytest.raises(CheckpointError, match=r"sd\.safetensors holds no image encoder of Stable Diffusion unCLIP"):
        load_image_embedder(tmp_path / "sd.safetensors")
    image_encoder().save_pretrained(tmp_path / "image_encoder")
    with pytest.raises(CheckpointError, match=r"image_normalizer.*give the whole pipeline's folder"):
        load_image_embedder(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        load_image_embedder(tmp_path / "none")
