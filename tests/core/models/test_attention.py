"""Attention by its definition: softmax(q kᵀ / √d) v, head by head; what starts as the identity, and what order does not matter."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from core.models.attention import GEGLU, BasicTransformerBlock, CrossAttention, FeedForward, SpatialTransformer


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("context_dim", [None, 5])
def test_each_head_attends_by_the_formula(context_dim: int | None) -> None:
    torch.manual_seed(0)
    attention = CrossAttention(6, context_dim, heads=2, dim_head=3)
    x, context = randn(2, 4, 6), None if context_dim is None else randn(2, 7, context_dim)
    source = x if context is None else context
    heads = []
    for head in range(2):
        rows = slice(3 * head, 3 * head + 3)
        q, k, v = (
            tokens @ linear.weight[rows].T
            for tokens, linear in ((x, attention.to_q), (source, attention.to_k), (source, attention.to_v))
        )
        heads.append((q @ k.transpose(1, 2) / math.sqrt(3)).softmax(-1) @ v)
    torch.testing.assert_close(attention(x, context), attention.to_out(torch.cat(heads, -1)))


def test_the_order_of_the_contexts_tokens_does_not_matter() -> None:
    torch.manual_seed(0)
    block = BasicTransformerBlock(8, heads=2, dim_head=4, context_dim=5)
    x, context = randn(2, 4, 8), randn(2, 6, 5)
    torch.testing.assert_close(block(x, context), block(x, context.flip(1)))


def test_the_gate_is_the_second_half() -> None:
    torch.manual_seed(0)
    layer, x = GEGLU(3, 4), randn(2, 5, 3)
    projected = layer.proj(x)
    torch.testing.assert_close(layer(x), projected[..., :4] * F.gelu(projected[..., 4:]))
    assert FeedForward(3)(x).shape == x.shape


@pytest.mark.parametrize("use_linear", [False, True])
def test_a_spatial_transformer_starts_as_the_identity_and_keeps_positions(use_linear: bool) -> None:
    torch.manual_seed(0)
    layer = SpatialTransformer(8, heads=2, context_dim=5, use_linear=use_linear, norm_groups=4)
    x, context = randn(2, 8, 3, 4), randn(2, 6, 5)
    assert torch.equal(layer(x, context), x)
    torch.nn.init.normal_(layer.proj_out.weight)
    moved = layer(x.flip(-1), context).flip(-1)  # attention knows no positions: what moves in moves out
    torch.testing.assert_close(moved, layer(x, context))
    assert not torch.equal(moved, x)
