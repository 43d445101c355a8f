"""Condition dropout: the training half of classifier-free guidance (Ho & Salimans 2021, algorithm 1).

With probability p an example's condition is replaced by the null condition, so that one network learns the
conditional and the unconditional score. The uniform numbers are the caller's, so that a step can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor

from core.conditioning.conditioning import Conditioning


def drop(condition: Tensor, null: Tensor | int, u: Tensor, p: float) -> Tensor:
    """Replace the examples with u < p by the null condition.

    condition: (b, …) class indices, tokens, context or channels; null: its shape, batch 1 or b, or one number.
    u: (b,) uniform on [0, 1); p: probability of dropping. Gradients reach a learned null condition.
    """
    dropped = (u.to(condition.device) < p).view(-1, *[1] * (condition.ndim - 1))
    return torch.where(dropped, torch.as_tensor(null, device=condition.device, dtype=condition.dtype), condition)


def drop_conditioning(conditioning: Conditioning, null: Conditioning, u: Tensor, p: float) -> Conditioning:
    """`drop` on every part at once: an example loses all of its condition or none of it.

    Raises ValueError where the null condition lacks a part that the condition has.
    """
    parts: dict[str, Tensor | None] = {}
    for name in (f.name for f in fields(Conditioning)):
        given, empty = getattr(conditioning, name), getattr(null, name)
        if given is not None and empty is None:
            raise ValueError(f"The null condition lacks {name}, which the condition has.")
        parts[name] = None if given is None else drop(given, empty, u, p)
    return Conditioning(**parts)


def drop_captions(captions: Sequence[str], u: Tensor, p: float) -> list[str]:
    """Replace the captions with u < p by the empty one, which is the null condition of text."""
    return ["" if dropped else caption for caption, dropped in zip(captions, (u < p).tolist(), strict=True)]
