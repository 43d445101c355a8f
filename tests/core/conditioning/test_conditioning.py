"""Conditioning: joining and batching."""

from __future__ import annotations

import pytest
import torch

from core.conditioning.conditioning import Conditioning


def test_hybrid_joins_tokens_and_channels() -> None:
    a = Conditioning(context=torch.randn(1, 2, 3), concat=torch.randn(4, 1, 2, 2))
    b = Conditioning(context=torch.randn(1, 5, 3), concat=torch.randn(1, 2, 2, 2), y=torch.arange(4))
    both = a | b
    assert both.context is not None
    assert both.concat is not None
    assert both.y is not None
    assert both.context.shape == (4, 7, 3)
    assert both.concat.shape == (4, 3, 2, 2)
    assert torch.equal(both.concat[:, :1], a.concat)
    assert both.y.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="takes one"):
        both | Conditioning(y=torch.tensor([0]))


def test_cat_then_chunk_gives_the_parts_back() -> None:
    a, b = (Conditioning(context=torch.randn(2, 3, 4), y=torch.tensor([1, 2])) for _ in range(2))
    both = Conditioning.cat([a, b])
    assert both.batch_size == 4
    assert torch.equal(both.context[:2], a.context)
    assert torch.equal(both.context[2:], b.context)


def test_cat_expands_within_each_conditioning_before_joining() -> None:
    a = Conditioning(context=torch.randn(1, 3, 4), y=torch.tensor([1, 2]))
    b = Conditioning(context=torch.randn(2, 3, 4), y=torch.tensor([3, 4]))
    assert Conditioning.cat([a, b]).context.shape == (4, 3, 4)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Conditioning(y=torch.tensor([1])), "hold context"),
        (Conditioning(context=torch.randn(1, 9, 4)), "do not fit together: context"),
    ],
)
def test_cat_refuses_what_does_not_fit(other: Conditioning, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conditioning.cat([Conditioning(context=torch.randn(1, 3, 4)), other])


def test_wrong_shapes_are_refused_where_they_are_made() -> None:
    with pytest.raises(ValueError, match=r"context must have shape \(b, n, d\)"):
        Conditioning(context=torch.randn(3, 4))
    with pytest.raises(ValueError, match="differ in batch size"):
        Conditioning(context=torch.randn(3, 4, 5), y=torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="does not fit a latent of batch 2"):
        Conditioning(context=torch.randn(3, 4, 5)).expand(2)
