"""Grids by labels: each image stands where its labels say."""

from __future__ import annotations

import pytest
import torch

from core.labelled_grid import labelled_grid


def cell(value: float, count: int = 1, side: int = 96) -> torch.Tensor:
    return torch.full((count, 3, side, side), value)


def test_cells_stand_by_their_labels_and_missing_ones_are_white() -> None:
    values = {("a", "1"): -1.0, ("a", "2"): -0.5, ("b", "2"): 0.0}
    places = [("a", "2"), ("b", "2"), ("a", "1")]
    sheet = labelled_grid([cell(values[place]) for place in places], [p[1] for p in places], [p[0] for p in places])
    right, bottom = sheet.shape[2] - 50, sheet.shape[1] - 50
    seen = [
        [float(sheet[0, bottom - 100 * (1 - row), right - 100 * (1 - column)]) for column in (0, 1)] for row in (0, 1)
    ]
    assert seen == [[-0.5, -1.0], [0.0, 1.0]], "columns in the order in which labels come: 2, 1"


def test_labels_are_written_and_none_take_no_room() -> None:
    plain = labelled_grid([cell(1), cell(1)], ["a", "b"], ["x", "x"])
    other = labelled_grid([cell(1), cell(1)], ["a", "c"], ["x", "x"])
    assert plain.shape == other.shape
    assert not torch.equal(plain, other)
    assert labelled_grid([cell(1), cell(1)], ["a", "b"], ["", ""]).shape[2] == 2 * 100 + 4


def test_without_rows_cells_stand_about_square_with_their_labels_beneath() -> None:
    sheet = labelled_grid([cell(value) for value in (-1.0, -0.5, 0.0, 0.5)], ["1", "2", "3", "3"])
    assert sheet.shape[2] == 2 * 98 + 2
    assert sheet[0, 50, 50] == -1
    assert sheet[0, -60, -50] == 0.5


def test_small_cells_are_enlarged_and_batches_tiled() -> None:
    assert labelled_grid([cell(0, side=8)], ["a"], [""]).shape[2] == 96 + 8
    assert labelled_grid([cell(0, 4, side=48)], ["a"], [""]).shape[2] == 96 + 8
    assert labelled_grid([cell(0, side=8)], ["a"], [""], zoom=2).shape[2] == 16 + 8


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(ValueError, match="two cells are labelled 'a' and '1'; label them apart"):
        labelled_grid([cell(0), cell(0)], ["1", "1"], ["a", "a"])
    with pytest.raises(ValueError, match="2 cells, 1 labels of columns and 2 of rows"):
        labelled_grid([cell(0), cell(0)], ["1"], ["a", "a"])
    with pytest.raises(ValueError, match="differ in size"):
        labelled_grid([cell(0), cell(0, side=8)], ["a", "a"], ["1", "2"])
    with pytest.raises(FloatingPointError):
        labelled_grid([cell(float("nan"))], ["a"], ["1"])
