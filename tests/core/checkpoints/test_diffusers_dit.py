"""DiT folders of diffusers: the same pictures as its pipeline, there and back, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from tiny_pipelines import autoencoder, quiet
from torch import Tensor

from core.checkpoints.diffusers_dit import NUMBERS
from core.checkpoints.diffusers_folder import diffusers_files, load_diffusers, save_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.load import load_checkpoint, save_checkpoint
from core.conditioning.conditioning import Conditioning
from core.diffusion.guidance import classifier_free
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import sample
from core.models.autoencoder import KLAutoencoder
from core.models.denoiser import denoise
from core.models.dit import DiT

CLASSES, SCALE, STEPS = [3, 7], 3.0, 5
TINY = {"in_channels": 4, "hidden_size": 16, "depth": 1, "num_heads": 2, "sample_size": 8}


def pipeline() -> Any:
    """As facebook's folders are: classes to 1000, the null class, a learned variance, DDIM."""
    torch.manual_seed(0)
    transformer = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, num_layers=2, sample_size=8, out_channels=8
    )
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.08)
    embedder = transformer.transformer_blocks[0].norm1.emb.state_dict()
    transformer.transformer_blocks[1].norm1.emb.load_state_dict(embedder)
    scheduler = diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    return quiet(diffusers.DiTPipeline(transformer.eval(), autoencoder(is_vq=False).eval(), scheduler))


@torch.no_grad()
def our_pictures(model: LatentDiffusion, noise: Tensor) -> Tensor:
    told = Conditioning(y=torch.tensor([*CLASSES, 1000, 1000]))

    def guided(z: Tensor, t: Tensor) -> Tensor:
        cond, uncond = denoise(model.unet, torch.cat([z, z]), torch.cat([t, t]), told).chunk(2)
        return classifier_free(cond, uncond, SCALE)

    return model.autoencoder.decode(sample(guided, noise, model.schedule, "ddim", steps=STEPS))


def test_pictures_are_the_pipelines_and_the_folder_goes_there_and_back(tmp_path: Path) -> None:
    original = pipeline()
    original.save_pretrained(tmp_path / "theirs")
    options = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "output_type": "pt"}
    theirs = original(CLASSES, generator=torch.Generator().manual_seed(1), **options).images * 2 - 1
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    model = load_diffusers(tmp_path / "theirs")
    assert isinstance(model.unet, DiT)
    ours = our_pictures(model, noise)
    assert theirs[0].sub(theirs[1]).abs().max() > 0.01, "the classes make no difference"
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, rtol=0, atol=1e-3)
    save_diffusers(model, tmp_path / "ours")
    again = quiet(diffusers.DiffusionPipeline.from_pretrained(tmp_path / "ours"))
    assert isinstance(again, diffusers.DiTPipeline)
    wanted = original.transformer.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in again.transformer.state_dict().items())
    save_checkpoint(model, tmp_path / "whole")
    assert torch.equal(our_pictures(load_checkpoint(tmp_path / "whole"), noise), ours)


def test_the_transformers_folder_is_read_alone_and_under_its_older_name(tmp_path: Path) -> None:
    transformer = pipeline().transformer
    transformer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    older = {"_class_name": "Transformer2DModel", "attention_type": "default", "num_vector_embeds": None}
    (tmp_path / "config.json").write_text(json.dumps(config | older))
    model = load_checkpoint(tmp_path)
    assert isinstance(model.unet, DiT)
    assert model.unet.config["num_classes"] == 1000
    assert set(diffusers_files(tmp_path)) == {"config.json", "diffusion_pytorch_model.safetensors"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm_type": "layer_norm"}, "norm_type = layer_norm is not supported"),
        ({"caption_channels": 4096}, "caption_channels = 4096 is not supported"),
        ({"out_channels": 5}, "out_channels = 5 is neither"),
        ({"num_layers": 3}, "lacks 'transformer_blocks.2"),
        ({"num_layers": 10**9}, "cannot be used"),
        ({"attention_head_dim": 9}, "does not fit|cannot be used"),
    ],
)
def test_what_is_no_such_transformer_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    pipeline().transformer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(CheckpointError, match=message):
        load_diffusers(tmp_path)


def test_a_transformer_that_diffusers_cannot_be_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    autoencoder = KLAutoencoder(model_channels=8, channel_mult=[1, 1], z_channels=4, norm_groups=4)
    paper = LatentDiffusion(DiT(**TINY, num_classes=3), autoencoder, schedule=NoiseSchedule.linear())
    with pytest.raises(ValueError, match="freq_shift 1"):
        save_diffusers(paper, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    few = LatentDiffusion(DiT(**TINY, num_classes=3, **NUMBERS), autoencoder, schedule=NoiseSchedule.linear())
    save_diffusers(few, tmp_path / "x")
    assert not (tmp_path / "x/model_index.json").exists(), "its pipeline takes 1000 for no class"
    assert isinstance(load_checkpoint(tmp_path / "x" / "transformer").unet, DiT)
