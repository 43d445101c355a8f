"""Stable Diffusion XL's family: folders and single files, the same pictures as diffusers' pipelines, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_ldm import assert_same, randomise
from tiny_pipelines import PROMPTS, SCALE, STEPS, modules, quiet
from tiny_xl import SIZE_DIM, xl_pipeline
from torch import Tensor

from core.checkpoints.compvis import load_compvis, save_compvis
from core.checkpoints.compvis_config import from_compvis
from core.checkpoints.detect import detect_conditioner
from core.checkpoints.diffusers_folder import load_diffusers, save_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.load import load_checkpoint, save_checkpoint
from core.checkpoints.sdxl_text import is_bigg, second_encoder, size_dim
from core.checkpoints.weights import read_weights, write_weights
from core.conditioning.conditioning import Conditioning
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.sizes import size_vector
from core.conditioning.text_condition import text_condition
from core.diffusion.guidance import classifier_free
from core.diffusion.solvers import SOLVERS, sample
from core.models.denoiser import denoise
from core.models.presets import LATENT_DIFFUSION

KINDS = ["base", "refiner", "inpainting"]
NEGATIVE = ["blurred", ""]
SHOWN = (64, 64)


def noise(channels: int = 4) -> Tensor:
    return torch.randn(len(PROMPTS), channels, 8, 8, generator=torch.Generator().manual_seed(7))


def told(model: LatentDiffusion, texts: list[str], score: float | None = None, **parts: Any) -> Conditioning:
    """A prompt with the sizes behind its vector, as the pipelines have them by default."""
    shown = torch.tensor([SHOWN])
    last = shown if score is None else torch.tensor([[score]])
    sizes = size_vector(shown, torch.zeros(1, 2), last, SIZE_DIM)
    return text_condition(model.conditioner, model.tokenizer(texts)) | Conditioning(y=sizes, **parts)


@torch.no_grad()
def guided_picture(
    model: LatentDiffusion, z: Tensor, conditions: tuple[Conditioning, Conditioning], solver: str = "ddim"
) -> Tensor:
    both = Conditioning.cat(conditions)

    def guided(z: Tensor, t: Tensor) -> Tensor:
        cond, uncond = denoise(model.unet, torch.cat([z, z]), torch.cat([t, t]), both).chunk(2)
        return classifier_free(cond, uncond, SCALE)

    return model.autoencoder.decode(sample(guided, z, model.schedule, solver, steps=STEPS))


def saved(folder: Path, kind: str) -> tuple[Any, LatentDiffusion]:
    pipeline = xl_pipeline(folder, kind)
    pipeline.save_pretrained(folder / "saved")
    return pipeline, load_diffusers(folder / "saved")


def same(ours: Tensor, theirs: Tensor) -> None:
    assert ours.abs().le(1).float().mean() > 0.5, "most pixels are clipped, which hides differences"
    assert theirs[0].sub(theirs[1]).abs().max() > 0.05, "the prompts make no difference"
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, rtol=0, atol=1e-3)


def test_pictures_of_the_base_are_the_pipelines(tmp_path: Path) -> None:
    pipeline, model = saved(tmp_path, "base")
    options = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "height": 64, "width": 64, "output_type": "pt"}
    theirs = pipeline(PROMPTS, negative_prompt=NEGATIVE, latents=noise(), **options).images * 2 - 1
    same(guided_picture(model, noise(), (told(model, PROMPTS), told(model, NEGATIVE))), theirs)
    # Without a negative prompt the pipeline takes zeros in place of the text, and keeps the sizes.
    theirs = pipeline(PROMPTS, latents=noise(), **options).images * 2 - 1
    nothing = told(model, PROMPTS)
    text = text_condition(model.conditioner, model.tokenizer(PROMPTS)).null()
    width = text.y.shape[1]
    null = text | Conditioning(y=nothing.y[:, width:])
    same(guided_picture(model, noise(), (nothing, null)), theirs)


def test_the_refiner_ends_what_the_base_began(tmp_path: Path) -> None:
    """Ensemble of experts: the base's part of the steps, then the refiner's, as denoising_end and denoising_start split them."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (base, ours), (refiner, our_refiner) = saved(tmp_path / "a", "base"), saved(tmp_path / "b", "refiner")
    shared = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "negative_prompt": NEGATIVE}
    shape = {"height": 64, "width": 64, "latents": noise(), "output_type": "latent", "denoising_end": 0.8}
    between = base(PROMPTS, **shared, **shape).images
    sizes = {"original_size": SHOWN, "target_size": SHOWN, "negative_original_size": SHOWN}
    theirs = refiner(PROMPTS, image=between, denoising_start=0.8, output_type="pt", **shared, **sizes).images * 2 - 1

    ddim = SOLVERS["ddim"]
    latents: list[Tensor] = []
    scores = (6.0, 2.5)
    for model, part, asked in ((ours, (0, 8), (None, None)), (our_refiner, (8, None), scores)):
        both = Conditioning.cat([told(model, texts, s) for texts, s in zip((PROMPTS, NEGATIVE), asked, strict=True)])

        def guided(z: Tensor, t: Tensor, model: Any = model, both: Conditioning = both) -> Tensor:
            cond, uncond = denoise(model.unet, torch.cat([z, z]), torch.cat([t, t]), both).chunk(2)
            return classifier_free(cond, uncond, SCALE)

        start = latents[-1] if latents else noise()
        with torch.no_grad():
            levels = ddim.levels(model.schedule, STEPS, None).part(*part)
            latents.append(ddim(guided, start, levels, eta=None, draw=torch.randn_like, turns=range))
    torch.testing.assert_close(latents[0], between, rtol=0, atol=1e-3)
    with torch.no_grad():
        same(our_refiner.autoencoder.decode(latents[1]), theirs)


