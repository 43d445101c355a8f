"""Condition dropout: the training half of classifier-free guidance (Ho & Salimans 2021, algorithm 1).

With probability p an example's condition is replaced by the null condition, so that one network learns the
conditional and the unconditional score. The uniform numbers are the caller's, so that a step can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import Part, replace_rows


def drop(condition: Tensor, null: Tensor | int, u: Tensor, p: float) -> Tensor:
    """Replace the examples with u < p by the null condition.

    condition: (b, …) class numbers, tokens, context or channels; null: its shape, batch 1 or b, or one number.
    u: (b,) uniform on [0, 1); p: probability of dropping. Gradients reach a learned null condition.
    """
    return replace_rows(condition, null, u < p)


def drop_conditioning(conditioning: Conditioning, null: Conditioning, u: Tensor, p: float) -> Conditioning:
    """Replace the examples with u < p by the null condition in every part: one loses all of its condition or none of it.

    conditioning: of batch b or 1; null: of batch 1 or b; u: (b,) uniform on [0, 1); p: probability of dropping.
    Raises ValueError where the null condition lacks a part that the condition has.
    """

    def dropped(part: Part) -> Part:
        if part.name not in null.parts:
            raise ValueError(f"The null condition lacks {part.name}, which the condition has.")
        return part.drop(null.parts[part.name], u < p)

    return conditioning.each(dropped)


def drop_captions(captions: Sequence[str], u: Tensor, p: float) -> list[str]:
    """Replace the captions with u < p by the empty one, which is the null condition of text. u: (b,) uniform in [0, 1)."""
    return ["" if dropped else caption for caption, dropped in zip(captions, (u < p).tolist(), strict=True)]
