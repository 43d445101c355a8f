"""Models that people have: CompVis and Stable Diffusion files, diffusers folders, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import nn

from core.checkpoints.compvis import save_compvis
from core.checkpoints.diffusers_folder import refuse_for_diffusers, save_diffusers
from core.checkpoints.latent_diffusion import LatentDiffusion, Predictor, rounded
from core.checkpoints.load import checkpoint_files
from core.checkpoints.load import load_checkpoint as load_any
from core.checkpoints.load import save_checkpoint as save_whole
from core.conditioning.classes import ClassEmbedder
from core.conditioning.spatial import SpatialRescaler
from core.conditioning.t5 import T5TextEmbedder as T5TextEmbedder  # as the one below
from core.conditioning.tokenizer import TextTokenizer
from core.diffusion.schedule import with_betas
from core.models.graft import refuse_grafted
from core.models.registry import name_of
from core.models.tiny_autoencoder import TinyAutoencoder as TinyAutoencoder  # no node makes one, and files may name it
from core.models.unet import UNet as UNetModel
from graph_runner.context import Models, Outputs, Saving, Tell
from graph_runner.contract import File, Name, PathTo, node
from nodes.models import OURS, Kept, keep_as, read_as
from nodes.text import TokenizerFolder
from nodes.wires import Autoencoder, Denoiser, Embedder, Rescaler, Schedule, TextEncoder, Tokenizer, UNet


class Checkpoint(NamedTuple):
    """The parts of a checkpoint; reading one that it lacks is an error. denoiser: the UNet, or what stands in its place."""

    unet: UNet | None
    autoencoder: Autoencoder | None
    text_encoder: TextEncoder | None
    tokenizer: Tokenizer | None
    class_embedder: Embedder | None
    rescaler: Rescaler | None
    schedule: Schedule | None
    denoiser: Denoiser | None


@node(
    category="checkpoints",
    words=("checkpoint loader", "ckpt", "safetensors", "vae loader", "clip loader", "stable diffusion"),
)
def load_checkpoint(
    path: Annotated[str, PathTo("file or folder", checkpoint_files)],
    tell: Tell,
    known: Models = OURS,
    config: File | None = None,
    weights: Literal["ema", "raw"] = "ema",
    parametrisation: Literal["as stored", "eps", "v", "x0"] = "as stored",
    tokenizer: TokenizerFolder | None = None,
    scale_factor: Annotated[float, Field(gt=0)] | None = None,
    dtype: Kept = "float32",
) -> Checkpoint:
    """Any checkpoint: CompVis, Stable Diffusion 1, 2, XL and 3 and PixArt files, diffusers folders, our own. Never executes code.

    The architecture is read from the weights where no configuration says it.

    path: a .ckpt or .safetensors file, or a folder.
    config: the file's yaml, where it is not beside it.
    weights: averaged weights where the file has them, or the raw ones.
    parametrisation: the prediction type; overrides the file's; Stable Diffusion 2 for 768 pixels needs v where it has no yaml.
    tokenizer: the folder of the text encoder's tokenizer, which a single file lacks; diffusers folders have one.
    scale_factor: overrides the file's; an autoencoder alone that is to serve Stable Diffusion needs 0.18215.
    dtype: what weights are kept in; a half file "as in the file" takes half the memory. Norms and the like are float32.
    """
    chosen = None if parametrisation == "as stored" else parametrisation
    model = load_any(path, config, weights, chosen, scale_factor, read_as(dtype), known)
    for sentence in model.untold:
        tell(sentence)
    for part in (model.unet, model.autoencoder, model.conditioner):
        if part is not None:
            keep_as(part, dtype)
    kind = model.conditioner
    text = None if isinstance(kind, ClassEmbedder | SpatialRescaler) else kind
    return Checkpoint(
        model.unet if isinstance(model.unet, UNetModel) else None,
        model.autoencoder,
        text,
        TextTokenizer.load(tokenizer) if tokenizer else model.tokenizer,
        kind if isinstance(kind, ClassEmbedder) else None,
        kind if isinstance(kind, SpatialRescaler) else None,
        model.schedule,
        model.unet,
    )


def _saved(name: str, form: str) -> list[str]:
    """Where `save_checkpoint` saves: a folder, or for CompVis' programs a file and its yaml, the name with all its dots."""
    stem = name.removesuffix(".safetensors")
    return [f"models/{stem}.safetensors", f"models/{stem}.yaml"] if form == "compvis" else [f"models/{name}"]


