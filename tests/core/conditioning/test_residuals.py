"""Residuals and features as parts of a condition: summed, cut by tiles, batched, said to be of another UNet."""

from __future__ import annotations

import pytest
import torch

from core.conditioning.conditioning import Conditioning
from core.conditioning.residuals import Control, Features


def control(*sides: int, rows: int = 2) -> Control:
    return Control(tuple(torch.randn(rows, 3, side, side) for side in sides))


def test_several_at_once_are_the_sum_and_zero_is_nothing() -> None:
    one, other = control(8, 4, 1), control(8, 4, 4)
    both = (Conditioning(parts=[one]) | Conditioning(parts=[other]))[Control]
    for mine, a, b in zip(both.added, one.added, other.added, strict=True):
        assert torch.equal(mine, a + b)
    h = torch.randn(2, 3, 8, 8)
    assert torch.equal(one.null().onto(h, 0), h)
    assert Conditioning(parts=[one, Features(one.added)]).batch_size == 2


def test_tiles_get_their_share_and_an_average_goes_to_all() -> None:
    whole = control(8, 4, 1)
    tile = whole.cut((slice(4, 8), slice(0, 4)), (8, 8))
    assert [tuple(each.shape[2:]) for each in tile.added] == [(4, 4), (2, 2), (1, 1)]
    assert torch.equal(tile.added[1], whole.added[1][..., 2:4, 0:2])


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(ValueError, match="other numbers of blocks"):
        control(8, 4).join(control(8))
    with pytest.raises(ValueError, match="do not fit together"):
        control(8).join(control(4))
    with pytest.raises(ValueError, match="of another shape, or for a latent of another size"):
        control(8).onto(torch.randn(2, 3, 4, 4), 0)


def test_the_disk_keeps_them() -> None:
    told = Conditioning(parts=[control(8, 4)])
    again = Conditioning.from_tree(told.to_tree())
    assert all(map(torch.equal, again.tensors(), told.tensors()))
