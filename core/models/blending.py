"""Models of one build mixed weight by weight: what web interfaces call merging checkpoints, and Wortsman et al. 2022 model soups."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from core.models.graft import class_name, refuse_grafted

Model = TypeVar("Model", bound=nn.Module)

FREE = ("dropout", "embedding_dropout", "gradient_checkpointing")
"""Settings in which models of one build may differ."""


@torch.no_grad()
def combined(models: Sequence[Model], weights: Sequence[float], patterns: Iterable[str] = ("*",)) -> Model:
    """Σ wᵢ · modelᵢ of all weights whose names match a pattern (as file names do); the others, and whole numbers, are the first model's.

    A copy of the first model, whose dtypes stay. Raises ValueError, naming what differs, for models that are not of one build, and for
    a pattern that matches nothing.
    """
    first, *others = models
    for number, other in enumerate(others, 2):
        _refuse_others(first, other, number)
    states = [model.state_dict() for model in models]
    chosen: set[str] = set()
    for pattern in patterns:
        matched = {key for key in states[0] if fnmatchcase(key, pattern)}
        if not matched:
            raise ValueError(
                f"no weight of the {class_name(first)} matches {pattern!r}; there are {', '.join(list(states[0])[:3])}, …"
            )
        chosen |= matched
    mixed = copy.deepcopy(first)
    for key, place in mixed.state_dict().items():
        if key in chosen and place.is_floating_point():
            place.copy_(_sum([state[key] for state in states], weights).to(place.device))
    return mixed.eval().requires_grad_(False)


def _sum(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = torch.zeros_like(tensors[0], dtype=torch.float64 if tensors[0].dtype == torch.float64 else torch.float32)
    for tensor, weight in zip(tensors, weights, strict=True):
        if weight:
            total += weight * tensor.to(total)
    return total


def _refuse_others(first: nn.Module, other: nn.Module, number: int) -> None:
    for model in (first, other):
        refuse_grafted(model)
    if type(first) is not type(other):
        raise ValueError(
            f"model 1 is a {class_name(first)} and model {number} a {class_name(other)}; mix models of one kind"
        )
    ours, theirs = first.state_dict(), other.state_dict()
    for key in [*ours, *theirs]:
        here, there = (_shape(state.get(key)) for state in (ours, theirs))
        if here != there:
            raise ValueError(
                f"the models are not of one build: {key} is {here} in model 1 and {there} in model {number}"
            )
    settings: list[dict[str, Any]] = [getattr(model, "config", {}) for model in (first, other)]
    for name in settings[0]:
        if name not in FREE and settings[0][name] != settings[1].get(name):
            raise ValueError(
                f"the models are not of one build: {name} is {settings[0][name]} in model 1 and {settings[1].get(name)} in model {number}"
            )


def _shape(weight: Tensor | None) -> str:
    return "absent" if weight is None else "×".join(map(str, weight.shape)) or "a number"
