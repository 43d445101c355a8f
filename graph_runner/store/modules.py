"""Modules on disk: every wire has this codec whose values are modules and which names none of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from graph_runner.base.layerwise import is_narrow, narrow

KIND = "__model__"


class UnknownKindError(TypeError):
    """A module's class is none that files may name."""


class ModuleCodec:
    """A module as its class' name among the models, its `config` (the constructor's arguments) and its state."""

    def __init__(self, models: Mapping[str, type]) -> None:
        self.models = models

    def save(self, module: nn.Module) -> dict[str, Any]:
        """A tree of tensors and JSON values. Raises UnknownKindError where its class is no kind."""
        name = next((name for name, cls in self.models.items() if cls is type(module)), None)
        if name is None:
            cls = type(module)
            raise UnknownKindError(
                f"a {cls.__name__} (of {cls.__module__}) is no registered model; put @model on its class "
                "(docs/writing-a-model.md)"
            )
        cast = {"narrow": True} if is_narrow(module) else {}
        return {KIND: name, "config": getattr(module, "config", {}), "state": dict(module.state_dict()), **cast}

    def load(self, tree: dict[str, Any]) -> nn.Module:
        """The module, in eval mode without gradients. Raises KeyError for a kind that is not there."""
        kind = self.models[tree[KIND] if KIND in tree else tree["model"]]  # as version 0.1 called it
        with torch.random.fork_rng(devices=[]), _Unfilled():
            module: nn.Module = kind(**tree["config"])
        module.load_state_dict(tree["state"], assign=True)
        if tree.get("narrow"):
            narrow(module, None)
        return module.eval().requires_grad_(False)


def is_kept_module(tree: Any) -> bool:
    """Whether a tree is one that `ModuleCodec.save` gave."""
    return isinstance(tree, dict) and KIND in tree


class _Unfilled(TorchFunctionMode):
    """Leaves out what torch.nn.init does: the weights are at hand, and drawing random ones takes a large model seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
