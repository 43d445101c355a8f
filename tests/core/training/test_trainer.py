"""The trainer: whose gradients reach whom and when, what is averaged and reported, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from core.training.learning_rate import Linear
from core.training.objective import Objective
from core.training.optimizers import SGD
from core.training.recipe import Recipe
from core.training.trainer import Trainer

PLAIN = SGD(lr=0.1, momentum=0.0)


class Scale(nn.Module):
    """One weight, and a norm whose statistics move while it trains."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.unused = nn.Parameter(torch.tensor(5.0))
        self.norm = nn.BatchNorm1d(1, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        self.norm(torch.stack([x, x + 1]).view(2, 1))
        return self.weight * x


def weight(model: nn.Module) -> float:
    return float(model.get_parameter("weight").detach())


def test_two_objectives_take_all_gradients_before_any_weight_moves_and_reach_their_own_models_alone() -> None:
    g, d = Scale(0.5), Scale(0.7)
    trainer = Trainer({"g": g, "d": d})
    with torch.enable_grad():
        made = d(g(torch.tensor(2.0)))  # 0.7 · 0.5 · 2
        objectives = [Objective(-made, (g,), PLAIN, "g"), Objective(made**2, (d,), PLAIN, "d")]
    trainer.accumulate(objectives)
    trainer.step()
    assert weight(g) == pytest.approx(0.5 + 0.1 * 0.7 * 2)
    assert weight(d) == pytest.approx(0.7 - 0.1 * 2 * (0.7 * 0.5 * 2) * (0.5 * 2))
    assert float(g.unused.detach()) == 5.0
    assert trainer.report() == pytest.approx({"loss/g": -0.7, "loss/d": 0.49, "lr/g": 0.1, "lr/d": 0.1})


def test_parts_of_a_batch_make_the_step_of_the_whole() -> None:
    whole, parts = Scale(1.0), Scale(1.0)
    one, two = Trainer({"m": whole}), Trainer({"m": parts})
    xs = [torch.tensor(float(x)) for x in (1, 2, 3, 4)]
    for _ in range(3):
        with torch.enable_grad():
            loss = torch.stack([whole(x) ** 2 for x in xs]).mean()
        one.accumulate([Objective(loss, (whole,), PLAIN)])
        one.step()
        for x in xs:
            with torch.enable_grad():
                loss = parts(x) ** 2
            two.accumulate([Objective(loss, (parts,), PLAIN)], share=1 / len(xs))
        two.step()
    assert weight(whole) == pytest.approx(weight(parts), abs=1e-6)
    assert one.report()["loss/loss"] == pytest.approx(two.report()["loss/loss"], rel=1e-5)


def test_a_loss_without_gradient_leaves_its_models_and_the_rate_goes_by_turns() -> None:
    model = Scale(1.0)
    trainer = Trainer({"m": model}, ema=0.5)
    falling = Recipe(PLAIN, Linear(horizon=4))
    trainer.accumulate([Objective(torch.tensor(3.0), (model,), falling)])
    trainer.step()
    assert weight(model) == 1.0
    with torch.enable_grad():
        loss = model(torch.tensor(1.0))
    trainer.accumulate([Objective(loss, (model,), falling)])
    trainer.step()
    assert weight(model) == pytest.approx(1 - 0.1 * 3 / 4)
    assert trainer.averages["m"].updates == 2
    keep = 3 / 12
    assert weight(trainer.averaged["m"]) == pytest.approx(keep * 1.0 + (1 - keep) * weight(model))
    assert trainer.report()["loss/loss"] == pytest.approx((3.0 + 1.0) / 2)


def test_models_are_in_eval_mode_while_somebody_looks() -> None:
    trainer = Trainer({"m": Scale(1.0)})
    assert trainer.averaged["m"] is trainer.models["m"]
    assert trainer.models["m"].training
    with trainer.evaluating():
        assert not trainer.models["m"].training
    assert trainer.models["m"].training


def test_what_no_zone_carries_is_not_trained() -> None:
    with pytest.raises(ValueError, match="there is no objective"):
        Trainer({"m": Scale(1.0)}).accumulate([])
    other = Scale(1.0)
    with pytest.raises(ValueError, match="objective 'loss' trains a Scale that the zone does not carry"):
        Trainer({"m": Scale(1.0)}).accumulate([Objective(torch.tensor(1.0), (other,), PLAIN)])
