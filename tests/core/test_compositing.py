"""Composites and extended pictures against their rules written out pixel by pixel."""

from __future__ import annotations

import pytest
import torch

from core.compositing import composite, crop, outpainting


def test_a_feathered_composite_is_latent_composite() -> None:
    """ComfyUI's LatentComposite: one row after the other is scaled, from the inner edges."""
    onto, x = torch.randn(2, 4, 20, 20), torch.randn(1, 4, 10, 12)
    made = composite(onto, x, 4, 0, feather=3)
    for y in range(20):
        for column in range(20):
            weight = 0.0
            if 4 <= y < 14 and column < 12:
                weight = min((y - 4 + 1) / 3, 1) * min((13 - y + 1) / 3, 1) * min((11 - column + 1) / 3, 1)
            above = x[:, :, y - 4, column] if weight else onto[:, :, y, column]
            wanted = weight * above + (1 - weight) * onto[:, :, y, column]
            torch.testing.assert_close(made[:, :, y, column], wanted)


def test_what_sticks_out_is_cut_off() -> None:
    onto, x = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 4, 4)
    made = composite(onto, x, -2, 6)
    assert made.sum() == 3 * 2 * 2
    assert made[..., :2, 6:].min() == 1
    assert torch.equal(composite(onto, x, 8, 0), onto)
    assert torch.equal(composite(onto, x, -4, 0), onto)
    assert onto.sum() == 0
    half = torch.full((1, 1, 8, 8), 0.5)
    assert composite(onto, x, 1, 1, half)[..., 1:5, 1:5].eq(0.5).all()


def test_operations_on_masks() -> None:
    onto, x = torch.full((1, 1, 4, 4), 0.5), torch.full((1, 1, 2, 2), 0.25)
    for operation, wanted in (("add", 0.75), ("subtract", 0.25), ("multiply", 0.125)):
        made = composite(onto, x, 1, 1, operation=operation)
        assert made[..., 1:3, 1:3].eq(wanted).all()
        assert made.sum() == 12 * 0.5 + 4 * wanted
    with pytest.raises(ValueError, match="channels must be alike"):
        composite(onto, torch.ones(1, 3, 2, 2))


def test_a_crop() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert crop(x, 1, 2, 2, 9).tolist() == [[[[6, 7], [10, 11]]]]
    with pytest.raises(ValueError, match="begins at row 4"):
        crop(x, 4, 0, 1, 1)


@pytest.mark.parametrize("sides", [(4, 0, 8, 0), (0, 3, 0, 5), (1, 1, 1, 1), (0, 0, 0, 0)])
def test_outpainting(sides: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = sides
    images, feather = torch.rand(2, 3, 12, 14) * 2 - 1, 5
    padded, mask = outpainting(images, left, top, right, bottom, feather)
    assert padded.shape == (2, 3, 12 + top + bottom, 14 + left + right)
    assert torch.equal(padded[..., top : top + 12, left : left + 14], images)
    for y in range(padded.shape[2]):
        for x in range(padded.shape[3]):
            i, j = y - top, x - left
            if not (0 <= i < 12 and 0 <= j < 14):
                assert mask[1, 0, y, x] == 1
                assert padded[..., y, x].abs().sum() == 0
                continue
            far = [i if top else 99, 12 - i if bottom else 99, j if left else 99, 14 - j if right else 99]
            assert mask[1, 0, y, x].item() == pytest.approx(max(0, (feather - min(far)) / feather) ** 2, abs=1e-6)
    assert outpainting(images, 2, 2, 2, 2, 6)[1][..., 2:14, 2:16].sum() == 0
