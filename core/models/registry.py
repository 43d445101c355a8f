"""What makes a class a model that files can hold: a name for it there, and the arguments that it was built with.

    @model
    class Net(nn.Module):
        def __init__(self, width: int = 8) -> None: ...

A file says `{"model": "Net", "config": {"width": 8}}` beside the weights. Whoever reads it looks the name up in a table of marked
classes; nothing is imported because a file says so. `core.checkpoints.model_io.MODELS` is the table of this library's own;
the engine's scan of node packages makes one that has those of all packages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from torch import nn

from core.models.config import remember_config

Model = TypeVar("Model", bound=type[nn.Module])
Kinds = Mapping[str, type]
"""Classes by the names that files have for them."""


@overload
def model(cls: Model) -> Model: ...


@overload
def model(*, name: str) -> Callable[[Model], Model]: ...


def model(cls: Model | None = None, *, name: str | None = None) -> Model | Callable[[Model], Model]:
    """Decorate a module's class so that files can hold its instances: `@model`, or `@model(name="OldName")`.

    The instances get a `config`, all their constructor's arguments as plain JSON values; each call raises TypeError for an
    argument that JSON cannot hold. name: what files call the class, where that is not its own name: it was renamed, or another
    package has one of that name. A subclass is a model of its own, and needs a mark of its own.
    """

    def mark(cls: Model) -> Model:
        if not issubclass(cls, nn.Module):
            raise TypeError(f"{cls.__name__} is no torch.nn.Module; @model is for those")
        cls.__init__ = remember_config(cls.__init__)  # type: ignore[method-assign]
        cls.__kind__ = name or cls.__name__  # type: ignore[attr-defined]
        return cls

    return mark if cls is None else mark(cls)


def table(*classes: type[nn.Module]) -> dict[str, type[nn.Module]]:
    """Marked classes by their names in files."""
    return {vars(cls)["__kind__"]: cls for cls in classes}


def name_of(model: nn.Module, kinds: Kinds) -> str:
    """What files call a model's class. Raises ValueError where it is none of `kinds`."""
    cls: Any = type(model)
    for name, known in kinds.items():
        if known is cls:
            return name
    raise ValueError(
        f"A {cls.__name__} cannot be saved; the models that can are {', '.join(kinds)}. Put @model on the class "
        f"{cls.__name__} of {cls.__module__} (docs/writing-a-model.md)."
    )
