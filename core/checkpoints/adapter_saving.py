"""A trained adapter as a LoRA file, as it is: in kohya's naming, in diffusers', or as folders of peft.

Our layers are diffusers' under other names, and one of ours may be three of theirs (a fused `qkv`). So each of their weights is asked which rows
of which of ours it has. Strength is alpha / rank in kohya's files, which say alpha, and in peft's, whose `adapter_config.json` does; diffusers' say
neither, and have it in their factors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from core.checkpoints.diffusers_keys import unet_to_diffusers
from core.checkpoints.files import atomic_folder
from core.checkpoints.lora_settings import CONFIG
from core.checkpoints.text_keys import clip_to_transformers
from core.checkpoints.weights import State, write_weights
from core.conditioning.clip import CLIPTextEmbedder
from core.models.adapter import Adapter
from core.models.unet import UNet

Naming = Literal["kohya", "diffusers", "peft"]
Model = UNet | CLIPTextEmbedder

KOHYA = {"unet": "lora_unet_", "text_encoder": "lora_te_"}


@dataclass(frozen=True, eq=False)
class Trained:
    """An adapter, and the model that it was trained for."""

    model: Model
    adapter: Adapter

    @property
    def half(self) -> str:
        """Which half of a pipeline the model is, as diffusers calls it."""
        return "unet" if isinstance(self.model, UNet) else "text_encoder"


@dataclass(frozen=True, eq=False)
class _Layer:
    """Of one layer in diffusers: down (rank, in, …), up (out, rank), the lengths of the rows with DoRA, and the weight's shape."""

    path: str
    down: Tensor
    up: Tensor
    lengths: Tensor | None
    shape: torch.Size


def write_adapter(
    path: str | Path, halves: list[Trained], naming: Naming = "kohya", dtype: torch.dtype = torch.float16
) -> None:
    """Write the adapters of one or both halves, whole or not at all: a file, or for peft a folder with one for each half.

    Raises ValueError for an adapter of another model.
    """
    if naming == "peft":
        with atomic_folder(path) as folder:
            for each in halves:
                _write_peft(folder / each.half, each, dtype)
        return
    state: State = {}
    for each in halves:
        state |= _kohya(each) if naming == "kohya" else _diffusers(each)
    write_weights({key: value if key.endswith(".alpha") else value.to(dtype) for key, value in state.items()}, path)


def _kohya(trained: Trained) -> State:
    adapter, state = trained.adapter, State()
    # kohya's programs know no rank-stabilised ones: the alpha that has the same effect.
    alpha = adapter.alpha * (math.sqrt(adapter.rank) if adapter.stabilised else 1)
    for layer in _layers(trained):
        name = KOHYA[trained.half] + layer.path.replace(".", "_")
        state[f"{name}.lora_down.weight"], state[f"{name}.lora_up.weight"] = layer.down, _as_layer(layer)
        state[f"{name}.alpha"] = torch.tensor(float(alpha))
        if layer.lengths is not None:
            state[f"{name}.dora_scale"] = layer.lengths.reshape(-1, *(1 for _ in layer.shape[1:]))
    return state


def _diffusers(trained: Trained) -> State:
    adapter, state = trained.adapter, State()
    scale = adapter.alpha / (math.sqrt(adapter.rank) if adapter.stabilised else adapter.rank)
    for layer in _layers(trained):
        state |= _in_peft(f"{trained.half}.{layer.path}", layer, scale)
    return state


def _write_peft(folder: Path, trained: Trained, dtype: torch.dtype) -> None:
    adapter, layers = trained.adapter, list(_layers(trained))
    folder.mkdir()
    state: State = {}
    for layer in layers:
        state |= _in_peft(f"base_model.model.{layer.path}", layer)
    write_weights({key: value.to(dtype) for key, value in state.items()}, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "use_rslora": adapter.stabilised,
        "use_dora": adapter.dora,
        "target_modules": sorted(layer.path for layer in layers),
        "bias": "none",
        "inference_mode": True,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _in_peft(name: str, layer: _Layer, scale: float = 1.0) -> State:
    state = {f"{name}.lora_A.weight": layer.down, f"{name}.lora_B.weight": _as_layer(layer) * scale}
    if layer.lengths is not None:
        state[f"{name}.lora_magnitude_vector"] = layer.lengths
    return state


def _as_layer(layer: _Layer) -> Tensor:
    """The upper factor as a layer of the weight's kind has it: a convolution's is 1 × 1."""
    return layer.up.reshape(*layer.up.shape, *(1 for _ in layer.shape[2:]))


@torch.no_grad()
def _layers(trained: Trained) -> Iterator[_Layer]:
    factors = dict(trained.adapter.factors())
    state = trained.model.state_dict()
    if strangers := [path for path, shape in trained.adapter.layers.items() if _shape(state, path) != shape]:
        raise ValueError(
            f"the adapter is for another {type(trained.model).__name__} than the one that is wired in: {strangers[0]} is not of "
            "its shape; wire the model that it was trained for"
        )
    for key, (path, rows) in _rows(trained.model, state, list(factors)).items():
        each, weight = factors[path], state[f"{path}.weight"]
        shape = torch.Size((len(rows.numbers), *weight.shape[1 : rows.dim]))
        down = each.down.detach().float().cpu().reshape(len(each.down), *shape[1:])
        lengths = None if each.lengths is None else each.lengths.detach().float().cpu()[rows.numbers]
        yield _Layer(key.removesuffix(".weight"), down, each.up.detach().float().cpu()[rows.numbers], lengths, shape)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Which rows of one of our weights a weight in diffusers has, and how many dimensions that has there."""

    numbers: Tensor
    dim: int


def _rows(model: Model, state: Mapping[str, Tensor], paths: list[str]) -> dict[str, tuple[str, _Rows]]:
    """For each weight in diffusers that is made of one of these layers': the layer, and the rows. All rows of all layers are numbered, and
    the numbers are renamed as weights are."""
    first = 0
    starts: list[int] = []
    numbered: State = {key: torch.tensor(-1).expand(value.shape) for key, value in state.items()}
    for path in paths:
        weight = state[f"{path}.weight"]
        numbers = torch.arange(first, first + len(weight)).reshape(-1, *(1 for _ in weight.shape[1:]))
        numbered[f"{path}.weight"] = numbers.expand(weight.shape)
        starts.append(first)
        first += len(weight)
    theirs = unet_to_diffusers(numbered, model.config) if isinstance(model, UNet) else clip_to_transformers(numbered)
    found: dict[str, tuple[str, _Rows]] = {}
    for key, value in theirs.items():
        if not key.endswith(".weight") or value.dim() < 2:
            continue
        rows = value.flatten(1)[:, 0]
        if int(rows[0]) < 0:
            continue
        number = sum(start <= int(rows[0]) for start in starts) - 1
        found[key] = paths[number], _Rows(rows - starts[number], value.dim())
    return found


def _shape(state: Mapping[str, Tensor], path: str) -> list[int] | None:
    weight = state.get(f"{path}.weight")
    return None if weight is None else list(weight.shape)
