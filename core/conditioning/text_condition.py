"""Texts as a condition, by whatever encodes them: tokens for cross-attention, and a pooled vector or a mask where the encoder has one."""

from __future__ import annotations

from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import Context, Vector
from core.conditioning.prompts import apply_weights
from core.conditioning.t5 import T5TextEmbedder


def text_condition(text_encoder: nn.Module, tokens: Tensor) -> Conditioning:
    """What a text encoder makes of (b, n) token ids: its context, the vector of one that `pools`, and which tokens T5 leaves to be read."""
    if not getattr(text_encoder, "pools", False):
        mask = text_encoder.mask(tokens) if isinstance(text_encoder, T5TextEmbedder) else None
        return Conditioning(context=text_encoder(tokens), parts=[] if mask is None else [mask])
    context, vector = text_encoder(tokens, pooled=True)
    return Conditioning(parts=[Context(context), Vector(vector)])


def emphasised(told: Conditioning, null: Conditioning, weights: Tensor) -> Conditioning:
    """A text's condition with its tokens emphasised by (b, n) weights (`apply_weights`); the vector stays the whole text's."""
    context = apply_weights(told[Context].tokens, null[Context].tokens, weights)
    return told.each(lambda part: Context(context) if isinstance(part, Context) else part)
