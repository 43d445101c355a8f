"""A training recipe as plain data: an optimizer, its learning rate over the steps, and which parameters it treats how.

Parameters are chosen by patterns (as file names are: * for anything, ? for one character). A parameter goes by its name, with
its model's name in front ("unet.out.2.weight"), and by the class of its layer ("Conv2d.weight"; the names of the class's
bases count too). So `*attn2*` are the cross-attentions of a UNet with CompVis' names, `*Norm.*` all norms, `*.bias` all biases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from core.training.learning_rate import Constant, LearningRate
from core.training.optimizers import FACTOR, Groups, Optimizer


@dataclass(frozen=True)
class Group:
    """Parameters with settings of their own.

    lr: factor of the learning rate. settings: the optimizer's, by the names that it has them under, e.g. weight_decay.
    required: whether a pattern that matches nothing is an error. Where several groups match a parameter, the factors are
    multiplied, and of each setting the last group's counts.
    """

    patterns: tuple[str, ...]
    lr: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    required: bool = True


@dataclass(frozen=True)
class Frozen:
    """Parameters that stay as they are: those that a pattern matches, or all but those."""

    patterns: tuple[str, ...]
    all_but: bool = False


@dataclass(frozen=True)
class Clip:
    """Limits of an objective's gradients; 0 for none. Each number is brought within ± value, then all within the norm."""

    norm: float = 0.0
    value: float = 0.0

    def __call__(self, parameters: list[nn.Parameter]) -> None:
        """Clip these parameters' gradients in place."""
        if self.value:
            nn.utils.clip_grad_value_(parameters, self.value)
        if self.norm:
            nn.utils.clip_grad_norm_(parameters, self.norm)


@dataclass(frozen=True)
class Recipe:
    """How an objective's parameters are trained."""

    optimizer: Optimizer
    learning_rate: LearningRate = Constant()  # noqa: RUF009 - frozen itself
    groups: tuple[Group, ...] = ()
    frozen: tuple[Frozen, ...] = ()
    clip: Clip = Clip()

    @classmethod
    def of(cls, optimizer: Any) -> Recipe:
        """A recipe as it is; another optimizer's value as the recipe of it alone. Raises TypeError for what is neither."""
        if isinstance(optimizer, Recipe):
            return optimizer
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"a {type(optimizer).__name__} is no optimizer: it has no build(groups)")
        return cls(optimizer)

    @property
    def peak(self) -> float:
        """The optimizer's own learning rate; 1 where its value tells none, and only what it builds does."""
        return float(getattr(self.optimizer, "lr", 1.0))

    def measures(self, optimizer: torch.optim.Optimizer) -> dict[str, float]:
        """What the optimizer's value tells of what it built, by name."""
        measures = getattr(self.optimizer, "measures", None)
        return dict(measures(optimizer)) if measures is not None else {}

    def make(self, models: Mapping[str, nn.Module]) -> torch.optim.Optimizer:
        """The optimizer of these models' parameters, without the frozen ones; models by name.

        Raises ValueError for a pattern that matches nothing, and where nothing is left to train.
        """
        known = list(_named(models))
        frozen = set[str]()
        for each in self.frozen:
            matched = _matching(each.patterns, known)
            frozen |= {one.name for one in known if (one.name in matched) is not each.all_but}
        trained = [one for one in known if one.name not in frozen]
        if not trained:
            raise ValueError("nothing is left to train: every parameter is frozen")
        return self.optimizer.build(self._grouped(known, trained))

    def _grouped(self, known: list[_Named], trained: list[_Named]) -> Groups:
        matched = [_matching(group.patterns, known, group.required) for group in self.groups]
        found: Groups = []
        for one in trained:
            settings: dict[str, Any] = {}
            for group, names in zip(self.groups, matched, strict=True):
                if one.name in names:
                    settings |= {FACTOR: settings.get(FACTOR, 1.0) * group.lr, **group.settings}
            alike = (each for each in found if {k: v for k, v in each.items() if k != "params"} == settings)
            if (same := next(alike, None)) is None:
                found.append(same := {"params": [], **settings})
            same["params"].append((one.name, one.parameter))
        return found


@dataclass(frozen=True)
class _Named:
    """A parameter and what it goes by: its name, and its name in its layer's classes."""

    name: str
    by_class: tuple[str, ...]
    parameter: Tensor

    def matches(self, pattern: str) -> bool:
        return any(fnmatchcase(name, pattern) for name in (self.name, *self.by_class))


def _named(models: Mapping[str, nn.Module]) -> Iterator[_Named]:
    """Every parameter once, in the order of the models."""
    seen = set[int]()
    for prefix, model in models.items():
        for path, layer in model.named_modules(prefix=prefix):
            classes = [
                cls.__name__ for cls in type(layer).__mro__ if issubclass(cls, nn.Module) and cls is not nn.Module
            ]
            for name, parameter in layer.named_parameters(recurse=False):
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield _Named(f"{path}.{name}", tuple(f"{cls}.{name}" for cls in classes), parameter)


def _matching(patterns: Iterable[str], known: list[_Named], required: bool = True) -> set[str]:
    """The names of the parameters that any of the patterns matches."""
    found = set[str]()
    for pattern in patterns:
        matched = {one.name for one in known if one.matches(pattern)}
        if required and not matched:
            raise ValueError(f"no parameter matches {pattern!r}; {_close(pattern, known)}")
        found |= matched
    return found


def _close(pattern: str, known: list[_Named]) -> str:
    """Patterns like one that matched nothing, or what there is."""
    bare = pattern.strip("*.?")
    if bare and any(bare in name for one in known for name in (one.name, *one.by_class)):
        return f"did you mean {f'*{bare}*'!r}?"
    parts = dict.fromkeys(part for one in known for name in (one.name, *one.by_class) for part in name.split("."))
    names = [name for one in known for name in (one.name, *one.by_class)]
    if close := get_close_matches(bare, parts, 3) or get_close_matches(bare, names, 3):
        return "did you mean " + " or ".join(repr(f"*{part}*") for part in close) + "?"
    some = [one.name for one in known[:: max(1, len(known) // 3)]][:3]
    return f"there are {len(known)} parameters, such as {', '.join(some)}"
