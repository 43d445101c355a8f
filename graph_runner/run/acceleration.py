"""How fast a run computes what it computes: models compiled, their memory's order, the kernel of attention.

None of it is part of a key, a name or a state: results differ by rounding, and caches and checkpoints serve runs with and without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakSet

import torch
from torch import nn

from graph_runner.contract import NodeSpec
from graph_runner.run import attention

OFF = "off"
COMPILE = (OFF, "default", "reduce-overhead", "max-autotune")
"""Modes of `torch.compile`. reduce-overhead records CUDA graphs, where shapes repeat and no gradients are taken; max-autotune
measures kernels against each other first, for minutes."""


class Acceleration:
    """compile: a mode of `COMPILE`. attention: a name of `graph_runner.run.attention`. channels_last: weights of convolutions, and so
    their results, lie in memory channel by channel for each pixel, as tensor cores read them.

    Raises ValueError for a choice that is unknown, or not installed.
    """

    def __init__(self, compile: str = OFF, attention_by: str = attention.AUTO, channels_last: bool = False) -> None:
        if compile not in COMPILE:
            raise ValueError(f"compile is {compile!r}; it can be {', '.join(COMPILE)}")
        self.compile, self.attention_by, self.channels_last = compile, attention_by, channels_last
        self._attention = attention.chosen(attention_by)
        self._prepared: WeakSet[nn.Module] = WeakSet()

    @property
    def settings(self) -> dict[str, Any]:
        """What differs from a plain run, for those who want to know what a run was."""
        chosen = {"compile": self.compile, "attention": self.attention_by, "channels_last": self.channels_last}
        plain = {"compile": OFF, "attention": attention.AUTO, "channels_last": False}
        return {name: value for name, value in chosen.items() if value != plain[name]}

    def around(self, spec: NodeSpec, function: Callable[..., Any]) -> Callable[..., Any]:
        """How a node's function is called: itself, where nothing was asked for or it is handed no model."""
        if not spec.takes_models or not self.settings:
            return function
        attending = self._attention if spec.body is None else None

        def call(**kwargs: Any) -> Any:
            for model in _models(kwargs.values()):
                if model not in self._prepared:
                    self._prepare(model)
            if attending is None:
                return function(**kwargs)
            with attending():
                return function(**kwargs)

        return call

    def _prepare(self, model: nn.Module) -> None:
        """Make a model ready in place, once."""
        self._prepared.add(model)
        if self.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.compile != OFF and says_how(model) and not is_compiled(model):
            model.compile(mode=None if self.compile == "default" else self.compile)


def says_how(model: nn.Module) -> bool:
    """Whether a model's class says how it is compiled, by a `compile` of its own: denoisers and first stages do. What is called once,
    or measures, is not worth the wait."""
    return type(model).compile is not nn.Module.compile


def is_compiled(model: nn.Module) -> bool:
    """Whether any part of a model is compiled."""
    return any(part._compiled_call_impl is not None for part in model.modules())


def _models(values: Any) -> Iterator[nn.Module]:
    for value in values:
        if isinstance(value, nn.Module):
            yield value
        elif isinstance(value, dict):
            yield from _models(value.values())
        elif isinstance(value, list):
            yield from _models(value)
