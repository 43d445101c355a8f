"""Models that are compiled block by block: each kind of block once, for all its repetitions.

A UNet repeats a handful of blocks dozens of times. Compiled as a whole it takes minutes; compiled by regions (PyTorch's name for it)
each kind takes seconds, and every block of that kind, of a model's copies and averages too, uses what was compiled. What lies between the
blocks stays as it is: checks, lists of skip connections, random numbers (whose 64-bit constants Inductor does not compile).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, ClassVar

import torch
from torch import nn

RECOMPILE_LIMIT = 16
"""How often a kind of block may be compiled anew: for another dtype, grad mode, or batch and size, which after their first change
are symbols. Beyond, an error tells so, instead of a run that is slow in silence."""

GRAPHS = ("reduce-overhead", "max-autotune")
"""The modes of `torch.compile` that record CUDA graphs."""


class Regional(nn.Module):
    """A model that says which of its blocks are compiled, each kind by itself.

    regions: their classes. A block within another of them belongs to that one.

    What is compiled computes the same up to rounding, and is no part of the state: names, checkpoints and copies stay as they are.
    """

    regions: ClassVar[tuple[type[nn.Module], ...]] = ()
    compiled_with: dict[str, Any] | None = None

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile the regions, in place: the arguments are those of `torch.compile`.

        Without a graph break (`fullgraph`) unless told otherwise, and with sizes that become symbols once they change. With
        `mode="reduce-overhead"` CUDA graphs are recorded where no gradients are taken; in training it is the plain mode.
        """
        settings = {"fullgraph": True, "isolate_recompiles": True, "recompile_limit": RECOMPILE_LIMIT, **options}
        if args:
            raise TypeError("Regional.compile takes the options of torch.compile by name")
        # Dynamo looks at the gradient of all that goes into a block, and PyTorch warns of that (torch 2.13).
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf", UserWarning)
        if self.compiled_with is None and settings.get("mode") in GRAPHS:
            self.register_forward_pre_hook(_begin)
        self.compiled_with = options
        for region in self._outermost(self):
            call = _compiled(_kind(region), tuple(sorted(settings.items())))
            # What Module.compile sets too, there to a callable that no other block shares. Copying and pickling leave it out.
            region._compiled_call_impl = partial(call, region)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy is compiled as its original is."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if self.compiled_with is not None:
            self.compile(**self.compiled_with)

    def _outermost(self, module: nn.Module) -> Iterator[nn.Module]:
        for child in module.children():
            if isinstance(child, self.regions):
                yield child
            else:
                yield from self._outermost(child)


def is_compiled(model: nn.Module) -> bool:
    """Whether any part of a model is compiled."""
    return any(part._compiled_call_impl is not None for part in model.modules())


def _begin(module: nn.Module, args: Any) -> None:  # noqa: ARG001 - as hooks are called
    """Tell CUDA graphs that what the last call's blocks gave is used up: between a model's blocks and its result lie others."""
    torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]


def _kind(module: nn.Module) -> tuple[Any, ...]:
    """What blocks have in common that are compiled together. Compiled code looks at all else by itself."""
    return type(module), tuple((name, tuple(weight.shape)) for name, weight in module.named_parameters())


@lru_cache(maxsize=1024)
def _compiled(kind: tuple[Any, ...], settings: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:  # noqa: ARG001 - the cache's key
    """What calls blocks of this kind. `isolate_recompiles` keeps each kind's code apart, so that a call looks through few."""
    options = dict(settings)
    call: Callable[..., Any] = torch.compile(nn.Module._call_impl, **options)
    if options.get("mode") not in GRAPHS:
        return call
    options["mode"] = "max-autotune-no-cudagraphs" if options["mode"] == "max-autotune" else None
    trained: Callable[..., Any] = torch.compile(nn.Module._call_impl, **options)

    def by_gradients(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return (trained if torch.is_grad_enabled() else call)(module, *args, **kwargs)

    return by_gradients
