"""Which kernel computes attention, by name: PyTorch's own choice, one of its kernels, or that of a package that is installed.

Models call `F.scaled_dot_product_attention` and know of no other; what is chosen takes its place while a node's function runs.
A kernel of a package computes what it can, and PyTorch the rest: masks, widths and types that it does not take.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

AUTO = "auto"
TORCHS = {
    "math": SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
}
"""PyTorch's kernels (torch.nn.attention), the one that is named before the others."""

Attend = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""(q, k, v, scale) -> the result, all (b, heads, n, dim), outside of autocast's sight."""
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Package:
    """A package with a kernel: its module, what calls it there, the largest width of a head, whether it has a backward pass, and the
    kind of device it is for."""

    module: str
    attend: Callable[[Any], Attend]
    widest: int
    trains: bool = True
    device: str = "cuda"


def _xformers(module: Any) -> Attend:
    """xformers.ops.memory_efficient_attention takes (b, n, heads, dim)."""
    return lambda q, k, v, scale: module.memory_efficient_attention(*_tokens_first(q, k, v), scale=scale).transpose(
        1, 2
    )


def _flash(module: Any) -> Attend:
    """flash_attn.flash_attn_func takes (b, n, heads, dim)."""
    return lambda q, k, v, scale: module.flash_attn_func(*_tokens_first(q, k, v), softmax_scale=scale).transpose(1, 2)


def _sage(module: Any) -> Attend:
    """sageattention.sageattn takes (b, heads, n, dim) as "HND"."""
    return lambda q, k, v, scale: module.sageattn(q, k, v, tensor_layout="HND", sm_scale=scale)


PACKAGES = {
    "xformers": Package("xformers.ops", _xformers, 256),
    "flash-attn": Package("flash_attn", _flash, 256),
    "sage": Package("sageattention", _sage, 128, trains=False),
}
"""Of packages. Sage computes in 8 bits: fast, and not the same to the bit."""
NAMES = (AUTO, *TORCHS, *PACKAGES)

Chosen = Callable[[], AbstractContextManager[Any]]
"""What makes the context in which attention is computed so."""


def chosen(name: str) -> Chosen | None:
    """What enters the attention of that name; None for PyTorch's own choice. Raises ValueError, naming the choices, for one that is
    unknown or not installed."""
    if name == AUTO:
        return None
    if name in TORCHS:
        first = TORCHS[name]
        others = [kernel for kernel in TORCHS.values() if kernel not in (first, SDPBackend.CUDNN_ATTENTION)]
        return partial(sdpa_kernel, first if name == "math" else [first, *reversed(others)], set_priority=True)
    if name not in PACKAGES:
        raise ValueError(f"there is no attention called {name!r}; it can be {', '.join(NAMES)}")
    package = PACKAGES[name]
    distribution = package.module.partition(".")[0]
    if find_spec(distribution) is None:
        here = [AUTO, *TORCHS, *(other for other, each in PACKAGES.items() if find_spec(each.module.partition(".")[0]))]
        raise ValueError(
            f"the attention {name!r} needs the package {distribution}, which is not installed: pip install {distribution.replace('_', '-')}."
            f" What is here: {', '.join(here)}"
        )
    return partial(Replaced, package, package.attend(import_module(package.module)))


class Replaced(TorchFunctionMode):
    """While entered, calls of `F.scaled_dot_product_attention` go to a package's kernel where that takes them."""

    def __init__(self, package: Package, attend: Attend) -> None:
        super().__init__()
        self.package, self.attend = package, attend

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by PyTorch for each function of it."""
        kwargs = kwargs or {}
        if function is F.scaled_dot_product_attention and (given := self._taken(*args, **kwargs)) is not None:
            return self.attend(*given)
        return function(*args, **kwargs)

    def _taken(
        self, query: Tensor, key: Tensor, value: Tensor, *others: Any, scale: float | None = None, **options: Any
    ) -> tuple[Tensor, Tensor, Tensor, float] | None:
        """What the kernel is given; None where it cannot compute this."""
        asked = [each for each in options.values() if isinstance(each, Tensor) or each]
        if others or asked or query.ndim != 4 or query.device.type != self.package.device:
            return None
        kind = query.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype
        gradients = torch.is_grad_enabled() and any(each.requires_grad for each in (query, key, value))
        if dtype not in HALF or query.shape[-1] > self.package.widest or (gradients and not self.package.trains):
            return None
        cast = (each.to(dtype) for each in (query, key, value))
        return (*cast, 1 / math.sqrt(query.shape[-1]) if scale is None else scale)  # type: ignore[return-value]


def _tokens_first(*each: Tensor) -> tuple[Tensor, ...]:
    return tuple(one.transpose(1, 2) for one in each)
