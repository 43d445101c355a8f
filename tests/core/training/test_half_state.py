"""Optimizers that keep their running means in bfloat16."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from core.training.half_state import rounded
from core.training.objective import Objective
from core.training.optimizers import SGD, AdamW, Lion
from core.training.trainer import Trainer

STEPS = 120
MADE: dict[str, Callable[[Any], Any]] = {
    "adamw": lambda state: AdamW(lr=3e-3, state=state),
    "sgd": lambda state: SGD(lr=1e-2, state=state),
    "lion": lambda state: Lion(lr=2e-3, state=state),
}


def optimizer(name: str, state: str) -> Any:
    if name == "lion":
        pytest.importorskip("pytorch_optimizer")
    return MADE[name](state)


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1))


def go_on(trainer: Trainer, kind: Any, begin: int, end: int) -> list[float]:
    """The losses of these steps: a regression on fresh samples."""
    told = []
    for step in range(begin, end):
        x = torch.randn(64, 8, generator=torch.Generator().manual_seed(step))
        with torch.enable_grad():
            loss = (trainer.models["net"](x) - x[:, :4].prod(1, keepdim=True).tanh() - x.sum(1, keepdim=True)).square()
            trainer.accumulate([Objective(loss.mean(), (trainer.models["net"],), kind)], last=True)
        trainer.step()
        told.append(trainer.report()["loss/loss"])
    return told


def test_rounding_keeps_the_mean_and_what_bfloat16_has() -> None:
    drawn = torch.Generator().manual_seed(0)
    value = torch.full((100_000,), 1 + 2**-10)  # an eighth of the way from one neighbour to the next
    found = rounded(value, drawn).float()
    assert set(found.tolist()) == {1.0, 1 + 2**-7}
    assert float((found > 1).float().mean()) == pytest.approx(1 / 8, abs=0.01)
    had = torch.tensor([0.0, -1.5, 3e38, 1e-30, float("inf"), -float("inf")]).bfloat16()
    assert torch.equal(rounded(had.float(), drawn), had)
    assert rounded(torch.tensor([float("nan")]), drawn).isnan().all()


def test_a_running_square_moves_where_the_nearest_number_would_stand_still() -> None:
    weight = nn.Parameter(torch.zeros(1000))
    built = AdamW(lr=0.0, weight_decay=0.0, state="bfloat16").build([{"params": [("weight", weight)]}])
    for _ in range(3000):
        weight.grad = torch.ones(1000)
        built.step()
    square = built.state[weight]["exp_avg_sq"]
    assert square.dtype == torch.bfloat16
    assert float(square.float().mean()) == pytest.approx(1 - 0.999**3000, rel=0.02)  # to the nearest it ends at 0.26


@pytest.mark.parametrize("name", MADE)
def test_the_losses_are_those_of_float32_within_five_percent(name: str) -> None:
    found = {}
    for state in ("float32", "bfloat16"):
        trainer, kind = Trainer({"net": network()}), optimizer(name, state)
        found[state] = torch.tensor(go_on(trainer, kind, 0, STEPS))
        sizes = {each.dtype for each in trainer.held()["optimizer"] if each.dim()}
        assert sizes == {getattr(torch, state)}
    assert not torch.equal(found["float32"], found["bfloat16"])
    late = slice(STEPS // 2, None)
    assert float(found["float32"][late].mean()) < 0.5 * float(found["float32"][0]), "it trains"
    assert float(found["bfloat16"][late].mean()) == pytest.approx(float(found["float32"][late].mean()), rel=0.05)


@pytest.mark.parametrize("name", MADE)
def test_a_training_goes_on_to_the_same_bits_and_from_either_kind_of_state(name: str) -> None:
    trainer, kind = Trainer({"net": network()}), optimizer(name, "bfloat16")
    go_on(trainer, kind, 0, 5)
    state = copy.deepcopy(trainer.state_dict())
    straight = go_on(trainer, kind, 5, 10)
    again = Trainer({"net": network()})
    again.load_state_dict(copy.deepcopy(state))
    assert go_on(again, kind, 5, 10) == straight
    assert all(torch.equal(a, b) for a, b in zip(trainer.held()["optimizer"], again.held()["optimizer"], strict=True))
    whole = Trainer({"net": network()})
    whole.load_state_dict(copy.deepcopy(state))
    go_on(whole, optimizer(name, "float32"), 5, 6)
    assert {each.dtype for each in whole.held()["optimizer"]} == {torch.float32}
