"""Control by a picture: ControlNets (Zhang et al. 2023) and T2I-Adapters (Mou et al. 2023) beside a UNet, and edges to show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field

from core.checkpoints.controlnet import config_to_diffusers, controlnet_files
from core.checkpoints.controlnet import load_controlnet as load
from core.checkpoints.controlnet import save_controlnet as save
from core.checkpoints.latent_diffusion import rounded
from core.checkpoints.t2i_adapter import load_t2i_adapter as load_adapter
from core.checkpoints.t2i_adapter import t2i_adapter_files
from core.conditioning import edges
from core.conditioning.conditioning import Conditioning as _Conditioning
from core.models.controlnet import ControlNet as _ControlNet
from core.models.controlnet import controlled
from core.models.t2i_adapter import adapted
from core.models.unet import UNet as UNetModel
from graph_runner.context import Models, Rng, Saving
from graph_runner.contract import Name, PathTo, node
from nodes.models import OURS, Kept, keep_as, model_file, read_as
from nodes.wires import Conditioning, ControlNet, Image, Latent, T2IAdapter, Timestep, UNet

Share = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=-10, le=10)]
Widths = Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(min_length=1, max_length=8)]
Form = Literal["diffusers", "original"]


class Told(NamedTuple):
    """Both sides of guidance with what the network adds; the negative one where one was wired."""

    condition: Conditioning
    negative: Conditioning | None


@node(category="control", words=("canny", "sobel", "outlines", "preprocessor"))
def edge_picture(images: Image, threshold: Annotated[float, Field(ge=0, le=2)] = 0.15) -> Image:
    """The edges of pictures, white on black: what a ControlNet for edges is shown (Sobel's operator).

    images: any pictures.
    threshold: of the change from one pixel to the next; from black to white it is 1.
    """
    return edges.edges(images, threshold)


@node(category="control", words=("train controlnet", "hint"))
def controlnet(
    rng: Rng,  # noqa: ARG001 - the engine seeds torch's generators, which initialisation draws from
    unet: UNet,
    hint_widths: Widths = [16, 32, 96, 256],  # noqa: B006
) -> ControlNet:
    """A ControlNet to train: a copy of a UNet's encoder with zero convolutions, which at first changes nothing (Zhang et al. 2023).

    unet: a trained one, which stays as it is.
    hint_widths: channels of the convolutions before the picture meets the latent; each after the first halves its size: four for an
        autoencoder of factor 8, three for 4.
    """
    return _ControlNet.beside(_whole(unet), hint_widths).eval().requires_grad_(False)


@node(category="control", words=("control net loader", "canny", "depth", "openpose", "scribble"))
def load_controlnet(
    path: Annotated[str, PathTo("file or folder", controlnet_files)],
    base: UNet | None = None,
    known: Models = OURS,
    dtype: Kept = "float32",
) -> ControlNet:
    """A ControlNet: diffusers' folder or file, the original's single file, or ours. Never executes code.

    path: a folder, or a .safetensors, .pth or .bin file.
    base: the UNet that it was made for, which a file of differences is added to, and which tells the attention heads of one whose
        widths are not published; others need none.
    dtype: what weights are kept in; see load_model.
    """
    model = load(path, None if base is None else _whole(base), read_as(dtype), known)
    keep_as(model, dtype)
    return model


def both_sides(
    add: Callable[[Conditioning | None, bool], Conditioning],
    condition: Conditioning | None,
    negative: Conditioning | None,
    share: float | None,
    start: float,
    end: float,
    guess: bool = False,
) -> Told:
    """Both sides, with what a network adds where start and end, shares of the steps, include this step.

    add: to a condition; True for the negative one.
    """
    if share is None and (start > 0 or end < 1):
        raise ValueError("start and end are shares of the steps: wire sample.share into share")
    if share is not None and not start <= share < end:
        return Told(condition or _Conditioning(), negative)
    return Told(add(condition, False), negative if negative is None or guess else add(negative, True))


def _controlled_dry(**given: Any) -> Told:
    """A dry run goes round once: with the network, which costs most."""
    return apply_controlnet(**given | {"share": None, "start": 0.0, "end": 1.0})


@node(
    category="control",
    dry=_controlled_dry,
    words=("controlnet", "control net", "canny", "depth", "openpose", "start_percent", "end_percent", "guess mode"),
)
def apply_controlnet(
    controlnet: ControlNet,
    z: Latent,
    t: Timestep,
    picture: Image,
    condition: Conditioning | None = None,
    negative: Conditioning | None = None,
    strength: Strength = 1.0,
    share: Share | None = None,
    start: Share = 0.0,
    end: Share = 1.0,
    guess: bool = False,
) -> Told:
    """Conditions and what a ControlNet adds to them, seeing a picture, at this step. For the inside of sample or train.

    Several at once: what one gives goes into the next one; what they add is summed.

    controlnet: made for the UNet that is told the conditions.
    z: noisy latents.
    t: their timestep.
    picture: edges, depths or whatever it was trained on, one for each sample or one for all, as large as the picture that is sampled.
    condition: what the UNet is told besides, for this network too.
    negative: the other side of guidance: the null condition, or the negative prompt.
    strength: 1 as trained, 0 nothing.
    share: of the steps that is done: sample's own. Only start and end need it.
    start: the share of the steps from which on it is at work.
    end: the share of the steps from which on it is not.
    guess: guess mode: only the condition is controlled, and the deeper in the UNet, the more, from a tenth on.
    """

    def add(told: Conditioning | None, _: bool) -> Conditioning:
        return controlled(controlnet, z, t, picture, told, strength, guess)

    return both_sides(add, condition, negative, share, start, end, guess)


@node(category="control", words=("control net loader", "adapter loader", "canny", "depth", "openpose", "sketch"))
def load_t2i_adapter(
    path: Annotated[str, PathTo("file or folder", t2i_adapter_files)], known: Models = OURS, dtype: Kept = "float32"
) -> T2IAdapter:
    """A T2I-Adapter, full or light: diffusers' folder or file, the original's file, or ours. Never executes code.

    path: a folder, or a .safetensors, .pth or .bin file.
    dtype: what weights are kept in; see load_model.
    """
    model = load_adapter(path, read_as(dtype), known)
    keep_as(model, dtype)
    return model


def _adapted_dry(**given: Any) -> Told:
    """As for ControlNets."""
    return apply_t2i_adapter(**given | {"share": None, "start": 0.0, "end": 1.0})


@node(category="control", dry=_adapted_dry, words=("controlnet", "t2i adapter", "start_percent", "end_percent"))
def apply_t2i_adapter(
    adapter: T2IAdapter,
    picture: Image,
    condition: Conditioning | None = None,
    negative: Conditioning | None = None,
    strength: Strength = 1.0,
    share: Share | None = None,
    start: Share = 0.0,
    end: Share = 1.0,
) -> Told:
    """Conditions and what a T2I-Adapter adds to them, seeing a picture (Mou et al. 2023).

    It depends on no step: outside of sample it is computed once.

    Several at once: what one gives goes into the next one; what they add is summed.

    adapter: made for the UNet that is told the conditions.
    picture: edges, a sketch or whatever it was trained on, one for each sample or one for all, as large as the picture that is sampled.
    condition: what the UNet is told besides.
    negative: the other side of guidance: the null condition, or the negative prompt.
    strength: 1 as trained, 0 nothing.
    share: of the steps that is done: sample's own, inside of it. Only start and end need it.
    start: the share of the steps from which on it is at work.
    end: the share of the steps from which on it is not.
    """

    def add(told: Conditioning | None, _: bool) -> Conditioning:
        return adapted(adapter, picture, told, strength)

    return both_sides(add, condition, negative, share, start, end)


def _could_be_saved(controlnet: ControlNet, form: Form, **_: Any) -> None:
    """What `save_controlnet` refuses, found out before anything is trained."""
    if form == "diffusers":
        config_to_diffusers(controlnet.config)


def _saved(name: str, form: str) -> str:
    return f"models/{name}" if form == "diffusers" else model_file(name)


@node(
    category="control",
    effect=True,
    saves=lambda given: [_saved(given["name"], given["form"])],
    dry=_could_be_saved,
    words=("export",),
)
def save_controlnet(
    controlnet: ControlNet,
    saving: Saving,
    name: Name = "controlnet",
    form: Form = "diffusers",
    precision: Literal["float32", "float16", "bfloat16"] = "float32",
) -> None:
    """Save a ControlNet below the workspace's models folder, for diffusers or for programs that read the original's files.

    name: of the folder or file.
    form: a folder that diffusers loads, or a single file with the original's names.
    precision: of the weights in the file.
    """
    save(rounded(controlnet, getattr(torch, precision)), saving(_saved(name, form)), form)


def _whole(unet: UNet) -> UNetModel:
    if not isinstance(unet, UNetModel):
        raise ValueError(f"a ControlNet stands beside a UNet, not a {type(unet).__name__}")
    return unet
