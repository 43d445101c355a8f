"""Stable Diffusion 3: folders, the same pictures as diffusers' pipeline, what is trained, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_ldm import assert_same
from tiny_pipelines import PROMPTS, SCALE, modules, quiet
from tiny_sd3 import CONTEXT, sd3_pipeline, t5, transformer
from torch import Tensor

from core.checkpoints.diffusers_folder import diffusers_files, load_diffusers, save_diffusers
from core.checkpoints.diffusers_mmdit import mmdit_from_diffusers, mmdit_from_diffusers_config
from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import identify
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.latent_scale import with_scale
from core.checkpoints.load import load_checkpoint, save_checkpoint
from core.checkpoints.sd3_text import components
from core.checkpoints.weights import write_weights
from core.conditioning.conditioning import Conditioning
from core.conditioning.prompt_encoding import encode_prompts
from core.conditioning.sd3 import SD3TextEmbedder
from core.conditioning.t5 import T5TextEmbedder
from core.conditioning.text_condition import text_condition
from core.diffusion.flow import RectifiedFlow
from core.diffusion.guidance import classifier_free
from core.diffusion.schedulers import stored
from core.models.denoiser import denoise
from core.models.mmdit import MMDiT

NEGATIVE = ["blurred", ""]
STEPS = 4


def noise() -> Tensor:
    return torch.randn(len(PROMPTS), 16, 8, 8, generator=torch.Generator().manual_seed(7))


def saved(folder: Path, kind: str = "3", with_t5: bool = True) -> tuple[Any, LatentDiffusion]:
    pipeline = sd3_pipeline(folder, kind, with_t5)
    pipeline.save_pretrained(folder / "saved")
    return pipeline, load_diffusers(folder / "saved")


def told(model: LatentDiffusion, texts: list[str]) -> Conditioning:
    return text_condition(model.conditioner, model.tokenizer(texts))


@torch.no_grad()
def pictures(model: LatentDiffusion) -> Tensor:
    both = Conditioning.cat([told(model, PROMPTS), told(model, NEGATIVE)])

    def guided(z: Tensor, t: Tensor) -> Tensor:
        cond, uncond = denoise(model.unet, torch.cat([z, z]), torch.cat([t, t]), both).chunk(2)
        return classifier_free(cond, uncond, SCALE)

    sampler = stored(model.schedule)
    return model.autoencoder.decode(sampler(guided, noise(), sampler.levels(model.schedule, STEPS)))


def reloaded(pipeline: Any, folder: Path) -> Any:
    """As a folder without T5 is loaded: diffusers wants to be told."""
    without = {} if pipeline.text_encoder_3 else {"text_encoder_3": None, "tokenizer_3": None}
    return quiet(type(pipeline).from_pretrained(folder, **without))


OPTIONS: dict[str, Any] = {
    "num_inference_steps": STEPS,
    "guidance_scale": SCALE,
    "height": 64,
    "width": 64,
    "output_type": "pt",
    "negative_prompt": NEGATIVE,
}


@pytest.mark.parametrize(("kind", "with_t5"), [("3", True), ("3.5", False)])
def test_pictures_are_the_pipelines_and_the_folder_goes_there_and_back(
    kind: str, with_t5: bool, tmp_path: Path
) -> None:
    pipeline, model = saved(tmp_path, kind, with_t5)
    assert isinstance(model.unet, MMDiT)
    assert isinstance(model.conditioner, SD3TextEmbedder)
    assert isinstance(model.schedule, RectifiedFlow)
    assert (model.conditioner.t5 is not None) == with_t5
    theirs = pipeline(PROMPTS, latents=noise(), **OPTIONS).images * 2 - 1
    ours = pictures(model)
    assert ours.abs().le(1).float().mean() > 0.5, "most pixels are clipped, which hides differences"
    assert theirs[0].sub(theirs[1]).abs().max() > 0.05, "the prompts make no difference"
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, rtol=0, atol=1e-3)

    save_diffusers(model, tmp_path / "ours")
    again = reloaded(pipeline, tmp_path / "ours")
    wanted = modules(pipeline)
    for name, part in modules(again).items():
        state = part.state_dict()
        for key, value in wanted[name].state_dict().items():
            assert torch.equal(state[key], value), f"{name}: {key}"
    torch.testing.assert_close(again(PROMPTS, latents=noise(), **OPTIONS).images * 2 - 1, theirs, rtol=0, atol=1e-5)
    assert_same(load_diffusers(tmp_path / "ours"), model)
    save_checkpoint(model, tmp_path / "whole")
    whole = load_checkpoint(tmp_path / "whole")
    assert_same(whole, model)
    assert torch.equal(whole.tokenizer(PROMPTS), model.tokenizer(PROMPTS))
    assert set(diffusers_files(tmp_path / "saved")) >= {"text_encoder/config.json", "tokenizer_2/tokenizer.json"}


@torch.no_grad()
def test_conditions_are_the_pipelines(tmp_path: Path) -> None:
    pipeline, model = saved(tmp_path)
    texts = ["a red circle", ""]
    context, _, vector, _ = pipeline.encode_prompt(texts, None, None, do_classifier_free_guidance=False)
    found = told(model, texts)
    assert found.context.shape == (2, 77 + 256, CONTEXT)
    torch.testing.assert_close(found.context, context, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.y, vector, rtol=0, atol=1e-5)
    assert found.context[0, 77:].sub(found.context[1, 77:]).abs().max() > 0.1, "T5 reads nothing"


@pytest.mark.parametrize("encoders", [("text_encoder", "text_encoder_2"), ("text_encoder_3",)])
def test_a_pipeline_without_some_encoders_is_named_or_loads(encoders: tuple[str, ...], tmp_path: Path) -> None:
    sd3_pipeline(tmp_path).save_pretrained(tmp_path / "saved")
    index = json.loads((tmp_path / "saved/model_index.json").read_text())
    (tmp_path / "saved/model_index.json").write_text(json.dumps(index | {name: [None, None] for name in encoders}))
    if "text_encoder" in encoders:
        with pytest.raises(CheckpointError, match="lacks text_encoder or text_encoder_2"):
            load_diffusers(tmp_path / "saved")
        return
    model = load_diffusers(tmp_path / "saved")
    assert told(model, PROMPTS).context.shape == (2, 77 + 256, CONTEXT)
    assert not told(model, PROMPTS).context[:, 77:].any()


def test_each_part_is_read_alone_and_named(tmp_path: Path) -> None:
    sd3_pipeline(tmp_path).save_pretrained(tmp_path / "saved")
    found = identify(tmp_path / "saved")
    assert found is not None
    assert (found.name, found.use) == ("a StableDiffusion3Pipeline (a folder of diffusers)", "checkpoint")
    assert isinstance(load_checkpoint(tmp_path / "saved/transformer").unet, MMDiT)
    alone = load_checkpoint(tmp_path / "saved/text_encoder_3").conditioner
    assert isinstance(alone, T5TextEmbedder)
    tokens = torch.tensor([[3, 4, 1, 0]])
    torch.testing.assert_close(alone(tokens), t5()(tokens).last_hidden_state, rtol=0, atol=1e-5)
    save_diffusers(LatentDiffusion(conditioner=alone), tmp_path / "t5")
    assert_same(load_diffusers(tmp_path / "t5/text_encoder"), LatentDiffusion(conditioner=alone))


def test_a_scale_for_each_channel_is_folded_for_the_pipeline(tmp_path: Path) -> None:
    pipeline, model = saved(tmp_path, with_t5=False)
    other = with_scale(
        model.autoencoder, torch.linspace(1, 2, 16)[:, None, None], torch.linspace(-1, 1, 16)[:, None, None]
    )
    save_diffusers(
        LatentDiffusion(model.unet, other, model.conditioner, model.tokenizer, model.schedule), tmp_path / "x"
    )
    again = reloaded(pipeline, tmp_path / "x")
    z = noise()
    wanted = other.decode(z)
    found = again.vae.decode(z / again.vae.config.scaling_factor + again.vae.config.shift_factor).sample
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    _, model = saved(tmp_path)
    assert isinstance(model.conditioner, SD3TextEmbedder)
    with pytest.raises(ValueError, match="wire the model's own tokenizer, or join T5's to it"):
        model.conditioner(model.tokenizer.beside(None)(PROMPTS))
    with pytest.raises(ValueError, match="in the style plain alone"):
        encode_prompts(model.conditioner, model.tokenizer, PROMPTS, "a1111", torch.device("cpu"))
    skips = SD3TextEmbedder(**model.conditioner.config | {"skip": 2})
    with pytest.raises(ValueError, match="skips 2 layers"):
        save_diffusers(LatentDiffusion(conditioner=skips), tmp_path / "x")
    with pytest.raises(ValueError, match="skip must leave"):
        SD3TextEmbedder(**model.conditioner.config | {"skip": 3})
    with pytest.raises(ValueError, match="give T5's width"):
        SD3TextEmbedder(**model.conditioner.config | {"context_dim": 24})


# --- single files ---------------------------------------------------------------------------------------------------


def in_one_file(model: LatentDiffusion) -> dict[str, Tensor]:
    """As Stability's and ComfyUI's files have a model, T5 with it."""
    assert isinstance(model.conditioner, SD3TextEmbedder)
    state = {f"model.diffusion_model.{key}": value for key, value in model.unet.state_dict().items()}
    own = {key: value for key, value in model.autoencoder.state_dict().items() if "quant_conv" not in key}
    state |= {
        f"first_stage_model.{key}": value for key, value in own.items() if key.split(".")[0] in ("encoder", "decoder")
    }
    names = {"text_encoder": "clip_l", "text_encoder_2": "clip_g", "text_encoder_3": "t5xxl"}
    for folder, (_, weights) in components(model.conditioner).items():
        prefix = f"text_encoders.{names[folder]}."
        state |= {f"{prefix}transformer.{key}": value for key, value in weights.items()}
        state[f"{prefix}logit_scale"] = torch.ones(())
    return state


def test_a_single_file_has_all_its_parts_and_they_are_the_folders(tmp_path: Path) -> None:
    _, model = saved(tmp_path, "3.5")
    write_weights(in_one_file(model), tmp_path / "sd3.safetensors")
    found = load_checkpoint(tmp_path / "sd3.safetensors")
    for name in ("unet", "autoencoder", "conditioner"):
        one, two = getattr(found, name), getattr(model, name)
        assert {key: value.shape for key, value in one.state_dict().items()} == {
            key: value.shape for key, value in two.state_dict().items()
        }
        assert all(torch.equal(value, two.state_dict()[key]) for key, value in one.state_dict().items())
    assert found.unet.config["num_heads"] == model.unet.config["num_heads"]  # which the norm of queries tells
    assert found.conditioner.t5.config | {"layer_norm_epsilon": 1e-6} == model.conditioner.t5.config
    assert found.schedule == model.schedule
    assert stored(found.schedule).levels(found.schedule, 4) == stored(model.schedule).levels(model.schedule, 4)
    known = identify(tmp_path / "sd3.safetensors")
    assert known is not None
    assert (known.name, known.use) == ("a Stable Diffusion 3.5 checkpoint", "checkpoint")


@pytest.mark.parametrize("form", ["Stability's", "without a prefix", "diffusers'", "a pipeline of diffusers'"])
def test_the_transformer_is_read_alone_whatever_names_it_has(form: str, tmp_path: Path) -> None:
    theirs = transformer("3.5")
    model = MMDiT(**mmdit_from_diffusers_config(theirs.config))
    model.load_state_dict(mmdit_from_diffusers(theirs.state_dict(), model.config))
    prefix = {"Stability's": "model.diffusion_model.", "a pipeline of diffusers'": "transformer."}.get(form, "")
    state = theirs.state_dict() if "diffusers'" in form else model.state_dict()
    write_weights({prefix + key: value for key, value in state.items()}, tmp_path / "t.safetensors")
    found = load_checkpoint(tmp_path / "t.safetensors").unet
    assert isinstance(found, MMDiT)
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in found.state_dict().items())
    known = identify(tmp_path / "t.safetensors")
    assert known is not None
    assert known.use == "checkpoint"
    assert "Stable Diffusion 3" in known.name


def test_our_names_are_those_that_diffusers_reads_of_stabilitys_files() -> None:
    from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers

    theirs = transformer("3.5")
    config = mmdit_from_diffusers_config(theirs.config)
    ours = mmdit_from_diffusers(theirs.state_dict(), config)
    read = convert_sd3_transformer_checkpoint_to_diffusers(dict(ours))
    wanted = theirs.state_dict()
    assert read.keys() == wanted.keys()
    assert all(torch.equal(read[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ("x_embedder.proj.weight", "incomplete Stable Diffusion 3"),
        ("joint_blocks.1.x_block.mlp.fc1.weight", "fc1.weight is missing"),
    ],
)
def test_an_incomplete_file_is_said_to_be_one(without: str, message: str, tmp_path: Path) -> None:
    theirs = transformer("3.5")
    state = mmdit_from_diffusers(theirs.state_dict(), mmdit_from_diffusers_config(theirs.config))
    write_weights({key: value for key, value in state.items() if key != without}, tmp_path / "t.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "t.safetensors")
