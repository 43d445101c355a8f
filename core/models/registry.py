"""What makes a class a model that files can hold: a name for it there, and the arguments that it was built with.

    @model
    class Net(nn.Module):
        def __init__(self, width: int = 8) -> None: ...

A file says `{"model": "Net", "config": {"width": 8}}` beside the weights. Whoever reads it looks the name up in a table; nothing is
imported because a file says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from torch import nn

from core.kinds import Kinds
from core.models.config import remember_config
from core.models.graft import refuse_grafted

M = TypeVar("M", bound=type[nn.Module])

MODELS: Kinds[nn.Module] = Kinds("model", lambda cls: str(vars(cls).get("_name_in_files", cls.__name__)))
"""This library's models (listed in `core.checkpoints.model_io`), and those of the packages that were scanned for nodes."""


@overload
def model(cls: M) -> M: ...


@overload
def model(*, name: str) -> Callable[[M], M]: ...


def model(cls: M | None = None, *, name: str | None = None) -> M | Callable[[M], M]:
    """Decorate a module's class so that files can hold its instances: `@model`, or `@model(name="OldName")`.

    The instances get a `config`, all their constructor's arguments as plain JSON values; building one raises TypeError for an
    argument that JSON cannot hold. name: what files call the class, where that is not its own name: it was renamed, or another
    package has one of that name. A subclass is another model, and needs a mark of its own.
    """

    def mark(cls: M) -> M:
        if not issubclass(cls, nn.Module):
            raise TypeError(f"{cls.__name__} is no torch.nn.Module; @model is for those")
        cls.__init__ = remember_config(cls.__init__)  # type: ignore[method-assign]
        cls._name_in_files = name or cls.__name__  # type: ignore[attr-defined]
        return MODELS.mark(cls)

    return mark if cls is None else mark(cls)


def name_of(model: nn.Module, models: Mapping[str, type]) -> str:
    """What files call a model's class. Raises ValueError where it is none of `models`, or has parts of another."""
    refuse_grafted(model)
    cls: Any = type(model)
    for name, known in models.items():
        if known is cls:
            return name
    raise ValueError(
        f"A {cls.__name__} cannot be saved; the models that can are {', '.join(models)}. Put @model on the class "
        f"{cls.__name__} of {cls.__module__} (docs/writing-a-model.md)."
    )
