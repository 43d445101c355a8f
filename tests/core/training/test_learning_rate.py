"""Schedules of the learning rate against PyTorch's own schedulers, and against their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from core.training.learning_rate import (
    Constant,
    Cosine,
    InverseSquareRoot,
    LearningRate,
    Linear,
    OneCycle,
    StepDecay,
    WarmRestarts,
    by_name,
)

PEAK, STEPS = 0.3, 60


def theirs(make: Callable[[torch.optim.Optimizer], Any]) -> list[float]:
    """The rates of a scheduler of PyTorch's, step by step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK, momentum=0.9)
    scheduler = make(optimizer)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(STEPS - 1):
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@pytest.mark.parametrize(
    ("ours", "make"),
    [
        (Constant(), lambda o: lr_scheduler.ConstantLR(o, factor=1)),
        (
            Cosine(horizon=STEPS, final=0.1),
            lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.1 * PEAK),
        ),
        (
            Linear(horizon=40, final=0.2),
            lambda o: lr_scheduler.LinearLR(o, start_factor=1, end_factor=0.2, total_iters=40),
        ),
        (
            InverseSquareRoot(start=10),
            lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 / math.sqrt(max((step + 1) / 10, 1))),
        ),
        (
            OneCycle(horizon=STEPS - 1, warmup=18),
            lambda o: lr_scheduler.OneCycleLR(o, PEAK, total_steps=STEPS, pct_start=18 / STEPS),
        ),
        (
            WarmRestarts(period=7, growth=2, final=0.05),
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 7, 2, eta_min=0.05 * PEAK),
        ),
        (WarmRestarts(period=9), lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 9)),
        (StepDecay(every=13, gamma=0.5), lambda o: lr_scheduler.StepLR(o, 13, 0.5)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_schedules_are_pytorchs(ours: LearningRate, make: Callable[[torch.optim.Optimizer], Any]) -> None:
    wanted = theirs(make)
    assert [ours.lr_at(step, PEAK) for step in range(STEPS)] == pytest.approx(wanted, rel=1e-9, abs=1e-12)


EVERY: list[LearningRate] = [
    Constant(warmup=5),
    Cosine(warmup=5, horizon=30),
    Linear(warmup=5, horizon=30),
    InverseSquareRoot(warmup=5),
    WarmRestarts(warmup=5, period=4),
    StepDecay(warmup=5, every=100),
]


@pytest.mark.parametrize("schedule", EVERY, ids=lambda value: type(value).__name__)
def test_each_rises_to_its_peak_in_the_steps_of_its_warm_up(schedule: LearningRate) -> None:
    assert [schedule.lr_at(step, PEAK) for step in range(5)] == pytest.approx([PEAK * k / 5 for k in (1, 2, 3, 4, 5)])
    assert schedule.lr_at(5, PEAK) == pytest.approx(PEAK, rel=0.1), "and goes on from there"
    assert schedule.lr_at(7, 2 * PEAK) == pytest.approx(2 * schedule.lr_at(7, PEAK))


def test_the_inverse_root_is_that_of_vaswani_and_others() -> None:
    schedule = InverseSquareRoot(warmup=8)
    wanted = [min((s + 1) ** -0.5, (s + 1) * 8**-1.5) * math.sqrt(8) for s in range(40)]
    assert [schedule.lr_at(step, 1.0) for step in range(40)] == pytest.approx(wanted)


def test_after_its_horizon_a_rate_stays() -> None:
    for schedule in (
        Cosine(horizon=10, final=0.1),
        Linear(horizon=10, final=0.1),
        OneCycle(horizon=10, warmup=2, final=0.1),
    ):
        assert [schedule.lr_at(step, 1.0) for step in (10, 11, 10**9)] == pytest.approx([0.1] * 3)


def test_schedules_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a cosine decay needs a horizon .* beyond the 5 steps of warm-up, not 5"):
        by_name("cosine", warmup=5, horizon=5, final=0)
    with pytest.raises(ValueError, match="a linear decay needs a horizon"):
        Linear(horizon=0)
    with pytest.raises(ValueError, match="warmup must be 1 step or more"):
        OneCycle(horizon=5, warmup=0)
    with pytest.raises(ValueError, match="a one-cycle decay needs a horizon"):
        OneCycle(horizon=5, warmup=5)
    with pytest.raises(ValueError, match="period and growth"):
        WarmRestarts(period=0)
    with pytest.raises(ValueError, match="every must be"):
        StepDecay(every=0)


def test_by_name_is_what_version_0_1_computed() -> None:
    """To the bit: the order of the multiplications counts."""
    lr, warmup, horizon, final = 3e-4, 7, 50, 0.03
    for decay in ("constant", "cosine", "linear"):
        schedule = by_name(decay, warmup, horizon, final)
        for step in range(60):
            if step < warmup:
                wanted = lr * (step + 1) / warmup
            elif decay == "constant":
                wanted = lr
            else:
                passed = min(1.0, (step - warmup) / (horizon - warmup))
                share = (1 + math.cos(math.pi * passed)) / 2 if decay == "cosine" else 1 - passed
                wanted = lr * (final + (1 - final) * share)
            assert schedule.lr_at(step, lr) == wanted
