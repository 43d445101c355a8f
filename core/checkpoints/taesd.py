"""TAESD's weights in the forms that they are published in: diffusers' folder, one file, or a file for each half."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_scale import is_per_channel, scale_buffers
from core.checkpoints.model_io import build
from core.checkpoints.weights import read_weights
from core.models.tiny_autoencoder import TinyAutoencoder

State = dict[str, Tensor]

ONLY = {"act_fn": "relu", "upsample_fn": "nearest", "upsampling_scaling_factor": 2}
"""Options of AutoencoderTiny that ours has in one form."""
BLOCK = re.compile(r"(encoder|decoder)\.(\d+)\.conv\.\d\.(?:weight|bias)")
LAYER = re.compile(r"(encoder|decoder)\.(\d+)\.(?:weight|bias)")
MOST_BYTES = 64 * 2**20
"""The published files have 10 MB; larger ones are not read to see."""
HALVES = ("encoder", "decoder")


def in_taesd_names(state: Mapping[str, Tensor]) -> State | None:
    """The tensors under TAESD's names; None where they are none of a whole one.

    Known are ComfyUI's `taesd_encoder.`, and diffusers' `encoder.layers.`, whose decoder has no layer for the squashing.
    """
    renamed: State = {}
    for key, value in state.items():
        key = key.removeprefix("taesd_")
        if match := re.fullmatch(r"(encoder|decoder)\.layers\.(\d{1,4})\.(.+)", key):
            key = f"{match[1]}.{int(match[2]) + (match[1] == 'decoder')}.{match[3]}"
        renamed[key] = value
    whole = {
        "encoder.0.weight",
        "decoder.1.weight",
        "encoder.1.conv.0.weight",
        "decoder.3.conv.0.weight",
    } <= renamed.keys()
    return renamed if whole else None


def read_taesd(path: Path) -> State | None:
    """The weights of a file under TAESD's names: of the whole, or of one half and of the other that lies beside it, as
    `taesd_decoder` beside `taesd_encoder`.

    None for other files. Raises CheckpointError where the other half is not there.
    """
    if path.stat().st_size > MOST_BYTES:
        return None
    state = read_weights(path)
    if (whole := in_taesd_names(state)) is not None:
        return whole
    if not state.keys() >= {"1.conv.0.weight", "0.weight"} and not state.keys() >= {"1.weight", "3.conv.0.weight"}:
        return None
    half = "encoder" if "0.weight" in state else "decoder"
    other = HALVES[1 - HALVES.index(half)]
    beside = path.with_name(path.name.replace(half, other))
    if half not in path.name or not beside.is_file():
        raise CheckpointError(
            f"{path} is the {half} of a tiny autoencoder (TAESD); its {other} should lie beside it, called like it with "
            f"'{other}' for '{half}'."
        )
    halves = {half: state, other: read_weights(beside)}
    return in_taesd_names({f"{side}.{key}": value for side, each in halves.items() for key, value in each.items()})


def halves_of(path: Path) -> dict[str, Path]:
    """The other half beside a file that is called like one."""
    for half, other in (HALVES, HALVES[::-1]):
        beside = path.with_name(path.name.replace(half, other))
        if half in path.name and beside != path and beside.is_file():
            return {other: beside}
    return {}


def taesd(
    state: State, source: Path, dtype: torch.dtype | None, theirs: Mapping[str, Any] | None = None
) -> TinyAutoencoder:
    """The model of weights under TAESD's names, whose sizes they tell. theirs: diffusers' configuration, for the scale.

    Raises CheckpointError or ValueError for weights of another shape, and for options that ours has not.
    """
    theirs = theirs or {}
    for name, wanted in ONLY.items():
        if theirs.get(name, wanted) != wanted:
            raise ValueError(f"the option {name} = {theirs[name]} is not supported, only {wanted}")
    config: dict[str, Any] = {
        "in_channels": state["encoder.0.weight"].shape[1],
        "latent_channels": state["decoder.1.weight"].shape[1],
        "channels": state["decoder.1.weight"].shape[0],
        "encoder_blocks": _blocks(state, "encoder"),
        "decoder_blocks": _blocks(state, "decoder"),
        "scale_factor": float(theirs.get("scaling_factor", 1.0)),
        "per_channel_scale": is_per_channel(theirs),
    }
    config["out_channels"] = state[f"decoder.{_layers(state, 'decoder')[-1]}.weight"].shape[0]
    scale = scale_buffers(theirs, config["latent_channels"], config["scale_factor"])
    return build(TinyAutoencoder, config, state | scale, source, dtype)


def _layers(state: State, side: str) -> list[int]:
    """The places of the convolutions that stand alone."""
    return sorted({int(match[2]) for key in state if (match := LAYER.fullmatch(key)) and match[1] == side})


def _blocks(state: State, side: str) -> list[int]:
    """How many blocks there are between one of them and the next."""
    places = {int(match[2]) for key in state if (match := BLOCK.fullmatch(key)) and match[1] == side}
    layers = _layers(state, side)
    return [sum(one < place < next_one for place in places) for one, next_one in pairwise(layers)]
