"""The best models of a training so far: what counts as better, and what is kept."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from core.training.best import Best, Measurement
from core.training.trainer import Trainer


@pytest.mark.parametrize(
    ("value", "best", "mode", "min_delta", "better"),
    [
        (0.9, 1.0, "min", 0.0, True),
        (1.0, 1.0, "min", 0.0, False),
        (0.9, 1.0, "min", 0.2, False),
        (1.1, 1.0, "max", 0.0, True),
        (1.1, 1.0, "max", 0.2, False),
        (math.nan, 1.0, "min", 0.0, False),
        (5.0, math.nan, "min", 0.0, True),
        (math.inf, 1.0, "max", 0.0, True),
    ],
)
def test_what_is_better(value: float, best: float, mode: str, min_delta: float, better: bool) -> None:
    assert Measurement(value, mode, min_delta).beats(best) == better  # type: ignore[arg-type]


def moved(model: nn.Linear, by: float) -> None:
    with torch.no_grad():
        model.weight.add_(by)


def test_the_best_weights_stay_whatever_trains_on() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    trainer = Trainer({"m": model})
    best = Best(trainer)
    assert best.state_dict() == {}
    for step, (value, waited, over) in enumerate([(3, 0, False), (1, 0, False), (2, 1, False), (2, 2, True)], start=1):
        moved(model, 1.0)
        trainer.steps = step
        best.measured(Measurement(value, patience=2))
        assert (best.waited, best.over) == (waited, over)
    assert (best.value, best.step) == (1, 2)
    other = Best(trainer)
    other.load_state_dict(best.state_dict())
    assert other.state_dict() == best.state_dict()
    trainer.finish(other.kept)
    assert float(model.weight.detach()) == 2.0
    other.anew()
    assert not other.over
    assert other.kept is None


def test_a_metric_that_is_no_number_is_kept_as_json_and_beaten_by_any() -> None:
    trainer = Trainer({"m": nn.Linear(1, 1)})
    best = Best(trainer)
    best.measured(Measurement(math.nan, patience=5))
    state = best.state_dict()
    assert json.loads(json.dumps(state["value"], allow_nan=False)) is None
    best.load_state_dict(state)
    best.measured(Measurement(7.0, patience=5))
    assert best.value == 7.0
