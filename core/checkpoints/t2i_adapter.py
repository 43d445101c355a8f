"""T2I-Adapters in the forms that people have: diffusers' folder or file, the original's file, and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.diffusers_folder import ENDINGS, STEMS, weights_in
from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import refusal
from core.checkpoints.model_io import HEADER, build, load_model, model_files
from core.checkpoints.weights import State, naming, read_json, read_metadata, read_weights, weight_files
from core.models.registry import MODELS
from core.models.t2i_adapter import T2IAdapter

KIND = "T2IAdapter"
SIZES = {"full_adapter": "full", "full_adapter_xl": "full_xl", "light_adapter": "light"}
"""diffusers' names of the adapters, and ours."""
READ = {"in_channels", "channels", "num_res_blocks", "downscale_factor", "adapter_type"}


def load_t2i_adapter(
    path: str | Path, dtype: torch.dtype | None = torch.float32, known: Mapping[str, type] = MODELS
) -> T2IAdapter:
    """A T2I-Adapter from a file or folder in any of the forms; what has no configuration tells its sizes by its weights.

    dtype: what floating-point weights are converted to; None keeps each. known: the classes that our own files may name.
    Raises CheckpointError naming the file and the remedy.
    """
    try:
        with naming(path):
            return _load(Path(path), dtype, known)
    except CheckpointError as error:
        raise refusal(path, error, "adapter") from error


def t2i_adapter_files(path: str | Path) -> dict[str, Path]:
    """The files that `load_t2i_adapter` reads, by their names at `path`; the file itself has none."""
    path = Path(path)
    described = _description(path)
    if path.is_dir() and described is not None and HEADER in read_json(described):
        return model_files(path)
    weights = weights_in(path) if path.is_dir() else path
    found = {} if weights is None else weight_files(weights)
    files = {name or weights.name: file for name, file in found.items()} if path.is_dir() and weights else found
    return files | ({} if described is None else {described.name: described})


def _description(path: Path) -> Path | None:
    """The configuration of a folder, or beside one of its files of weights; None where there is none."""
    if path.is_dir():
        return path / "config.json" if (path / "config.json").is_file() else None
    beside = path.with_name("config.json")
    of_a_folder = path.name.partition(".")[0] in STEMS and path.suffix in ENDINGS
    return beside if of_a_folder and beside.is_file() else None


def _load(path: Path, dtype: torch.dtype | None, known: Mapping[str, type]) -> T2IAdapter:
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; check the path, or download it.")
    described = _description(path)
    theirs = {} if described is None else read_json(described)
    if HEADER in theirs or (path.is_file() and HEADER in read_metadata(path)):
        model = load_model(path, dtype, known).model
        if not isinstance(model, T2IAdapter):
            raise CheckpointError(f"{path} holds a {type(model).__name__}, not a T2I-Adapter; load it by load_model.")
        return model
    if described is not None and theirs.get("_class_name") != KIND:
        told = str(theirs.get("_class_name") or "model without a class")[:60]
        raise CheckpointError(f"{described} describes a {told}, not a {KIND}.")
    weights = weights_in(path) if path.is_dir() else path
    if weights is None:
        raise CheckpointError(f"{path} is no T2I-Adapter's folder: it has no weights; give the file itself.")
    state = _our_names(read_weights(weights))
    if "body.0.resnets.0.block1.weight" not in state:
        raise CheckpointError(f"{path} holds no T2I-Adapter; give one, or load this as what it is.")
    try:
        config = _config(theirs, described) if described is not None else _shape(state)
    except (ArithmeticError, LookupError) as error:
        raise CheckpointError(f"{path} holds no T2I-Adapter of a known shape ({error}).") from error
    return build(T2IAdapter, config, state, path, dtype)


def _config(theirs: Mapping[str, Any], source: Path) -> dict[str, Any]:
    for name, value in theirs.items():
        if name not in READ and not name.startswith("_") and value not in (None, False):
            raise CheckpointError(f"{source}: the option {name} = {value} is not known here, and so not supported.")
    if (kind := theirs.get("adapter_type", "full_adapter")) not in SIZES:
        raise CheckpointError(f"{source}: the option adapter_type = {kind} is not supported, only {', '.join(SIZES)}.")
    return {name: theirs[name] for name in READ - {"adapter_type"} if name in theirs} | {"size": SIZES[kind]}


def _our_names(state: State) -> State:
    """diffusers' names without `adapter.`; the original's full adapter numbers residual blocks through, two to a level."""
    state = {re.sub(r"^(?:module\.|adapter\.)+", "", name): value for name, value in state.items()}
    state = {re.sub(r"^(body\.\d+)\.body\.(\d+)\.", r"\1.resnets.\2.", name): value for name, value in state.items()}
    if "body.0.block1.weight" not in state:
        return state
    flat = 1 + max(int(match[1]) for name in state if (match := re.match(r"body\.(\d{1,3})\.block1\.", name)))
    channels = [state[f"body.{i}.block1.weight"].shape[0] for i in range(flat)]
    starts = [i for i in range(flat) if i == 0 or f"body.{i}.in_conv.weight" in state]
    blocks = starts[1] if len(starts) > 1 else flat
    if flat % blocks or any(channels[i] != channels[i - i % blocks] for i in range(flat)):
        raise CheckpointError("its residual blocks are in no levels of one size")

    def name(key: str) -> str:
        match = re.match(r"body\.(\d{1,3})\.(block[12]|in_conv)\.(\w+)$", key)
        if match is None:
            return key
        level, block = divmod(int(match[1]), blocks)
        return f"body.{level}.{'' if match[2] == 'in_conv' else f'resnets.{block}.'}{match[2]}.{match[3]}"

    return {name(key): value for key, value in state.items()}


def _shape(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the weights tell: of a full adapter, XL's shows in what goes in, 16² pixels a channel instead of 8²."""
    levels = 1 + max(int(match[1]) for name in state if (match := re.match(r"body\.(\d{1,3})\.", name)))
    blocks = 1 + max(int(match[1]) for name in state if (match := re.match(r"body\.0\.resnets\.(\d{1,3})\.", name)))
    light = "conv_in.weight" not in state
    pixels = state["body.0.in_conv.weight" if light else "conv_in.weight"].shape[1]
    factor = 16 if pixels in (256, 768) else 8
    last = "out_conv" if light else "resnets.0.block1"
    channels = [state[f"body.{i}.{last}.weight"].shape[0] for i in range(levels)]
    return {
        "in_channels": pixels // factor**2,
        "channels": channels[:-1] if light else channels,
        "num_res_blocks": blocks,
        "downscale_factor": factor,
        "size": "light" if light else "full_xl" if factor == 16 else "full",
    }
