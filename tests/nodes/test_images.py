"""The nodes of images, and those of plain values, called as the functions that they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from nodes import images, spatial, values

CPU = torch.device("cpu")


@pytest.fixture
def photo(tmp_path: Path) -> str:
    picture = Image.new("RGB", (8, 4), "white")
    picture.paste("black", (0, 0, 4, 4))
    picture.save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def test_a_picture_in_its_own_size_and_in_another(photo: str) -> None:
    own = images.load_image(photo, CPU)
    assert own.shape == (1, 3, 4, 8)
    assert (float(own.min()), float(own.max())) == (-1, 1)
    assert images.load_image(photo, CPU, height=4, width=4).shape == (1, 3, 4, 4)
    with pytest.raises(ValueError, match="give both height and width, or neither"):
        images.load_image(photo, CPU, height=4)


def test_a_grid_is_about_square_unless_told_otherwise() -> None:
    batch = torch.zeros(6, 3, 4, 4)
    square, row = images.image_grid(batch), images.image_grid(batch, columns=6)
    assert square.shape[2] < row.shape[3]
    assert row.shape[2] < square.shape[2]
    tall = images.image_grid(batch, captions=list("abcdef"))
    assert tall.shape[2] > square.shape[2]
    with pytest.raises(ValueError, match="2 captions for 6 images"):
        images.image_grid(batch, captions=["a", "b"])


def test_tiles_lie_row_by_row() -> None:
    batch = torch.stack([torch.full((3, 2, 2), value) for value in (-1.0, -0.5, 0.0, 0.5)])
    grid = images.image_grid(batch, columns=2)[0, 0]
    dark = [value for value in grid.flatten().tolist() if value < 1]
    assert [dark[0], dark[2], dark[-4], dark[-1]] == [-1.0, -0.5, 0.0, 0.5]


def test_enlarged_pixels_are_squares_or_smooth() -> None:
    batch = torch.tensor([[-1.0, 1.0]]).expand(1, 3, 1, 2)
    assert images.upscale(batch, 2)[0, 0].tolist() == [[-1, -1, 1, 1]] * 2
    smooth = images.upscale(batch, 2, "bicubic")
    assert smooth.shape == (1, 3, 2, 4)
    assert smooth.abs().max() <= 1


def test_batches_side_by_side_are_rows_of_at_most_so_many() -> None:
    picture = images.side_by_side([torch.zeros(5, 3, 4, 4), torch.ones(5, 3, 4, 4)], limit=3)
    assert picture.shape == images.image_grid(torch.zeros(6, 3, 4, 4), columns=3).shape


def test_plain_values_are_passed_on() -> None:
    assert values.integers([1, 2]) == [1, 2]
    assert values.numbers([0.5]) == [0.5]
    assert values.texts(["a", ""]) == ["a", ""]


def test_a_mask_meets_another_aspect_ratio_as_its_picture_does(photo: str) -> None:
    for fit in ("crop", "pad", "stretch"):
        picture = images.load_image(photo, CPU, height=4, width=4, fit=fit)[0, 0]
        mask = spatial.load_mask_image(photo, CPU, height=4, width=4, fit=fit)[0, 0]
        assert torch.equal(mask, (picture >= 0).float()), fit
