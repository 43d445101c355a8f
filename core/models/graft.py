"""A model that computes with parts of another one, which trains: the modules anew around the very same weights.

What is grafted is a small model of its own (low-rank factors, the vectors of a word). It alone trains, is averaged and is kept; the model that
it is grafted onto lends its weights, stays what it is for everybody else, and may be kept in half or in eight bits.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


class Graft(nn.Module):
    """A part that belongs to another model than the one that it lies in."""


class Grafted:
    """A model with grafts. Whether those train is their owner's to say.

    Its class is none that files may name: they hold the model, and what is grafted, each by itself.
    """

    def train(self, mode: bool = True) -> Any:
        """Set the mode of the model, and of no graft."""
        for module in _own_modules(cast(nn.Module, self)):
            module.training = mode
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Whether the model's own weights take gradients, and no graft's."""
        for module in _own_modules(cast(nn.Module, self)):
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(requires_grad)
        return self


class Views:
    """The grafted models that were made with one graft: each once, for as long as the model that it was made of is there."""

    def __init__(self) -> None:
        self._made: dict[Hashable, weakref.WeakKeyDictionary[nn.Module, nn.Module]] = {}

    def once(self, model: Model, how: Hashable, graft: Callable[[Model], None]) -> Model:
        """The model with something grafted onto a shell of it by `graft`; the same object for the same model and `how`."""
        known = self._made.setdefault(how, weakref.WeakKeyDictionary())
        if model not in known:
            shell = _shell(model)
            graft(shell)
            if (options := getattr(shell, "compiled_with", None)) is not None:
                cast(Any, shell).compile(**options)  # its blocks are others now
            known[model] = shell
        return cast(Model, known[model])

    def __deepcopy__(self, memo: dict[int, Any]) -> Views:
        """A copy of a graft is grafted by itself."""
        return Views()


def is_grafted(model: nn.Module) -> bool:
    """Whether a model computes with parts of another one."""
    return isinstance(model, Grafted)


def class_name(model: nn.Module) -> str:
    """What a model's class is called, with grafts or without."""
    return next(cls.__name__ for cls in type(model).__mro__ if not issubclass(cls, Grafted))


def refuse_grafted(model: nn.Module) -> None:
    """Raise ValueError for a model with grafts, where its weights alone are wanted."""
    if is_grafted(model):
        raise ValueError(
            f"this {class_name(model)} computes with parts of another model, which a file of it would lose; merge them first "
            "(merge_lora), or save them by themselves"
        )


def _shell(model: Model) -> Model:
    """The same modules anew around the same parameters and buffers; grafts that are there stay themselves."""
    memo: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    memo |= {id(module): module for module in model.modules() if isinstance(module, Graft)}
    shell = copy.deepcopy(model, memo)
    cast(Any, shell).__class__ = _grafted(type(model))
    return shell


def _own_modules(module: nn.Module) -> list[nn.Module]:
    """A module and those in it, without grafts."""
    found, waiting = [], [module]
    while waiting:
        found.append(waiting.pop())
        waiting += [child for child in found[-1].children() if not isinstance(child, Graft)]
    return found


_classes: dict[type[nn.Module], type[nn.Module]] = {}


def _grafted(cls: type[nn.Module]) -> type[nn.Module]:
    if issubclass(cls, Grafted):
        return cls
    if cls not in _classes:
        made = type(f"Grafted{cls.__name__}", (Grafted, cls), {"__module__": __name__})
        _classes[cls] = cast("type[nn.Module]", made)
    return _classes[cls]