def test_pictures_of_the_inpainting_model_are_the_pipelines(tmp_path: Path) -> None:
    pipeline, model = saved(tmp_path, "inpainting")
    picture = torch.rand(len(PROMPTS), 3, 64, 64, generator=torch.Generator().manual_seed(3))
    mask = torch.zeros(len(PROMPTS), 1, 64, 64)
    mask[:, :, 16:48, 8:40] = 1
    masked = (picture * 2 - 1) * (mask < 0.5)
    with torch.no_grad():
        latent = model.autoencoder.encode(masked)
    beside = torch.cat([torch.nn.functional.interpolate(mask, size=(8, 8)), latent], dim=1)
    options = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "height": 64, "width": 64, "output_type": "pt"}
    options |= {"strength": 1.0, "latents": noise(), "negative_prompt": NEGATIVE, "mask_image": mask}
    with pytest.MonkeyPatch.context() as patch:  # their encoder draws; its mean is compared
        patch.setattr("diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl_inpaint.retrieve_latents", lambda out, **_: out.latent_dist.mode())  # fmt: skip
        theirs = pipeline(PROMPTS, image=picture, **options).images * 2 - 1
    conditions = [told(model, texts, concat=beside) for texts in (PROMPTS, NEGATIVE)]
    same(guided_picture(model, noise(), (conditions[0], conditions[1])), theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_over_every_format_is_bit_equal(kind: str, tmp_path: Path) -> None:
    """diffusers → ours → a single file → ours → our folder → ours → diffusers, in the form that they came in."""
    from diffusers import DiffusionPipeline

    original, ours = saved(tmp_path, kind)
    assert isinstance(ours.conditioner, SDXLTextEmbedder)
    save_compvis(ours, tmp_path / "single.safetensors")
    names = read_weights(tmp_path / "single.safetensors").keys()
    second = f"conditioner.embedders.{0 if kind == 'refiner' else 1}.model."
    assert f"{second}transformer.resblocks.2.attn.in_proj_weight" in names
    assert f"{second}text_projection" in names
    assert ("conditioner.embedders.0.transformer.text_model.final_layer_norm.bias" in names) == (kind != "refiner")
    again = dataclasses.replace(load_compvis(tmp_path / "single.safetensors"), tokenizer=ours.tokenizer)
    assert_same(again, ours)
    save_checkpoint(again, tmp_path / "whole")
    again = load_checkpoint(tmp_path / "whole")
    assert_same(again, ours)
    save_diffusers(again, tmp_path / "ours", sample_size=8)
    theirs, index = (json.loads((tmp_path / each / "model_index.json").read_text()) for each in ("saved", "ours"))
    named = {key for key in theirs if not key.startswith("_") and key != "image_encoder"}
    assert {key: index.get(key) for key in named} == {key: theirs[key] for key in named}
    back = quiet(DiffusionPipeline.from_pretrained(tmp_path / "ours", add_watermarker=False))
    assert type(back) is type(original)
    for name, wanted in modules(original).items():
        found = modules(back)[name].state_dict()
        assert found.keys() == wanted.state_dict().keys()
        assert all(torch.equal(found[key], value) for key, value in wanted.state_dict().items()), name
    for name in ("tokenizer", "tokenizer_2"):
        if (wanted := getattr(original, name)) is not None:
            options = {"padding": "max_length", "max_length": 77, "truncation": True}
            assert getattr(back, name)(PROMPTS, **options).input_ids == wanted(PROMPTS, **options).input_ids
    assert back.unet.config.addition_time_embed_dim == SIZE_DIM


def test_diffusers_reads_our_single_file(tmp_path: Path) -> None:
    from diffusers import StableDiffusionXLPipeline

    original, ours = saved(tmp_path, "base")
    save_compvis(ours, tmp_path / "single.safetensors")
    found = StableDiffusionXLPipeline.from_single_file(
        tmp_path / "single.safetensors", config=str(tmp_path / "saved"), local_files_only=True, add_watermarker=False
    )
    for name, wanted in modules(original).items():
        state = modules(found)[name].state_dict()
        assert all(torch.equal(state[key], value) for key, value in wanted.state_dict().items()), name


def test_a_published_yaml_is_read() -> None:
    """sd_xl_base.yaml's and sd_xl_refiner.yaml's lines, as far as they describe the model."""
    published = yaml.safe_load(
        """
        target: sgm.models.diffusion.DiffusionEngine
        params:
          scale_factor: 0.13025
          denoiser_config:
            target: sgm.modules.diffusionmodules.denoiser.DiscreteDenoiser
            params:
              num_idx: 1000
              scaling_config: {target: sgm.modules.diffusionmodules.denoiser_scaling.EpsScaling}
              discretization_config: {target: sgm.modules.diffusionmodules.discretizer.LegacyDDPMDiscretization}
          network_config:
            target: sgm.modules.diffusionmodules.openaimodel.UNetModel
            params: {adm_in_channels: 2560, num_classes: sequential, use_checkpoint: true, in_channels: 4, out_channels: 4,
              model_channels: 384, attention_resolutions: [4, 2], num_res_blocks: 2, channel_mult: [1, 2, 4, 4],
              num_head_channels: 64, use_linear_in_transformer: true, transformer_depth: 4,
              context_dim: [1280, 1280, 1280, 1280], spatial_transformer_attn_type: softmax-xformers}
          first_stage_config:
            target: sgm.models.autoencoder.AutoencoderKL
            params: {embed_dim: 4, ddconfig: {attn_type: vanilla-xformers, double_z: true, z_channels: 4, resolution: 256,
              in_channels: 3, out_ch: 3, ch: 128, ch_mult: [1, 2, 4, 4], num_res_blocks: 2, attn_resolutions: [], dropout: 0.0}}
        """
    )
    read = from_compvis(published)
    preset = LATENT_DIFFUSION["stable-diffusion-xl-refiner"]
    assert read.unet.config.items() >= preset["unet"].items()
    assert read.autoencoder.config["scale_factor"] == 0.13025
    assert read.schedule.parametrisation == "eps"
    published["params"]["denoiser_config"]["params"]["scaling_config"]["target"] = "sgm.EDMScaling"
    with pytest.raises(ValueError, match="EDMScaling is not supported"):
        from_compvis(published)


def test_encoders_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    saved(tmp_path, "base")
    vocabulary = tmp_path / "saved" / "tokenizer_2" / "tokenizer.json"
    other = json.loads(vocabulary.read_text())
    words = other["model"]["vocab"]
    words["a</w>"], words["b</w>"] = words["b</w>"], words["a</w>"]
    vocabulary.write_text(json.dumps(other))
    with pytest.raises(CheckpointError, match="tokenizer and tokenizer_2 know other words"):
        load_diffusers(tmp_path / "saved")


def test_a_component_alone_is_read(tmp_path: Path) -> None:
    _, whole = saved(tmp_path, "base")
    alone = load_checkpoint(tmp_path / "saved" / "text_encoder_2")
    assert isinstance(alone.conditioner, SDXLTextEmbedder)
    assert alone.conditioner.clip_l is None
    for part in (whole.conditioner, alone.conditioner):
        assert part.config["end"] == 599
    shutil.rmtree(tmp_path / "saved" / "text_encoder_2")
    with pytest.raises(CheckpointError, match="text_encoder_2"):
        load_diffusers(tmp_path / "saved")


def test_the_second_encoder_is_known_by_its_projection(tmp_path: Path) -> None:
    """In transformers' naming, with OpenCLIP's and without; a plain CLIP is none."""
    config = {"vocab_size": 300, "hidden_size": 1280, "intermediate_size": 8, "num_hidden_layers": 2}
    text = randomise(SDXLTextEmbedder(None, config | {"num_attention_heads": 20, "hidden_act": "gelu"}, end=299), 1)
    own = {key: value for key, value in text.state_dict().items() if key.startswith("clip_g.")}
    theirs = {f"text_model.{key.removeprefix('clip_g.transformer.')}": value for key, value in own.items()}
    assert not is_bigg(theirs)
    theirs["text_projection.weight"] = text.text_projection.weight.detach()
    assert is_bigg(theirs)
    write_weights(theirs, tmp_path / "clip_g.safetensors")
    found = load_checkpoint(tmp_path / "clip_g.safetensors").conditioner
    tokens = torch.tensor([[298, 5, 6, 299, 299, 299]])
    torch.testing.assert_close(found(tokens, pooled=True), text(tokens, pooled=True), rtol=0, atol=0)
    assert detect_conditioner(second_encoder(theirs), None).config["projection_dim"] == 1280


def test_what_a_vector_is_made_of() -> None:
    base, refiner = (LATENT_DIFFUSION[f"stable-diffusion-xl{each}"]["unet"] for each in ("", "-refiner"))
    assert size_dim(base, None) == size_dim(refiner, None) == 256
    assert size_dim(base | {"adm_in_channels": 2048}, None) is None
    assert size_dim(LATENT_DIFFUSION["stable-diffusion-v1"]["unet"], None) is None
