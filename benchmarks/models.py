"""Which families of models are read in which forms of file, tried: prints the tables and writes docs/models.md.

    python -m benchmarks.models

A small random pipeline of each family is made by diffusers, saved in each form, loaded from there, and its denoiser's answer is
compared with that of diffusers' own.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.compvis import save_compvis
from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import identify
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.load import load_checkpoint, save_checkpoint
from core.checkpoints.weights import write_weights
from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import ClassNumber, Concat, Context, Part, Vector
from core.conditioning.sizes import size_vector
from core.models.denoiser import denoise
from core.models.dit import DiT
from core.models.pixart import PixArt
from core.models.unet import UNet

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "models.md"
sys.path.insert(0, str(ROOT / "tests/core/checkpoints"))
FORMS = ("diffusers' folder", "its denoiser's folder", "single file", "our folder")
ALLOWED = 1e-4
"""Of one number of a prediction, which is of order 1."""


def families() -> dict[str, Callable[[Path], Any]]:
    """By name, what makes a random pipeline of each with a folder to work in."""
    import test_diffusers_dit
    from tiny_kin import kin
    from tiny_pipelines import PIPELINES
    from tiny_pixart import pixart_pipeline
    from tiny_sd3 import sd3_pipeline
    from tiny_xl import xl_pipeline

    return {
        **PIPELINES,
        "InstructPix2Pix": lambda folder: kin("pix2pix", folder),
        "Stable Diffusion 2 depth": lambda folder: kin("depth", folder),
        "Stable Diffusion x4 upscaler": lambda folder: kin("upscaler", folder),
        "Stable Diffusion unCLIP": lambda folder: kin("unclip", folder),
        "Stable Diffusion XL": lambda folder: xl_pipeline(folder),
        "Stable Diffusion XL refiner": lambda folder: xl_pipeline(folder, "refiner"),
        "Stable Diffusion XL inpainting": lambda folder: xl_pipeline(folder, "inpainting"),
        "Stable Diffusion 3": lambda folder: with_published_heads(
            sd3_pipeline(folder, "3"), 1, 64, caption_projection_dim=64
        ),
        "Stable Diffusion 3.5": lambda folder: sd3_pipeline(folder, "3.5"),
        "DiT": lambda _: with_published_heads(test_diffusers_dit.pipeline(), 6, 64),
        "PixArt-α": lambda _: with_published_heads(pixart_pipeline("alpha 1024"), 2, 72, cross_attention_dim=144),
        "PixArt-Σ": lambda _: with_published_heads(pixart_pipeline("sigma"), 2, 72, cross_attention_dim=144),
    }


def with_published_heads(pipeline: Any, heads: int, channels: int, **others: int) -> Any:
    """A pipeline whose transformer has heads of so many channels as the published ones: a single file does not show them."""
    from tiny_ldm import randomise

    made = pipeline.transformer
    sizes = {"num_attention_heads": heads, "attention_head_dim": channels} | others
    transformer = randomise(type(made).from_config(dict(made.config) | sizes), 1)
    if type(made).__name__ == "DiTTransformer2DModel":
        first, *rest = transformer.transformer_blocks  # each has what embeds time and class, all the same
        for block in rest:
            block.norm1.emb.load_state_dict(first.norm1.emb.state_dict())
    pipeline.register_modules(transformer=transformer)
    return pipeline


def write_form(form: str, folder: Path, part: str, into: Path) -> Path:
    """The pipeline of a folder in another form. part: the name of its denoiser's folder."""
    if form == "diffusers' folder":
        return folder
    if form == "its denoiser's folder":
        return folder / part
    model = load_checkpoint(folder)
    if form == "our folder":
        save_checkpoint(model, into / "ours")
        return into / "ours"
    path = into / "single.safetensors"
    if isinstance(model.unet, UNet):
        save_compvis(model, path)
    else:
        write_weights(in_one_file(model), path)
    return path


def in_one_file(model: LatentDiffusion) -> dict[str, Tensor]:
    """A transformer's single file, as its own program has it."""
    import test_dit_file
    import test_pixart_text
    import test_sd3_text

    if isinstance(model.unet, DiT):
        return test_dit_file.in_one_file(model.unet)
    if isinstance(model.unet, PixArt):
        return test_pixart_text.in_one_file(model.unet)
    return test_sd3_text.in_one_file(model)


def as_in_the_paper(theirs: Any) -> Any:
    """A DiT of diffusers with the two numbers that the paper's code, and so its single files, have otherwise; others as they are."""
    if type(theirs).__name__ == "DiTTransformer2DModel":
        theirs = deepcopy(theirs)
        for block in theirs.transformer_blocks:
            block.norm1.emb.time_proj.downscale_freq_shift = 0
            block.norm3.eps = 1e-6
    return theirs


@torch.no_grad()
def difference(theirs: Any, model: LatentDiffusion) -> float:
    """The largest difference of one number between both denoisers' predictions, under a random condition of all that it takes."""
    ours = model.unet
    if ours is None:
        raise CheckpointError("no denoiser was found in it")
    generator = torch.Generator().manual_seed(0)
    channels, t = int(ours.takes.channels or 4), torch.tensor([10, 700])
    z = torch.randn(2, channels, 8, 8, generator=generator)
    condition, told = random_condition(theirs, ours, generator)
    beside = condition.get(Concat)
    seen = z if beside is None else torch.cat([z, *beside.tensors()], dim=1)
    wanted = theirs(seen, timestep=t, **told).sample[:, :channels]
    return float((denoise(ours, z, t, condition) - wanted).abs().max())


