"""PixArt-α and PixArt-Σ: folders, the same pictures as diffusers' pipelines, what is read of single files, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_ldm import assert_same, randomise
from tiny_pipelines import PROMPTS, SCALE, modules, noise, quiet
from tiny_pixart import pixart_pipeline, scheduler
from tiny_sd3 import CONTEXT
from torch import Tensor

from core.checkpoints.diffusers_folder import diffusers_files, load_diffusers, save_diffusers
from core.checkpoints.diffusers_pixart import pixart_to_diffusers
from core.checkpoints.diffusers_scheduler import schedule_from_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import identify
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.load import load_checkpoint, save_checkpoint
from core.checkpoints.pixart_text import LENGTHS, pipeline_of, without_padding
from core.checkpoints.weights import write_weights
from core.conditioning.average import average
from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import ContextMask, Vector
from core.conditioning.prompt_encoding import encode_prompts
from core.conditioning.t5 import T5TextEmbedder
from core.conditioning.text_condition import text_condition
from core.diffusion.guidance import classifier_free
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.schedulers import stored
from core.layerwise import is_narrow, narrowed
from core.models.denoiser import denoise
from core.models.dit import grid_embedding
from core.models.pixart import PixArt

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' use of numpy

NEGATIVE = ["blurred", ""]
LARGE = ["A Red circle ", "two BLUE squares"]
STEPS = 6
SIDE = 16
"""Of the pictures, in pixels."""


def saved(folder: Path, kind: str = "sigma") -> tuple[Any, LatentDiffusion]:
    pipeline = pixart_pipeline(kind)
    pipeline.save_pretrained(folder / "saved")
    return pipeline, load_diffusers(folder / "saved")


def told(model: LatentDiffusion, texts: list[str]) -> Conditioning:
    condition = text_condition(model.conditioner, model.tokenizer(texts))
    sizes = [Vector(torch.tensor([[SIDE, SIDE, 1.0]]))] if model.unet.config["sizes"] else []
    return condition | Conditioning(parts=sizes)


@torch.no_grad()
def pictures(model: LatentDiffusion) -> Tensor:
    both = Conditioning.cat([told(model, LARGE), told(model, NEGATIVE)])

    def guided(z: Tensor, t: Tensor) -> Tensor:
        cond, uncond = denoise(model.unet, torch.cat([z, z]), torch.cat([t, t]), both).chunk(2)
        return classifier_free(cond, uncond, SCALE)

    sampler = stored(model.schedule)
    return model.autoencoder.decode(sampler(guided, noise(4), sampler.levels(model.schedule, STEPS)))


OPTIONS: dict[str, Any] = {
    "num_inference_steps": STEPS,
    "guidance_scale": SCALE,
    "height": SIDE,
    "width": SIDE,
    "output_type": "pt",
    "negative_prompt": NEGATIVE,
    "clean_caption": False,
    "use_resolution_binning": False,
}


@pytest.mark.parametrize("kind", ["alpha", "alpha 1024", "sigma"])
def test_pictures_are_the_pipelines_and_the_folder_goes_there_and_back(kind: str, tmp_path: Path) -> None:
    pipeline, model = saved(tmp_path, kind)
    assert isinstance(model.unet, PixArt)
    assert isinstance(model.conditioner, T5TextEmbedder)
    assert isinstance(model.schedule, NoiseSchedule)
    assert model.tokenizer.length == LENGTHS[type(pipeline).__name__]
    theirs = pipeline(LARGE, latents=noise(4), **OPTIONS).images * 2 - 1
    ours = pictures(model)
    assert ours.abs().le(1).float().mean() > 0.5, "most pixels are clipped, which hides differences"
    assert theirs[0].sub(theirs[1]).abs().max() > 0.05, "the prompts make no difference"
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, rtol=0, atol=1e-3)

    save_diffusers(model, tmp_path / "ours")
    again = quiet(type(pipeline).from_pretrained(tmp_path / "ours"))
    wanted = modules(pipeline)
    for name, part in modules(again).items():
        state = part.state_dict()
        for key, value in wanted[name].state_dict().items():
            assert torch.equal(state[key], value), f"{name}: {key}"
    torch.testing.assert_close(again(LARGE, latents=noise(4), **OPTIONS).images * 2 - 1, theirs, rtol=0, atol=1e-5)
    assert_same(load_diffusers(tmp_path / "ours"), model)
    save_checkpoint(model, tmp_path / "whole")
    whole = load_checkpoint(tmp_path / "whole")
    assert_same(whole, model)
    assert torch.equal(whole.tokenizer(LARGE), model.tokenizer(LARGE))
    assert whole.conditioner.pad == model.conditioner.pad == 0
    assert set(diffusers_files(tmp_path / "saved")) >= {"text_encoder/config.json", "tokenizer/tokenizer.json"}
    found = identify(tmp_path / "saved")
    assert found is not None
    assert (found.name, found.use) == (f"a {type(pipeline).__name__} (a folder of diffusers)", "checkpoint")


@torch.no_grad()
def test_conditions_are_the_pipelines(tmp_path: Path) -> None:
    pipeline, model = saved(tmp_path)
    texts = ["A red circle ", ""]
    context, mask, *_ = pipeline.encode_prompt(texts, do_classifier_free_guidance=False)
    found = told(model, texts)
    assert found.context.shape == (2, 300, CONTEXT)
    assert torch.equal(found[ContextMask].read, mask.bool())
    torch.testing.assert_close(found.context, context, rtol=0, atol=1e-5)
    plain = without_padding(model.conditioner, None)
    assert (plain(model.tokenizer(texts)) - context).abs().max() > 0.1, "padding makes no difference"
    assert torch.equal(told(model, LARGE).context, told(model, [text.lower().strip() for text in LARGE]).context)


def test_the_first_folders_call_the_transformer_by_another_name(tmp_path: Path) -> None:
    pipeline, model = saved(tmp_path, "alpha 1024")
    pipeline.save_pretrained(tmp_path / "old")
    for path, change in (
        ("model_index.json", {"transformer": ["diffusers", "Transformer2DModel"]}),
        ("transformer/config.json", {"_class_name": "Transformer2DModel", "num_vector_embeds": None}),
    ):
        described = json.loads((tmp_path / "old" / path).read_text())
        (tmp_path / "old" / path).write_text(json.dumps(described | change))
    assert_same(load_diffusers(tmp_path / "old"), model)


def test_each_part_is_read_alone(tmp_path: Path) -> None:
    _, model = saved(tmp_path)
    assert isinstance(load_checkpoint(tmp_path / "saved/transformer").unet, PixArt)
    alone = load_checkpoint(tmp_path / "saved/text_encoder").conditioner
    assert isinstance(alone, T5TextEmbedder)
    assert alone.pad is None
    z, t = noise(4), torch.tensor([500, 500])
    read_all = text_condition(alone, model.tokenizer(PROMPTS))
    with pytest.raises(ValueError, match="the PixArt needs context_mask"):
        denoise(model.unet, z, t, read_all)
    again = text_condition(without_padding(alone, 0), model.tokenizer(PROMPTS))
    torch.testing.assert_close(again.context, told(model, PROMPTS).context, rtol=0, atol=0)


@torch.no_grad()
def test_padding_is_left_unread_by_a_t5_that_is_kept_narrow(tmp_path: Path) -> None:
    _, model = saved(tmp_path)
    tokens = model.tokenizer(PROMPTS)
    encoder = narrowed(without_padding(model.conditioner, None), torch.bfloat16)
    made = without_padding(encoder, 0)
    assert is_narrow(made)
    assert (encoder.pad, encoder.config["pad"], made.pad, made.config["pad"]) == (None, None, 0, 0)
    pairs = list(zip(made.parameters(), encoder.requires_grad_(True).parameters(), strict=True))
    assert all(ours.data_ptr() == theirs.data_ptr() for ours, theirs in pairs)
    made.requires_grad_(False)
    assert all(theirs.requires_grad for _, theirs in pairs)
    wanted = narrowed(model.conditioner, torch.bfloat16)(tokens)
    torch.testing.assert_close(made(tokens), wanted, rtol=0, atol=1e-5)


def test_conditions_between_two_read_what_one_of_them_reads(tmp_path: Path) -> None:
    _, model = saved(tmp_path)
    a, b = (told(model, [text]) for text in ("a", "two blue squares"))
    read = average(a, b, 0.5)[ContextMask].read
    assert torch.equal(read, a[ContextMask].read | b[ContextMask].read)
    assert torch.equal(average(b, a.map(lambda rows: rows[:, :4]), 0.5)[ContextMask].read, b[ContextMask].read)


def test_a_pipeline_is_written_only_where_diffusers_reads_texts_alike(tmp_path: Path) -> None:
    _, model = saved(tmp_path)
    unet, encoder, tokenizer = model.unet, model.conditioner, model.tokenizer
    sized = PixArt(**unet.config | {"sizes": True})
    capitals = load_checkpoint(tmp_path / "saved").tokenizer
    rules = json.loads(capitals.backend.to_str())
    rules["normalizer"] = None
    capitals = type(capitals).from_dict(capitals.to_dict() | {"backend": json.dumps(rules)})
    assert pipeline_of(unet, encoder, tokenizer) == "PixArtSigmaPipeline"
    assert pipeline_of(unet, encoder, tokenizer.of_length(120)) == "PixArtAlphaPipeline"
    assert pipeline_of(sized, encoder, tokenizer.of_length(120)) == "PixArtAlphaPipeline"
    for parts in (
        (sized, encoder, tokenizer),
        (unet, encoder, tokenizer.of_length(77)),
        (unet, encoder, capitals),
        (unet, without_padding(encoder, None), tokenizer),
        (unet, encoder, None),
    ):
        assert pipeline_of(*parts) is None
    with pytest.raises(ValueError, match="in the style plain alone"):
        encode_prompts(encoder, tokenizer, PROMPTS, "a1111", torch.device("cpu"))


# --- single files ---------------------------------------------------------------------------------------------------


def large(**options: Any) -> PixArt:
    """With heads as wide as the published ones have, which the weights do not show."""
    config = {"in_channels": 4, "hidden_size": 144, "depth": 2, "num_heads": 2, "context_dim": CONTEXT} | options
    return randomise(PixArt(**config), 1)


def in_one_file(model: PixArt, form: str = "the papers'", tokens: int = 300) -> dict[str, Tensor]:
    """As the repositories' files have it, with what they hold besides; or under diffusers' names."""
    if "diffusers'" in form:
        prefix = "transformer." if form == "a pipeline of diffusers'" else ""
        return {prefix + key: value for key, value in pixart_to_diffusers(model.state_dict(), model.config).items()}
    side = model.config["sample_size"] // 2
    positions = grid_embedding(side, side, model.positions, 144, torch.device("cpu"))[None].half()
    state = model.state_dict() | {"y_embedder.y_embedding": torch.zeros(tokens, CONTEXT), "pos_embed": positions}
    prefix = "model.diffusion_model." if form == "ComfyUI's" else ""
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    ("options", "tokens", "name"),
    [
        ({"sample_size": 32}, 120, "a PixArt-α transformer"),
        (
            {"sample_size": 128, "interpolation_scale": 2.0, "sizes": True},
            120,
            "a PixArt-α transformer that is told sizes (1024 pixels)",
        ),
        ({"sample_size": 32, "interpolation_scale": 0.5}, 300, "a PixArt-Σ transformer"),
    ],
)
@pytest.mark.parametrize("form", ["the papers'", "ComfyUI's", "diffusers'", "a pipeline of diffusers'"])
def test_a_single_file_is_read_by_its_names_and_shapes(
    form: str, options: dict[str, Any], tokens: int, name: str, tmp_path: Path
) -> None:
    model = large(**options)
    path = tmp_path / ("p.pth" if form == "the papers'" else "p.safetensors")
    state = in_one_file(model, form, tokens)
    torch.save({"state_dict": state}, path) if path.suffix == ".pth" else write_weights(state, path)
    found = load_checkpoint(path)
    assert isinstance(found.unet, PixArt)
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in found.unet.state_dict().items())
    if "diffusers'" in form and not options.get("sizes"):
        assert "512 pixels" in found.untold[0]
    else:
        assert found.untold == ()
        assert found.unet.config == model.config
    assert stored(found.schedule).levels(found.schedule, 4) == stored(published()).levels(published(), 4)
    known = identify(path)
    assert known is not None
    assert known.use == "checkpoint"
    assert known.name == ("a PixArt transformer of diffusers" if "diffusers'" in form else name)


def published() -> NoiseSchedule:
    return schedule_from_diffusers(dict(scheduler().config), "DPMSolverMultistepScheduler")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("x_embedder.proj.weight"), "incomplete PixArt"),
        (lambda state: state.pop("blocks.1.mlp.fc1.weight"), "fc1.weight is missing"),
        (lambda state: state.update({"blocks.0.attn.sr.weight": torch.ones(2)}), "compressed keys and values"),
        (lambda state: state.update({"pos_embed": torch.zeros(1, 256, 144)}), "none of the scales"),
    ],
)
def test_what_is_incomplete_or_unknown_is_said(change: Any, message: str, tmp_path: Path) -> None:
    state = in_one_file(large(sample_size=32))
    change(state)
    write_weights(state, tmp_path / "p.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "p.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("transformer_blocks.1.attn2.to_v.weight"), r"incomplete PixArt .*attn2\.to_v\.weight"),
        (lambda state: state.update(other=torch.ones(2)), "no PixArt that is known here.*unknown: other"),
    ],
)
def test_what_is_damaged_under_diffusers_names_is_said_of_it(change: Any, message: str, tmp_path: Path) -> None:
    state = in_one_file(large(sample_size=32), "diffusers'")
    change(state)
    write_weights(state, tmp_path / "p.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "p.safetensors")


def test_heads_that_do_not_show_are_said(tmp_path: Path) -> None:
    small = PixArt(4, 24, 1, 3, CONTEXT)
    write_weights(small.state_dict(), tmp_path / "p.safetensors")
    with pytest.raises(CheckpointError, match="the number of heads does not show"):
        load_checkpoint(tmp_path / "p.safetensors")
