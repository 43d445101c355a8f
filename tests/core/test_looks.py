"""Pictures as programs hold them become batches, and batches become one picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from core.looks import SHEET, adopt_images, adopt_masks, contact_sheet, mask_sheet


def test_pictures_become_a_batch() -> None:
    half = Image.new("RGBA", (3, 2), (0, 0, 255, 255))
    batch = adopt_images([half, np.zeros((2, 3), dtype=np.uint8)])
    assert batch is not None
    assert batch.shape == (2, 3, 2, 3)
    assert batch[0, :, 0, 0].tolist() == [-1, -1, 1]
    assert batch[1].unique().tolist() == [-1]


def test_what_is_no_picture_is_left_to_others() -> None:
    for value in (
        "a.png",
        3,
        [],
        [Image.new("L", (1, 1)), 3],
        np.zeros((2, 3)),
        np.zeros((1, 2, 3, 4), dtype=np.uint8),
    ):
        assert adopt_images(value) is None
    with pytest.raises(ValueError, match=r"different sizes \(1×1, 2×1\)"):
        adopt_images([Image.new("L", (1, 1)), Image.new("L", (2, 1))])


def test_masks_are_bright_or_not() -> None:
    mask = adopt_masks(np.array([[0, 127, 128, 255]], dtype=np.uint8))
    assert mask is not None
    assert mask.shape == (1, 1, 1, 4)
    assert mask.flatten().tolist() == [0, 0, 1, 1]
    assert np.asarray(mask_sheet(mask)).tolist() == [[[0] * 3, [0] * 3, [255] * 3, [255] * 3]]


def test_one_picture_is_drawn_as_it_is_and_many_are_tiled() -> None:
    assert contact_sheet(torch.zeros(1, 3, 5, 7)).size == (7, 5)
    assert contact_sheet(torch.zeros(SHEET + 9, 3, 2, 2)).size == (8 * 4 + 2, 8 * 4 + 2)
    with pytest.raises(FloatingPointError):
        contact_sheet(torch.full((1, 3, 2, 2), torch.nan))
