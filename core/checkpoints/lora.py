"""LoRA files merged into a model: weight + strength · (alpha / rank) · up · down (Hu et al. 2021, section 4.1).

Two namings are in use. kohya's sd-scripts write `lora_unet_` or `lora_te_` and the module's path with underscores;
diffusers writes `unet.` or `text_encoder.` and the path with dots. Both mean diffusers' paths, some kohya files
CompVis'. As flattened paths they are all the same, and are looked up in both vocabularies.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from core.checkpoints.diffusers_keys import unet_from_diffusers, unet_to_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.model_io import build
from core.checkpoints.text_keys import clip_from_files, clip_to_transformers
from core.checkpoints.weights import State, naming, read_metadata, read_weights, refuse_spoilt
from core.conditioning.clip import CLIPTextEmbedder
from core.layerwise import is_narrow, narrow
from core.models.unet import UNet

MOST_RANK = 16
"""Times the wider side of the weight: beyond once it, a rank gains nothing."""

Model = TypeVar("Model", UNet, CLIPTextEmbedder)

KEY = re.compile(
    r"(?P<module>.+?)\.(?:"
    r"lora_(?P<part>A|B|down|mid|up)(?:\.default)?\.weight"
    r"|lora(?:_linear_layer)?\.(?P<old>down|up)\.weight"
    r"|processor\.(?P<projection>to_[qkv]|to_out)_lora\.(?P<oldest>down|up)\.weight"
    r"|(?P<alpha>alpha))"
)
PREFIXES = {"lora_unet_": "unet", "lora_te1_": "text", "lora_te_": "text", "unet.": "unet", "text_encoder.": "text"}


@dataclass(frozen=True, eq=False)
class Update:
    """One module's low-rank update: down (r, in, …), up (out, r, …), for some convolutions mid (r, r, kh, kw)."""

    down: Tensor
    up: Tensor
    mid: Tensor | None
    alpha: float | None

    def delta(self, shape: torch.Size) -> Tensor:
        """What is added to the weight, in float32. Raises RuntimeError where the shapes do not fit together."""
        self._check(shape)
        down, up = self.down.float().flatten(1), self.up.float().flatten(1)
        product = up @ down if self.mid is None else torch.einsum("or,rskl,si->oikl", up, self.mid.float(), down)
        return product.reshape(shape) * (1.0 if self.alpha is None else self.alpha / len(down))

    def _check(self, shape: torch.Size) -> None:
        """Refuse before it is computed what would not give this shape, or take memory out of all proportion to it."""
        parts = [self.down, self.up] if self.mid is None else [self.down, self.up, self.mid]
        if not shape or any(part.dim() < 2 for part in parts):
            raise RuntimeError("an update is of matrices")
        rank, inputs = len(self.down), self.down[0].numel() if len(self.down) else 0
        window = 1 if self.mid is None else math.prod(self.mid.shape[2:])
        if not rank or len(self.up) != shape[0] or inputs * window != math.prod(shape[1:]):
            raise RuntimeError("the update is of another shape")
        if rank > MOST_RANK * max(shape[0], math.prod(shape[1:])):
            raise RuntimeError(f"its rank {rank} is beyond all need")


@dataclass(frozen=True, eq=False)
class Lora:
    """A LoRA file's updates by flattened module path, for the UNet and for the text encoder."""

    source: Path
    unet: Mapping[str, Update]
    text: Mapping[str, Update]


def read_lora(path: str | Path) -> Lora:
    """Read a LoRA file in kohya's or diffusers' naming. Raises CheckpointError naming the file and the remedy."""
    with naming(path):
        return _read(Path(path))


def _read(path: Path) -> Lora:
    found: dict[str, dict[str, dict[str, Tensor]]] = {"unet": {}, "text": {}}
    weights = read_weights(path)
    refuse_spoilt(weights, path)
    for key, value in weights.items():
        match = KEY.fullmatch(key.removeprefix("base_model.model."))
        if match is None:
            kinds = {"dora_scale": "DoRA", "hada_": "LoHa", "lokr_": "LoKr"}
            kind = next((name for mark, name in kinds.items() if mark in key), None)
            what = f"a {kind} file, which is not supported" if kind else f"no LoRA file: {key} is no part of one"
            raise CheckpointError(f"{path} is {what}; get a plain LoRA, or load it as what it is.")
        module, place = match["module"], "unet"
        for prefix, target in PREFIXES.items():
            if module.startswith(prefix):
                module, place = module.removeprefix(prefix), target
                break
        if match["projection"]:
            module += "." + match["projection"].replace("to_out", "to_out.0")
        part = match["part"] or match["old"] or match["oldest"] or "alpha"
        part = {"A": "down", "B": "up"}.get(part, part)
        found[place].setdefault(module.replace(".", "_"), {})[part] = value
    alphas = _declared_alphas(path)
    places = {
        place: {name: _update(path, name, parts, alphas.get(place)) for name, parts in modules.items()}
        for place, modules in found.items()
    }
    return Lora(path, **places)


