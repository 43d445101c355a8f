"""Conditions between two others: their tokens and vectors averaged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from core.conditioning.conditioning import Conditioning, with_masks
from core.conditioning.parts import Context, ContextMask, Part


def average(a: Conditioning, b: Conditioning, weight: float) -> Conditioning:
    """(1 − weight) · a + weight · b of each part; what only one of them holds stays as it is.

    As in ComfyUI there are as many tokens as a has: b's are cut, or filled up with zeros; a token is read where one of them reads
    it, and one without a mask reads all of its own. Raises ValueError for class numbers, and for parts that do not fit together.
    """
    rows = max(a.batch_size, b.batch_size)
    first, second = (each.parts for each in with_masks(a.expand(rows), b.expand(rows)))
    made: dict[str, Part] = {**second, **first}
    for name in first.keys() & second.keys():
        pair = [first[name], _as_long(second[name], first[name])]
        made[name] = type(first[name]).together(pair, partial(_between, weight=weight, name=name))
    return Conditioning(parts=made)


def _between(pair: Sequence[Tensor], weight: float, name: str) -> Tensor:
    a, b = pair
    if a.dtype == b.dtype == torch.bool:
        return a | b
    if not a.is_floating_point() or a.shape != b.shape:
        raise ValueError(f"there is nothing between two {name} of shapes {tuple(a.shape)} and {tuple(b.shape)}")
    return torch.lerp(a, b.to(a), weight)


def _as_long(part: Part, like: Part) -> Part:
    """Tokens, as many as another's."""
    if isinstance(part, ContextMask) and isinstance(like, ContextMask):
        read = part.read[:, : like.read.shape[1]]
        return ContextMask(F.pad(read, (0, like.read.shape[1] - read.shape[1])))
    if not isinstance(part, Context) or not isinstance(like, Context):
        return part
    tokens = part.tokens[:, : like.tokens.shape[1]]
    return Context(F.pad(tokens, (0, 0, 0, like.tokens.shape[1] - tokens.shape[1])))
