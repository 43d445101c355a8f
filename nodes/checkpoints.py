"""Models that people have: CompVis and Stable Diffusion files, diffusers folders, LoRA, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple, cast

import torch
from pydantic import Field

from core.checkpoints.compvis import save_compvis
from core.checkpoints.diffusers_folder import save_diffusers
from core.checkpoints.latent_diffusion import Conditioner, LatentDiffusion, rounded
from core.checkpoints.load import load_checkpoint as load_any
from core.checkpoints.load import save_checkpoint as save_whole
from core.checkpoints.lora import merge_lora, read_lora
from core.conditioning.classes import ClassEmbedder
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.spatial import SpatialRescaler
from core.conditioning.tokenizer import TextTokenizer
from core.models.autoencoder import KLAutoencoder, VQAutoencoder
from graph_runner.context import Outputs, Workspace
from graph_runner.contract import File, FileOrFolder, Folder, node
from nodes.wires import Autoencoder, Embedder, Name, Rescaler, Schedule, TextEncoder, Tokenizer, UNet


class Checkpoint(NamedTuple):
    """The parts of a checkpoint; reading one that it lacks is an error."""

    unet: UNet | None
    autoencoder: Autoencoder | None
    text_encoder: TextEncoder | None
    tokenizer: Tokenizer | None
    class_embedder: Embedder | None
    rescaler: Rescaler | None
    schedule: Schedule | None


@node(category="checkpoints")
def load_checkpoint(
    path: FileOrFolder,
    config: File | None = None,
    weights: Literal["ema", "raw"] = "ema",
    parametrisation: Literal["as stored", "eps", "v", "x0"] = "as stored",
    tokenizer: Folder | None = None,
    scale_factor: Annotated[float, Field(gt=0)] | None = None,
) -> Checkpoint:
    """Any checkpoint: CompVis and Stable Diffusion 1/2 files, diffusers folders, our own. Never executes code.

    The architecture is read from the weights where no configuration says it.

    path: a .ckpt or .safetensors file, or a folder.
    config: the file's yaml, where it is not beside it.
    weights: averaged weights where the file has them, or the raw ones.
    parametrisation: overrides the file's; Stable Diffusion 2 for 768 pixels needs v where it has no yaml.
    tokenizer: the folder of the text encoder's tokenizer, which a single file lacks; diffusers folders have one.
    scale_factor: overrides the file's; an autoencoder alone that is to serve Stable Diffusion needs 0.18215.
    """
    chosen = None if parametrisation == "as stored" else parametrisation
    model = load_any(path, config, weights, chosen, scale_factor)
    kind = model.conditioner
    text = None if isinstance(kind, ClassEmbedder | SpatialRescaler) else kind
    return Checkpoint(
        model.unet,
        model.autoencoder,
        text,
        TextTokenizer.load(tokenizer) if tokenizer else model.tokenizer,
        kind if isinstance(kind, ClassEmbedder) else None,
        kind if isinstance(kind, SpatialRescaler) else None,
        model.schedule,
    )


@node(category="checkpoints", effect=True)
def save_checkpoint(
    workspace: Workspace,
    outputs: Outputs,
    unet: UNet | None = None,
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

    ema_unet: the averaged UNet, kept beside the raw one as CompVis' files do; other forms hold one UNet.
    name: of the folder or file.
    form: a folder of ours, a folder that diffusers loads, or a single file with CompVis' names.
    precision: of the weights in the file; the half ones take half the space, and are float32 again once loaded.
    """
    folder = Path("models") / name
    if folder.is_absolute() or ".." in folder.parts:
        raise ValueError(f"the name {name!r} leaves the models folder; give a plain name")
    conditioners = [part for part in (text_encoder, class_embedder, rescaler) if part is not None]
    if len(conditioners) > 1:
        raise ValueError("a checkpoint holds one conditioner; wire one of them, and keep the others with save_models")
    model = LatentDiffusion(
        unet,
        cast(KLAutoencoder | VQAutoencoder | None, autoencoder),
        cast(Conditioner | None, conditioners[0] if conditioners else None),
        tokenizer,
        schedule,
    )
    if ema_unet is not None and form != "compvis":
        raise ValueError(
            f"the form {form!r} holds one UNet; wire the averaged one to unet, or choose the form 'compvis'"
        )
    if precision != "float32":
        dtype = getattr(torch, precision)
        model, ema_unet = model.in_precision(dtype), ema_unet and rounded(ema_unet, dtype)
    if form == "latent loom":
        save_whole(model, workspace / folder, {"workflow": outputs.workflow})
    elif form == "diffusers":
        save_diffusers(model, workspace / folder)
    else:
        save_compvis(model, (workspace / folder).with_suffix(".safetensors"), ema_unet)


@node(category="checkpoints")
def lora_unet(unet: UNet, path: File, strength: Annotated[float, Field(ge=-4, le=4)] = 1.0) -> UNet:
    """A UNet with a LoRA file merged in (kohya's or diffusers' naming).

    unet: the base model that the LoRA was made for.
    path: the file.
    strength: 1 as trained, 0 nothing, negative the opposite.
    """
    return merge_lora(unet, read_lora(path), strength)


@node(category="checkpoints")
def lora_text_encoder(
    text_encoder: TextEncoder, path: File, strength: Annotated[float, Field(ge=-4, le=4)] = 1.0
) -> TextEncoder:
    """A text encoder with a LoRA file merged in; unchanged where the file has nothing for it.

    text_encoder: CLIP.
    path: the file.
    strength: 1 as trained, 0 nothing, negative the opposite.
    """
    if not isinstance(text_encoder, CLIPTextEmbedder):
        raise ValueError(f"a LoRA file changes CLIP text encoders, not a {type(text_encoder).__name__}")
    return merge_lora(text_encoder, read_lora(path), strength)
