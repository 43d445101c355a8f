from __future__ import annotations

import pytest
import torch

from graph_runner.base.telling import LONGEST, in_a_line


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3, "3"),
        ("text", "text"),
        (None, "None"),
        (torch.tensor(1.5), "1.5"),
        (torch.tensor(0.1), "0.1"),
        (torch.tensor(7), "7"),
        (torch.tensor([1.0, 2.25]), "[1, 2.25]"),
        (torch.tensor([[True, False]]), "[[True, False]]"),
        (torch.zeros(0, 4), "float32 0×4"),
        (torch.zeros(4, 3, 32, 32), "float32 4×3×32×32, mean 0, std 0, from 0 to 0"),
        (torch.ones(100, dtype=torch.int64), "int64 100, mean 1, std 0, from 1 to 1"),
        (torch.nn.Linear(30, 40), "Linear, 1,240 parameters"),
        ([torch.tensor(2), torch.tensor(3)], "[2, 3]"),
        ([1, "two"], "[1, 'two']"),
        ((), "[]"),
        ({"a": 1, "b": [2]}, "{a: 1, b: [2]}"),
        (list(range(20)), "[0, 1, 2, 3, 4, 5, 6, 7, … (20 in all)]"),
        ([torch.zeros(3, 64)] * 5, "5 × float32 3×64, mean 0, std 0, from 0 to 0"),
        ({"unet": torch.nn.Linear(3, 2)}, "1 × unet: Linear, 8 parameters"),
    ],
)
def test_values_are_told_in_a_line(value: object, said: str) -> None:
    assert in_a_line(value) == said


def test_a_line_has_an_end() -> None:
    assert len(in_a_line("x" * 10_000)) == LONGEST
    assert len(in_a_line(["x" * 10_000] * 100)) < 10 * LONGEST
