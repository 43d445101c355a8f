"""Weights kept in fewer bytes than they are computed with: bfloat16, float16 or float8, cast layer by layer as each is used.

This is layerwise casting, as diffusers has it (`ModelMixin.enable_layerwise_casting`). What is narrow are the weights of linear
layers, convolutions and embeddings, nearly all that a model has. All else is float32: norms, codebooks, and the parts that a
model's class names in `kept_float32` (for a UNet those that Dhariwal & Nichol's and CompVis' `convert_to_fp16` leave so: the
embedding of the time step, and the output). What is computed does not depend on how weights are kept: a layer's are cast, while
it runs, to what it is given, to autocast's dtype inside autocast.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

Model = TypeVar("Model", bound=nn.Module)

NARROW = (torch.bfloat16, torch.float16, torch.float8_e4m3fn)
"""What weights may be kept in, besides float32."""

OWNERS = ("core.layerwise", "graph_runner.base.layerwise")
"""The library and the engine each have this module, as neither imports the other; what one made narrow the other knows."""


def narrow(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Keep a model's weights in this dtype, in place, one after the other; None keeps each layer's as they are.

    dtype: one of `NARROW`; float32 ends it (`widen`). Values that float8 cannot hold become its largest, 448.
    """
    layers = {} if dtype == torch.float32 else dict(_layers(model))
    known: dict[int, nn.Parameter] = {}  # weights that two layers share are shared afterwards
    for name, module in model.named_modules():
        wanted = (dtype or _kept_in(module)) if name in layers else torch.float32
        for key, parameter in module._parameters.items():
            if parameter is not None and parameter.dtype in (*NARROW, torch.float32):
                made = known.get(id(parameter))
                made = _kept_as(parameter, wanted) if made is None else made
                known[id(parameter)] = known[id(made)] = module._parameters[key] = made
        for key, buffer in module._buffers.items():
            if buffer is not None and buffer.dtype in NARROW:
                module._buffers[key] = buffer.float()
        _hooked(module, wanted != torch.float32)


def narrowed(model: Model, dtype: torch.dtype | None) -> Model:
    """A copy of a model, kept in this dtype (see `narrow`); the model stays as it is. There are never two whole copies."""
    shared: dict[int, Any] = {id(parameter): parameter for parameter in model.parameters()}
    made = copy.deepcopy(model, dict(shared))  # what the memo holds is not copied; `narrow` replaces it
    narrow(made, dtype)
    for module in made.modules():
        for key, parameter in module._parameters.items():
            if parameter is not None and id(parameter) in shared:
                module._parameters[key] = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
    return made


def widen(model: nn.Module) -> None:
    """Make all weights of a model float32, in place, as it trains at them."""
    narrow(model, torch.float32)


def is_narrow(model: nn.Module) -> bool:
    """Whether layers of a model cast their weights. A model that is half as a whole (`model.half()`) computes so, and casts none."""
    return any(_casts(hook) for module in model.modules() for hook in module._forward_pre_hooks.values())


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers whose weights may be narrow, by name."""
    named = list(model.named_modules())
    left = [
        ".".join(filter(None, (name, part))) for name, module in named for part in getattr(module, "kept_float32", ())
    ]
    # This one reads its layers' weights itself.
    left += [name for name, module in named if isinstance(module, nn.MultiheadAttention)]
    for name, module in named:
        if isinstance(module, nn.Linear | _ConvNd | nn.Embedding) and not any(
            part in ("", name) or name.startswith(f"{part}.") for part in left
        ):
            yield name, module


def _kept_in(layer: nn.Module) -> torch.dtype:
    dtype = layer.weight.dtype
    return dtype if isinstance(dtype, torch.dtype) and dtype in NARROW else torch.float32


def _kept_as(parameter: nn.Parameter, dtype: torch.dtype) -> nn.Parameter:
    if parameter.dtype == dtype:
        return parameter
    weight = parameter.detach()
    if dtype == torch.float8_e4m3fn:
        most = torch.finfo(dtype).max
        weight = weight.clamp(-most, most)  # what is beyond would be NaN
    return nn.Parameter(weight.to(dtype), parameter.requires_grad)


def _hooked(layer: nn.Module, wanted: bool) -> None:
    """Have a layer's weights cast while it runs, or no more."""
    for hooks in (layer._forward_pre_hooks, layer._forward_hooks):
        for key in [key for key, hook in hooks.items() if _casts(hook)]:
            del hooks[key]
            layer._forward_hooks_always_called.pop(key, None)
    if wanted:
        layer.register_forward_pre_hook(_widened)
        layer.register_forward_hook(_as_kept, always_call=True)


def _widened(layer: nn.Module, given: tuple[Any, ...]) -> None:
    kept = dict(layer._parameters)
    layer.__dict__["_kept"] = kept
    dtype = _computed_in(given)
    for key, parameter in kept.items():
        if parameter is not None and parameter.dtype != dtype:
            layer._parameters[key] = parameter.to(dtype)  # type: ignore[assignment]  # for as long as it runs


def _as_kept(layer: nn.Module, given: tuple[Any, ...], result: Any) -> None:  # noqa: ARG001 - as a hook is called
    if (kept := layer.__dict__.pop("_kept", None)) is not None:
        layer._parameters.update(kept)


def _casts(hook: Any) -> bool:
    """Whether a hook is of this mechanism, whichever of the two put it there."""
    return getattr(hook, "__module__", "") in OWNERS


def _computed_in(given: tuple[Any, ...]) -> torch.dtype:
    x = next((value for value in given if isinstance(value, Tensor)), None)
    if x is None or not x.is_floating_point():  # token ids
        return torch.float32
    return torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
