"""Tensors combined and taken apart, sample by sample; axes are counted from the batch (see `core.broadcasting`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import einops
import torch
import torch.nn.functional as F
from torch import Tensor

from core.broadcasting import aligned, shape_of

Norm = Literal["l2", "l1", "max", "rms"]
Resizing = Literal["nearest", "bilinear", "bicubic", "area"]
PARALLEL = 1e-4
"""Below this sine two directions count as one, and the way between them as straight."""


def weighted_sum(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Σ wᵢ · xᵢ. values: (b, …), broadcast.

    Raises ValueError where there are none, or not as many weights as tensors.
    """
    if len(values) != len(weights) or not values:
        raise ValueError(f"{len(weights)} weights for {len(values)} values; give one for each")
    lined_up = aligned({f"value {i + 1}": value for i, value in enumerate(values)})
    total, *rest = (weight * value for weight, value in zip(weights, lined_up.values(), strict=True))
    for each in rest:
        total = total + each
    return total  # type: ignore[no-any-return]


def lerp(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """(1 − weight) · a + weight · b: on the straight line from a to b, (b, …), broadcast."""
    lined_up = aligned({"a": a, "b": b})
    return (1 - weight) * lined_up["a"] + weight * lined_up["b"]  # type: ignore[no-any-return]


def slerp(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """On the arc from a to b, each sample a vector of all its numbers: sin((1 − w)θ)/sin θ · a + sin(wθ)/sin θ · b (Shoemake 1985).

    a, b: (b, …), broadcast; θ is the angle between them. What lies in one direction is connected by a straight line. Noise that
    was standard normal stays so. Raises ValueError for tensors without an axis besides the batch.
    """
    lined_up = aligned({"a": a, "b": b})
    shape = torch.broadcast_shapes(lined_up["a"].shape, lined_up["b"].shape)  # type: ignore[no-untyped-call]
    a, b = lined_up["a"].expand(shape), lined_up["b"].expand(shape)
    if a.ndim < 2:
        raise ValueError(f"a direction has an axis besides the batch, and this is {shape_of(a)}")
    one, other = (each.flatten(1) / each.flatten(1).norm(dim=1, keepdim=True).clamp(min=1e-12) for each in (a, b))
    angle = torch.acos((one * other).sum(1).clamp(-1, 1)).reshape(-1, *[1] * (a.ndim - 1))
    sine = torch.sin(angle)
    straight = sine < PARALLEL
    safe = torch.where(straight, torch.ones_like(sine), sine)
    of_a = torch.where(straight, 1 - weight, torch.sin((1 - weight) * angle) / safe)
    of_b = torch.where(straight, weight, torch.sin(weight * angle) / safe)
    return of_a * a + of_b * b


def norm(x: Tensor, kind: Norm = "l2", axes: Sequence[int] = ()) -> Tensor:
    """The size of what lies along these axes, which stay with size 1: √Σx², Σ|x|, the largest |x|, or √mean(x²).

    x: (b, …). axes: none for all but the batch. Raises ValueError for one that x has not, or that is named twice.
    """
    along = _axes(x, axes)
    if kind == "rms":
        return x.square().mean(along, keepdim=True).sqrt()
    order = {"l2": 2.0, "l1": 1.0, "max": torch.inf}[kind]
    return torch.linalg.vector_norm(x, order, along, keepdim=True)  # type: ignore[no-any-return]


def mean(x: Tensor, axes: Sequence[int] = ()) -> Tensor:
    """The mean along these axes, which stay with size 1.

    x: (b, …). axes: none for all but the batch. Raises ValueError for one that x has not, or that is named twice.
    """
    return (x if x.is_floating_point() else x.float()).mean(_axes(x, axes), keepdim=True)


def cat(items: Sequence[Tensor], axis: int = 0) -> Tensor:
    """One after the other along an axis. items: (b, …). Raises ValueError, naming shapes, where the other axes are not alike."""
    if not items:
        raise ValueError("there is nothing to put together; wire at least one")
    (axis,) = _axes(items[0], (axis,))
    for i, item in enumerate(items):
        others = [[size for at, size in enumerate(each.shape) if at != axis] for each in (items[0], item)]
        if item.ndim != items[0].ndim or others[0] != others[1]:
            raise ValueError(
                f"item 1 is {shape_of(items[0])} and item {i + 1} is {shape_of(item)}: only axis {axis} may differ"
            )
    return torch.cat(list(items), axis)


def rows(x: Tensor, first: int = 0, count: int = 1) -> Tensor:
    """So many samples of a batch x, (b, …), from one on. Raises ValueError where there are not as many."""
    if x.ndim == 0 or first + count > len(x):
        held = f"{len(x)} rows" if x.ndim else "one number"
        raise ValueError(f"rows {first} to {first + count - 1} are asked for, counted from 0, and there are {held}")
    return x[first : first + count]


def split(x: Tensor, sizes: Sequence[int], axis: int = 1) -> list[Tensor]:
    """Parts of x, (b, …), of these sizes along an axis. Raises ValueError where they are not the whole."""
    (axis,) = _axes(x, (axis,))
    if sum(sizes) != x.shape[axis]:
        told = " + ".join(map(str, sizes))
        raise ValueError(f"{told} = {sum(sizes)}, and axis {axis} of {shape_of(x)} has {int(x.shape[axis])}")
    return list(torch.split(x, list(sizes), axis))


def rearrange(x: Tensor, pattern: str, sizes: Mapping[str, int]) -> Tensor:
    """Axes put in another order, merged and taken apart: "b c (h p) (w q) -> b (c p q) h w" (einops).

    x: of any shape. sizes: of letters that the shape leaves open. Raises ValueError where the pattern does not fit.
    """
    try:
        return einops.rearrange(x, pattern, **sizes)
    except (einops.EinopsError, ValueError) as error:  # of a pattern without an arrow it is a ValueError
        told = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"{pattern!r} does not fit {shape_of(x)}: {told}") from error


def resized(x: Tensor, height: int, width: int, kind: Resizing = "nearest") -> Tensor:
    """x, (b, c, h, w), as (b, c, height, width): squares, interpolated (antialiased where it becomes smaller), or means over areas.

    Raises ValueError for other axes than these four.
    """
    if x.ndim != 4:
        raise ValueError(f"it is {shape_of(x)}; what is resized has four axes, b c h w")
    if kind in ("nearest", "area"):
        return F.interpolate(x, (height, width), mode="nearest-exact" if kind == "nearest" else "area")
    return F.interpolate(x, (height, width), mode=kind, antialias=height < x.shape[2] or width < x.shape[3])


def number(x: Tensor) -> float:
    """The one number that a tensor holds, which is a scalar or of any shape of one element. Raises ValueError where it holds several."""
    if x.numel() != 1:
        raise ValueError(f"it holds {x.numel()} numbers ({shape_of(x)}), and one is wanted; take the mean, or one row")
    return float(x.reshape(()))


def _axes(x: Tensor, axes: Sequence[int]) -> tuple[int, ...]:
    for axis in axes:
        if not -x.ndim <= axis < x.ndim:
            raise ValueError(f"there is no axis {axis}: {shape_of(x)} has {x.ndim}, counted from 0")
    if not axes and x.ndim < 2:
        raise ValueError(f"{shape_of(x)} has no axes besides the batch")
    along = tuple(axis % x.ndim for axis in axes) or tuple(range(1, x.ndim))
    for axis in along:
        if along.count(axis) > 1:
            raise ValueError(f"axis {axis} is named {along.count(axis)} times; name each axis once")
    return along
