"""What a training changed, saved as a LoRA: the difference of two models, each weight's by its largest singular values.

The best approximation of a rank (Eckart & Young 1936); kohya's `extract_lora_from_models.py` does the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from core.checkpoints.lora import TARGETS, diffusers_names
from core.checkpoints.text_keys import clip_to_transformers
from core.checkpoints.weights import State, write_weights
from core.conditioning.clip import CLIPTextEmbedder
from core.models.mmdit import MMDiT
from core.models.pixart import PixArt
from core.models.unet import UNet

Model = UNet | MMDiT | PixArt | CLIPTextEmbedder
Naming = Literal["kohya", "diffusers"]
PREFIXES: dict[tuple[Naming, bool], str] = {
    ("kohya", False): "lora_unet_",
    ("kohya", True): "lora_te_",
    ("diffusers", False): "unet.",
    ("diffusers", True): "text_encoder.",
}
"""What stands before a module's path, by naming and whether it is the text encoder's."""
TRANSFORMER = "transformer."
"""The same before those of a transformer in diffusers' naming; in kohya's they stand behind a UNet's prefix."""


@dataclass(frozen=True, eq=False)
class Change:
    """What makes one model of another, by the modules' paths in diffusers, or of an MMDiT in kohya's naming Stability's.

    factors: down (r, in, …) and up (out, r, …) of each weight. plain: differences of biases and norms. lost: the part of the
    weights' change, by its norm, that the rank leaves out. transformer: whether it is of one. unplaced: names of what changed
    besides, for which no LoRA file has a place (PixArt's tables).
    """

    factors: Mapping[str, tuple[Tensor, Tensor]]
    plain: Mapping[str, Tensor]
    lost: float
    transformer: bool = False
    unplaced: tuple[str, ...] = ()


@torch.no_grad()
def difference(before: Model, after: Model, rank: int, naming: Naming = "kohya") -> Change:
    """What changed from one model to another of the same build, for a file of this naming. Raises ValueError where they are built
    otherwise."""
    if type(before) is not type(after) or before.config != after.config:
        raise ValueError(
            "the two models are not of the same build; wire the base model that was trained, and what became of it"
        )
    old, new = _theirs(before, naming), _theirs(after, naming)
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    plain: dict[str, Tensor] = {}
    unplaced: list[str] = []
    whole = left = 0.0
    for key, value in new.items():
        change = value.float().cpu() - old[key].float().cpu()
        if not change.any():
            continue
        if key.rpartition(".")[2] not in TARGETS:
            unplaced.append(key)
            continue
        if change.dim() < 2 or not key.endswith(".weight"):
            plain[key] = change
            continue
        down, up, squares = _factors(change, rank)
        whole, left = whole + float(squares.sum()), left + float(squares[rank:].sum())
        factors[key.removesuffix(".weight")] = down, up
    lost = (left / whole) ** 0.5 if whole else 0.0
    return Change(factors, plain, lost, isinstance(after, MMDiT | PixArt), tuple(unplaced))


def write_lora(
    path: str | Path,
    unet: Change | None = None,
    text: Change | None = None,
    naming: Naming = "kohya",
    dtype: torch.dtype = torch.float16,
) -> int:
    """Write changes as a LoRA file, whole or not at all; alpha is the rank.

    Returns how many biases and norms changed for which diffusers' naming has no place; kohya's has one. Raises ValueError where
    nothing changed.
    """
    state: State = {}
    homeless = 0
    for change, is_text in ((unet, False), (text, True)):
        if change is None:
            continue
        prefix = TRANSFORMER if change.transformer and naming == "diffusers" else PREFIXES[naming, is_text]
        for module, (down, up) in change.factors.items():
            if naming == "kohya":
                name = prefix + module.replace(".", "_")
                state |= {f"{name}.lora_down.weight": down.to(dtype), f"{name}.lora_up.weight": up.to(dtype)}
                state[f"{name}.alpha"] = torch.tensor(float(len(down)))
            else:
                state |= {
                    f"{prefix}{module}.lora_A.weight": down.to(dtype),
                    f"{prefix}{module}.lora_B.weight": up.to(dtype),
                }
        for key, value in change.plain.items():
            if naming == "diffusers":
                homeless += 1
                continue
            module, _, parameter = key.rpartition(".")
            state[f"{prefix}{module.replace('.', '_')}.{'diff_b' if parameter == 'bias' else 'diff'}"] = value.to(dtype)
    if not state:
        raise ValueError("nothing that this file could hold differs between the two models")
    write_weights(state, path)
    return homeless


def _theirs(model: Model, naming: Naming) -> State:
    state = model.state_dict()
    if isinstance(model, MMDiT) and naming == "kohya":
        return state
    names = diffusers_names(model)
    return clip_to_transformers(state) if names is None else names[0](state, model.config)


def _factors(change: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """down and up of a weight's change, each with the root of the singular values, and the squares of all of them."""
    left, values, right = torch.linalg.svd(change.flatten(1), full_matrices=False)
    kept = min(rank, len(values))
    root = values[:kept].sqrt()
    down = (root[:, None] * right[:kept]).reshape(kept, *change.shape[1:])
    up = (left[:, :kept] * root).reshape(len(change), kept, *(1 for _ in change.shape[2:]))
    return down, up, values.square()
