"""Conditions between two others, as ComfyUI averages them."""

from __future__ import annotations

import pytest
import torch

from core.conditioning.average import average
from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import Context, ContextMask, Vector


def test_tokens_and_vectors_are_between() -> None:
    a = Conditioning(torch.randn(2, 5, 3), parts=[Vector(torch.randn(2, 4))])
    b = Conditioning(torch.randn(1, 3, 3), parts=[Vector(torch.randn(1, 4))])
    made = average(a, b, 0.25)
    assert made.context is not None
    assert a.context is not None
    assert b.context is not None
    torch.testing.assert_close(made.context[:, :3], 0.75 * a.context[:, :3] + 0.25 * b.context)
    torch.testing.assert_close(made.context[:, 3:], 0.75 * a.context[:, 3:])
    torch.testing.assert_close(made[Vector].values, 0.75 * a[Vector].values + 0.25 * b[Vector].values)
    other = average(b, a, 0.25)
    assert other.context is not None
    assert other.context.shape == (2, 3, 3)
    assert other.batch_size == 2


def test_what_one_holds_stays_and_classes_have_nothing_between() -> None:
    told, numbers = Conditioning(torch.ones(1, 2, 3)), Conditioning(y=torch.tensor([1]))
    both = average(told, numbers, 0.5)
    assert both.context is told.context or torch.equal(both.context, told.context)
    assert both.y is not None
    with pytest.raises(ValueError, match="there is nothing between two y"):
        average(numbers, numbers, 0.5)
    with pytest.raises(ValueError, match="there is nothing between two vector"):
        average(Conditioning(y=torch.ones(1, 2)), Conditioning(y=torch.ones(1, 3)), 0.5)


def test_one_without_a_mask_reads_all_of_its_own_tokens() -> None:
    """Joined or averaged, a mask has as many places as there are tokens."""
    read = torch.tensor([[True, True, False, False]])
    masked = Conditioning(parts=[Context(torch.randn(1, 4, 3)), ContextMask(read)])
    whole, vector = Conditioning(torch.randn(2, 6, 3)), Conditioning(parts=[Vector(torch.randn(1, 2))])
    six = torch.ones(2, 6, dtype=torch.bool)
    assert torch.equal(average(whole, masked, 0.5)[ContextMask].read, six)
    assert torch.equal(average(masked, whole, 0.5)[ContextMask].read, six[:, :4])
    assert torch.equal((masked | whole)[ContextMask].read, torch.cat([read.expand(2, -1), six], 1))
    assert torch.equal((whole | masked)[ContextMask].read, torch.cat([six, read.expand(2, -1)], 1))
    for both in (masked | vector, vector | masked, average(masked, vector, 0.5)):
        assert torch.equal(both[ContextMask].read, read)
    assert (whole | vector).get(ContextMask) is None
