"""A device that holds real numbers on the CPU, claims to lie elsewhere, and refuses to mix: `pretend:0`.

It shows without a GPU what a GPU would refuse: a tensor made on the CPU in the middle of a node, `.numpy()` without `.cpu()`, a
checkpoint loaded and not moved. Numbers are the CPU's to the bit, so that a run there is compared with one here.

PyTorch has one place for a backend of somebody else's (PrivateUse1); this one takes it in the process that imports this module.
A tensor there is a wrapper around a CPU tensor. Every operation unwraps, computes and wraps again, after it has looked that
all tensors lie on one device. As on a GPU, copies between devices are free to mix, a pointwise operation takes a number on
the CPU (a tensor of no dimensions), and indices may lie on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine

NAME = "pretend"
aten = torch.ops.aten
COPIES = {aten._to_copy, aten.copy_, aten._copy_from, aten.set_, aten.is_same_size}
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index}


class Backend:
    """What PyTorch asks a backend's module. available: whether it can be chosen."""

    available = False

    def is_available(self) -> bool:
        return self.available

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def _is_in_bad_fork(self) -> bool:
        return False

    def get_rng_state(self, device: object = None) -> Tensor:
        """The CPU's generator draws for both."""
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: object = None) -> None:
        """Nothing: whoever sets the CPU's has set this one."""

    def manual_seed_all(self, seed: int) -> None:
        """Nothing: random numbers are drawn by the CPU's generator, which is seeded too."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


BACKEND = Backend()
_setup_privateuseone_for_python_backend(NAME, BACKEND)
DEVICE = torch.device(NAME, 0)


class Elsewhere(Tensor):
    """A tensor on the pretend device."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # a copy on the CPU is none of these

    @staticmethod
    def __new__(cls, held: Tensor, requires_grad: bool = False) -> Elsewhere:
        made: Elsewhere = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
            requires_grad=requires_grad,
        )
        made.held = held.detach()
        return made

    def __repr__(self, **_: Any) -> str:
        return f"Elsewhere({self.held})"

    def tolist(self) -> Any:
        """A list, as from a GPU; PyTorch leaves this out for subclasses."""
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        here = _refuse_to_mix(func, args, kwargs)
        asked = kwargs.get("device")
        here = here if asked is None else torch.device(asked).type == NAME
        out = func(*tree_map(_bare, args), **tree_map(_bare, kwargs))
        if not here:
            return out
        return return_and_correct_aliasing(func, args, kwargs, tree_map(_wrapped, out))


def _refuse_to_mix(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether an operation is done on the pretend device. Raises RuntimeError, as a GPU does, where it is given tensors of both."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
    strange = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere)]
    if strange and there and func.overloadpacket not in COPIES:
        numbers = torch.Tag.pointwise in func.tags and not any(tensor.ndim for tensor in strange)
        indices = func.overloadpacket in INDEXED and isinstance(args[0], Elsewhere)
        indices = indices and not any(tensor is value for tensor in strange for value in args[2:3] if value.ndim)
        if not (numbers or indices):
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {DEVICE} and cpu: in {func}"
            )
    return bool(there)


def _bare(value: Any) -> Any:
    if isinstance(value, Elsewhere):
        return value.held
    if isinstance(value, torch.device) and value.type == NAME:
        return torch.device("cpu")
    return value


def _wrapped(value: Any) -> Any:
    return Elsewhere(value) if isinstance(value, Tensor) and not isinstance(value, Elsewhere) else value


_library = torch.library.Library("aten", "IMPL")  # for the life of the process
_autocast = torch.library.Library("_", "IMPL")


def _empty(size: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None,
           memory_format: Any = None) -> Tensor:  # fmt: skip
    return Elsewhere(torch.empty(size, dtype=dtype, memory_format=memory_format or torch.contiguous_format))


def _empty_strided(size: Any, stride: Any, dtype: Any = None, layout: Any = None, device: Any = None,
                   pin_memory: Any = None) -> Tensor:  # fmt: skip
    return Elsewhere(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    _bare(target).copy_(_bare(source))
    return target


# All that makes a tensor begins with the first two; what follows finds a wrapper and comes by `__torch_dispatch__`, but for
# the copy into it that `torch.tensor` makes.
_library.impl("empty.memory_format", _empty, "PrivateUse1")
_library.impl("empty_strided", _empty_strided, "PrivateUse1")
_library.impl("_copy_from", _copy_from, "PrivateUse1")
_autocast.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")


def _in_half(name: str) -> Callable[..., Any]:
    """A heavy operation that autocast does in its dtype, as it does on GPUs."""
    packet, _, overload = name.partition(".")
    operation = getattr(getattr(aten, packet), overload or "default")

    def cast(value: Any) -> Any:
        heavy = isinstance(value, Tensor) and value.is_floating_point() and value.dtype != torch.float64
        return value.to(torch.get_autocast_dtype(NAME)) if heavy else value

    def call(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)):
            return operation(*tree_map(cast, args), **tree_map(cast, kwargs))

    return call


for _name in (
    "linear",
    "conv2d",
    "conv2d.padding",
    "matmul",
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "scaled_dot_product_attention",
):
    _library.impl(_name, _in_half(_name), "AutocastPrivateUse1")


def engine_there(registry: Registry, workspace: Path, **options: Any) -> Engine:
    """An engine that computes on the pretend device, which is there for as long as the engine looks for it."""
    BACKEND.available = True
    try:
        return Engine(registry, workspace, device=str(DEVICE), **options)
    finally:
        BACKEND.available = False
