"""Sizes of tensors: Lanczos as Pillow's, the middle of a picture, grown masks as ComfyUI's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from core.resizing import center_crop, grow, resize


@pytest.mark.parametrize(("height", "width"), [(10, 15), (40, 60), (7, 50)])
def test_lanczos_is_pillows(height: int, width: int) -> None:
    x = torch.rand(1, 2, 20, 30, generator=torch.Generator().manual_seed(0))
    theirs = [np.asarray(Image.fromarray(each.numpy()).resize((width, height), Image.Resampling.LANCZOS)) for each in x[0]]  # fmt: skip
    torch.testing.assert_close(resize(x, height, width, "lanczos")[0], torch.from_numpy(np.stack(theirs)), rtol=0, atol=1e-4)  # fmt: skip


def test_the_crop_is_in_the_middle() -> None:
    x = torch.arange(60.0).reshape(1, 1, 6, 10)
    torch.testing.assert_close(center_crop(x, 1.0), x[..., 2:8])
    torch.testing.assert_close(center_crop(x, 5.0), x[..., 2:4, :])


@pytest.mark.parametrize("side", [1, 2, 3, 6, 7])
def test_a_mask_grows_as_comfyuis(side: int) -> None:
    """There by a convolution with ones, padded by half of the side rounded up, of which the first rows and columns are kept."""
    mask = (torch.rand(1, 1, 24, 20, generator=torch.Generator().manual_seed(1)) > 0.97).float()
    padding = -(-(side - 1) // 2)
    theirs = F.conv2d(mask, torch.ones(1, 1, side, side), padding=padding).clamp(0, 1)[..., :24, :20]
    torch.testing.assert_close(grow(mask, side), theirs)