def _could_be_saved(form: str, ema_unet: UNet | None, known: Models, **parts: Any) -> None:
    """What `save_checkpoint` refuses, found out before anything is trained: of the models only the configurations count."""
    model = _whole(form, ema_unet, parts)
    if form == "latent loom":
        for part in (model.unet, model.autoencoder, model.conditioner):
            if part is not None:
                name_of(part, known)
    if form == "diffusers":
        refuse_for_diffusers(model)


def _whole(form: str, ema_unet: UNet | None, parts: Mapping[str, Any]) -> LatentDiffusion:
    """The parts as one model, where a file of this form can hold them. Raises ValueError where it cannot."""
    for part in (*parts.values(), ema_unet):
        if isinstance(part, nn.Module):
            refuse_grafted(part)
    conditioners = [parts[each] for each in ("text_encoder", "class_embedder", "rescaler") if parts[each] is not None]
    if len(conditioners) > 1:
        raise ValueError("a checkpoint holds one conditioner; wire one of them, and keep the others with save_models")
    if ema_unet is not None and form != "compvis":
        raise ValueError(
            f"the form {form!r} holds one UNet; wire the averaged one to unet, or choose the form 'compvis'"
        )
    if parts["unet"] is None and parts["autoencoder"] is None and form == "compvis":
        raise ValueError("a CompVis file holds a UNet or an autoencoder; wire one of them")
    if form == "diffusers" and not isinstance(parts["unet"], Predictor | None):
        raise ValueError(f"diffusers has no {type(parts['unet']).__name__}; choose the form 'latent loom'")
    for unet in (parts["unet"], ema_unet):
        if form == "compvis" and unet is not None and not isinstance(unet, UNetModel):
            raise ValueError(f"a CompVis file holds a UNet, and this is a {type(unet).__name__}; choose another form")
    if parts["schedule"] is not None and form == "compvis":
        with_betas(parts["schedule"], f"the form {form!r}")
    return LatentDiffusion(
        parts["unet"],
        parts["autoencoder"],
        conditioners[0] if conditioners else None,
        parts["tokenizer"],
        parts["schedule"],
    )


@node(
    category="checkpoints",
    effect=True,
    saves=lambda given: _saved(given["name"], given["form"]),
    dry=_could_be_saved,
    words=("export", "safetensors", "ckpt"),
)
def save_checkpoint(
    saving: Saving,
    outputs: Outputs,
    known: Models = OURS,
    unet: Denoiser | None = None,
    autoencoder: Autoencoder | None = None,
    text_encoder: TextEncoder | None = None,
    tokenizer: Tokenizer | None = None,
    class_embedder: Embedder | None = None,
    rescaler: Rescaler | None = None,
    schedule: Schedule | None = None,
    ema_unet: UNet | None = None,
    name: Name = "model",
    form: Literal["latent loom", "diffusers", "compvis"] = "latent loom",
    precision: Literal["float32", "float16", "bfloat16"] = "float32",
) -> None:
    """Save a whole model below the workspace's models folder, for us, for diffusers or for CompVis' programs.

    Our own form keeps the workflow inside.

    unet: the denoiser.
    ema_unet: the averaged UNet, kept beside the raw one as CompVis' files do; other forms hold one UNet.
    name: of the folder or file.
    form: a folder of ours, a folder that diffusers loads, or a single file with CompVis' names.
    precision: of the weights in the file; the half ones take half the space, and are float32 again once loaded.
    """
    parts: dict[str, Any] = {"text_encoder": text_encoder, "class_embedder": class_embedder, "rescaler": rescaler}
    parts |= {"unet": unet, "autoencoder": autoencoder, "tokenizer": tokenizer, "schedule": schedule}
    model = _whole(form, ema_unet, parts)
    dtype = getattr(torch, precision)
    model, ema_unet = model.in_precision(dtype), ema_unet and rounded(ema_unet, dtype)
    path, *_ = [saving(path) for path in _saved(name, form)]
    if form == "latent loom":
        save_whole(model, path, {"workflow": outputs.workflow}, known)
    elif form == "diffusers":
        save_diffusers(model, path)
    else:
        save_compvis(model, path, ema_unet)