def changes_nothing(lora: Lora, part: Literal["UNet", "text encoder"], by_names_alone: bool = False) -> str:
    """Why the file changes nothing in a UNet or text encoder, in a sentence; empty where it does.

    by_names_alone: do not look whether all updates are zero.
    """
    updates, others = (lora.unet, lora.text) if part == "UNet" else (lora.text, lora.unet)
    if not updates:
        other = "text encoder" if part == "UNet" else "UNet"
        return f"{lora.source} has nothing for the {part}" + (f", only for the {other}" if others else ": it is empty")
    if by_names_alone:
        return ""
    if not any(update.alpha != 0 and update.up.any() and update.down.any() for update in updates.values()):
        return f"all that {lora.source} adds to the {part} is zero: it was never trained"
    return ""


def merge_lora(model: Model, lora: Lora, strength: float = 1.0) -> Model:
    """A copy of the UNet or CLIP text encoder with the file's updates added; the model itself if there are none for it.

    strength: 1 as trained, 0 nothing, negative the opposite. Several files add up, one merge after the other.
    Raises CheckpointError for updates that do not fit the model.
    """
    updates = dict(lora.unet if isinstance(model, UNet) else lora.text)
    if not updates:
        return model
    config: dict[str, Any] = model.config
    state = {key: value.clone() for key, value in model.state_dict().items()}
    if isinstance(model, UNet):
        theirs = unet_to_diffusers(state, config)
        _add(theirs, updates, strength, lora.source)
        state = unet_from_diffusers(theirs, config)
    else:
        theirs = clip_to_transformers(state)
        _add(theirs, updates, strength, lora.source)
        state = clip_from_files(theirs)
    _add(state, updates, strength, lora.source)
    if updates:
        raise CheckpointError(
            f"{lora.source} changes {len(updates)} modules that this {type(model).__name__} does not have, such as "
            f"{min(updates)}; use it with the base model that it was made for."
        )
    merged = build(type(model), config, state, lora.source)
    if is_narrow(model):
        narrow(merged, None)
    return merged


def _add(state: State, updates: dict[str, Update], strength: float, source: Path) -> None:
    """Add to the weights of `state` the updates of its modules, and take those out of `updates`."""
    for key in [key for key in state if key.endswith(".weight")]:
        name = key.removesuffix(".weight").replace(".", "_")
        update = updates.pop(name, None) or updates.pop(name.removeprefix("text_model_"), None)
        if update is None:
            continue
        weight = state[key]
        try:
            delta = update.delta(weight.shape).to(weight.device)
        except RuntimeError as error:
            raise CheckpointError(
                f"{source} does not fit the shape {tuple(weight.shape)} of {key}; use it with the base model that it "
                "was made for."
            ) from error
        state[key] = (weight.float() + strength * delta).to(weight.dtype)


def _update(path: Path, name: str, parts: Mapping[str, Tensor], declared: float | None) -> Update:
    if "down" not in parts or "up" not in parts:
        raise CheckpointError(f"{path} lacks half of the update of {name}; it is incomplete, download it again.")
    alpha = float(parts["alpha"]) if "alpha" in parts else declared
    return Update(parts["down"], parts["up"], parts.get("mid"), alpha)


def _declared_alphas(path: Path) -> dict[str, float]:
    """The alphas in the header of files saved by diffusers with peft; one for each model."""
    try:
        header = dict(json.loads(read_metadata(path).get("lora_adapter_metadata", "{}")))
    except (RecursionError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} has an unreadable header ({error}); download it again.") from error
    if any(value for key, value in header.items() if key.endswith("alpha_pattern")):
        raise CheckpointError(f"{path} has an alpha for each module (alpha_pattern), which is not supported.")
    names = {"unet.lora_alpha": "unet", "text_encoder.lora_alpha": "text"}
    return {place: float(header[key]) for key, place in names.items() if key in header}