def random_condition(theirs: Any, ours: Any, generator: torch.Generator) -> tuple[Conditioning, dict[str, Any]]:
    """A condition for two samples of all that a model takes, and the same as arguments of diffusers' forward."""
    from random_pixart import caption, condition_of

    if isinstance(ours, PixArt):
        told = caption(theirs.config, generator)
        return condition_of(told, sizes=ours.config["sizes"]), told
    told = {}
    parts: list[Part] = []

    def some(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    for kind in ours.takes.needs:
        if kind is Context:
            parts.append(Context(some(2, 5, ours.context_dim or 0)))
            told["encoder_hidden_states"] = parts[-1].tensors()[0]
        elif kind is Concat:
            parts.append(Concat(some(2, theirs.config.in_channels - ours.takes.channels, 8, 8)))
        elif kind is ClassNumber:
            parts.append(ClassNumber(torch.tensor([1, 3])))
            told["class_labels"] = parts[-1].tensors()[0]
        elif kind is Vector and theirs.config.get("addition_embed_type") == "text_time":
            whole, dim = theirs.config.projection_class_embeddings_input_dim, theirs.config.addition_time_embed_dim
            ids = torch.tensor([[64.0, 48, 0, 8, *([6] if whole % 2 or (whole - 20) // dim == 5 else [64, 48])]] * 2)
            text = some(2, whole - dim * ids.shape[1])
            parts.append(Vector(torch.cat([text, size_vector(ids[:, :2], ids[:, 2:4], ids[:, 4:], dim)], dim=1)))
            told["added_cond_kwargs"] = {"text_embeds": text, "time_ids": ids}
        elif kind is Vector:
            pooled = theirs.config.get("pooled_projection_dim")
            parts.append(Vector(some(2, pooled or theirs.config.projection_class_embeddings_input_dim)))
            told["pooled_projections" if pooled else "class_labels"] = parts[-1].tensors()[0]
    return Conditioning(parts=parts), told


def tried(name: str, make: Callable[[Path], Any]) -> list[str]:
    """A row of the table."""
    cells = []
    with tempfile.TemporaryDirectory() as work:
        folder, into = Path(work) / "saved", Path(work) / "forms"
        into.mkdir()
        pipeline = make(Path(work))
        pipeline.save_pretrained(folder)
        part = "unet" if (folder / "unet").is_dir() else "transformer"
        for form in FORMS:
            try:
                theirs = getattr(pipeline, part)
                theirs = as_in_the_paper(theirs) if form == "single file" else theirs
                found = difference(theirs, load_checkpoint(write_form(form, folder, part, into)))
                cells.append(f"equal ({found:.0e})" if found <= ALLOWED else f"**wrong** ({found:.0e})")
            except (CheckpointError, ValueError) as error:
                cells.append(f"refused: {str(error).replace(work, '…')}")
        known = identify(folder)
    return [name, *cells, "" if known is None else known.advice]


def refusals() -> list[list[str]]:
    """Files of other kinds: what they are called, and what is said of them."""
    from foreign_files import write_foreign_files

    rows = []
    with tempfile.TemporaryDirectory() as work:
        for path in write_foreign_files(Path(work)):
            try:
                load_checkpoint(path)
            except CheckpointError as error:
                rows.append([str(error).replace(f"{work}/", "").replace("|", "\\|")])
            else:
                rows.append([f"**{path.name} was loaded**"])
    return rows


def table(heads: tuple[str, ...], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = [heads, ("-",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(found: Mapping[str, list[list[str]]]) -> str:
    """The whole page of both tables' rows."""
    return f"""# Models

Generated by `python -m benchmarks.models`; do not edit.

Which families are read in which forms. Of each diffusers makes a small pipeline of random weights; saved in a form and loaded from
there, its denoiser predicts as diffusers' own, in float32, under a random condition of all that it takes: *equal*, and the largest
difference of one number, predictions being of order 1. Single files are written by us in the names of the family's own program; what
shapes do not tell of so small a model stands in a yaml beside them. A DiT's is held against diffusers' with the two numbers of the
paper's code: how frequencies are shifted, and the ε of a norm. No published weights were seen.

Whole pictures, text encoders, autoencoders and solvers are held against diffusers on [another page](parity.md), options and schedulers
at random on [a third](configurations.md); the kinds of LoRA stand [with the files](model-files.md), the forms of prompts
[with the prompts](prompts.md).

{table(("family", *FORMS, "what to do with it"), found["families"])}

## What is refused

What is said of files that are no checkpoint, or none that can be used here:

{table(("sentence",), found["refused"])}
"""


def main() -> None:
    """Try all and write the page."""
    warnings.simplefilter("ignore")
    found = {"families": [tried(name, make) for name, make in families().items()], "refused": refusals()}
    text = page(found)
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
