"""IP-Adapters in the forms that people have: the authors' single file (h94/IP-Adapter), as .bin or .safetensors, and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.diffusers_folder import network_files
from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import refusal
from core.checkpoints.model_io import HEADER, build, load_model
from core.checkpoints.weights import State, naming, read_metadata, read_weights, write_weights
from core.models.ip_adapter import DIM_HEAD, IPAdapter
from core.models.registry import MODELS


def load_ip_adapter(
    path: str | Path, dtype: torch.dtype | None = torch.float32, known: Mapping[str, type] = MODELS
) -> IPAdapter:
    """An IP-Adapter from a file or folder in any of the forms: plain, plus or full face. The weights tell its shape.

    dtype: what floating-point weights are converted to; None keeps each. known: the classes that our own files may name.
    Raises CheckpointError naming the file and the remedy.
    """
    try:
        with naming(path):
            return _load(Path(path), dtype, known)
    except CheckpointError as error:
        raise refusal(path, error, "image_prompt") from error


def ip_adapter_files(path: str | Path) -> dict[str, Path]:
    """The files that `load_ip_adapter` reads, by their names at `path`; the file itself has none."""
    return network_files(Path(path))


def save_ip_adapter(net: IPAdapter, path: str | Path) -> None:
    """Write the authors' single file, which diffusers' `load_ip_adapter` and ComfyUI's loaders read."""
    write_weights(net.state_dict(), path)


def _load(path: Path, dtype: torch.dtype | None, known: Mapping[str, type]) -> IPAdapter:
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; check the path, or download it.")
    if path.is_dir() or HEADER in read_metadata(path):
        model = load_model(path, dtype, known).model
        if not isinstance(model, IPAdapter):
            raise CheckpointError(f"{path} holds a {type(model).__name__}, not an IP-Adapter; load it by load_model.")
        return model
    state = read_weights(path)
    if not any(name.startswith("ip_adapter.") for name in state):
        raise CheckpointError(f"{path} holds no IP-Adapter; give one, or load this as what it is.")
    try:
        config = _shape(state)
    except LookupError as error:
        raise CheckpointError(f"{path} holds no IP-Adapter of a known shape (no {error}).") from error
    return build(IPAdapter, config, state, path, dtype)


def _shape(state: State) -> dict[str, Any]:
    """What the weights tell."""
    attended = [f"ip_adapter.{2 * i + 1}.to_k_ip.weight" for i in range(len(state))]
    keys = [state[name] for name in attended if name in state]
    shape: dict[str, Any] = {"context_dim": state[attended[0]].shape[1], "widths": [len(each) for each in keys]}
    if "image_proj.latents" in state:
        layers = [int(match[1]) for name in state if (match := re.match(r"image_proj\.layers\.(\d{1,3})\.", name))]
        queries: Tensor = state["image_proj.latents"]
        return shape | {
            "projection": "resampler",
            "image_dim": state["image_proj.proj_in.weight"].shape[1],
            "tokens": queries.shape[1],
            "hidden_dim": queries.shape[2],
            "depth": 1 + max(layers),
            "heads": len(state["image_proj.layers.0.0.to_q.weight"]) // DIM_HEAD,
        }
    if "image_proj.proj.3.weight" in state:
        return shape | {"projection": "mlp", "image_dim": state["image_proj.proj.0.weight"].shape[1]}
    outputs, image_dim = state["image_proj.proj.weight"].shape
    return shape | {"projection": "linear", "image_dim": image_dim, "tokens": outputs // shape["context_dim"]}
