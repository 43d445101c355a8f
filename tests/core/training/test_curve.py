"""The curve of a training: what went in, in a bounded number of points, the same whether it went through or went on."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from core.training.curve import MOST, LossCurve
from tests.effort import cases

RNG = np.random.default_rng(0)


def curve_of(losses: np.ndarray[Any, Any], curve: LossCurve | None = None) -> LossCurve:
    curve = curve or LossCurve(lambda tensors: tensors)
    for a, b in losses:
        curve.add("a", torch.tensor(a))
        curve.add("b", torch.tensor(b))
        curve.stepped()
    return curve


@pytest.mark.parametrize("steps", [0, 1, 2, 7, MOST - 1, MOST, MOST + 1, 2 * MOST + 3, 5 * MOST])
def test_points_are_means_over_equal_intervals(steps: int) -> None:
    losses = RNG.normal(size=(steps, 2))
    table = curve_of(losses).table()
    if steps == 0:
        assert len(table) == 0
        return
    ends = [int(step) for step in table.numbers("step")]
    assert ends[-1] == steps
    assert len(ends) <= MOST
    assert len({*np.diff([0, *ends[:-1]]).tolist()}) <= 1, "equal intervals, but for the last"
    for i, name in enumerate(("loss/a", "loss/b")):
        wanted = [losses[begin:end, i].mean() for begin, end in zip([0, *ends], ends, strict=False)]
        assert table.numbers(name) == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_one_that_goes_on_is_the_one_that_went_through_to_the_bit() -> None:
    for _ in range(cases(5, 100)):
        steps = int(RNG.integers(2, 2 * MOST))
        cut = int(RNG.integers(0, steps))
        losses = RNG.normal(size=(steps, 2))
        state = curve_of(losses[:cut]).state_dict()
        resumed = LossCurve(lambda tensors: tensors)
        resumed.load_state_dict(state)
        assert curve_of(losses[cut:], resumed).table() == curve_of(losses).table()
        json.dumps({key: value for key, value in state.items() if not isinstance(value, torch.Tensor)})


def test_parts_of_a_step_and_processes_are_averaged() -> None:
    curve = LossCurve(lambda tensors: [tensor + 1 for tensor in tensors])
    curve.add("a", torch.tensor(1.0))
    curve.add("a", torch.tensor(3.0))
    curve.stepped()
    assert list(curve.table().rows()) == [(1, 3.0)]


def test_losses_that_nobody_wrote_down_are_no_points() -> None:
    curve = LossCurve(lambda tensors: tensors)
    curve.begin_after(500)
    assert list(curve_of(np.ones((2, 2)), curve).table().columns["step"]) == [501, 502]
