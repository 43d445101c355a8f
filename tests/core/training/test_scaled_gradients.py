"""float16 gradients: each objective's are scaled by a factor of its own, and where they overflow only its models wait."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.losses.autoencoder import adaptive_weight
from core.training.objective import Objective
from core.training.optimizers import AdamW
from core.training.recipe import Clip, Recipe
from core.training.trainer import Trainer

TOO_LARGE = 1e36
"""A gradient that is a float32, and is none any more times the first scale."""


class Weight(nn.Module):
    """One weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))


def turn(trainer: Trainer, factors: dict[str, float], clip: float = 0.0, lr: float = 0.1) -> None:
    """One step in which the gradient of each model's weights is its factor."""
    with torch.enable_grad():
        objectives = [
            Objective(
                (trainer.models[name].weight * factor).sum(),
                (trainer.models[name],),
                Recipe(AdamW(lr=lr), clip=Clip(norm=clip)),
                name,
            )
            for name, factor in factors.items()
        ]
    trainer.accumulate(objectives)
    trainer.step()


def two() -> Trainer:
    return Trainer({"a": Weight(), "b": Weight()}, ema=0.5, scaled=True)


def weights(trainer: Trainer) -> dict[str, float]:
    return {name: float(model.weight[0].detach()) for name, model in trainer.models.items()}


def test_an_overflow_in_one_objective_leaves_its_models_and_moves_the_others() -> None:
    trainer = two()
    turn(trainer, {"a": TOO_LARGE, "b": 1.0})
    assert weights(trainer)["a"] == 1.0
    assert weights(trainer)["b"] == pytest.approx(1 - 0.1, abs=2e-3)
    assert trainer.averages["a"].updates == 0
    assert trainer.averages["b"].updates == 1
    assert trainer.steps == 1, "the turn counts, for batches and learning rates go by turns"
    state = trainer.state_dict()
    assert [scaler["scale"] for scaler in state["scalers"]] == [2.0**15, 2.0**16]
    assert [len(optimizer["state"]) for optimizer in state["optimizers"]] == [0, 1], "a's optimizer made no step"
    assert trainer.report()["scale/a"] == 2.0**15


def test_scaled_gradients_step_and_clip_as_unscaled_ones_do() -> None:
    for clip in (0.0, 0.01):
        scaled, plain = two(), Trainer({"a": Weight(), "b": Weight()}, ema=0.5)
        for factor in (3.0, -1.0, 0.5):
            for trainer in (scaled, plain):
                turn(trainer, {"a": factor, "b": 1e-6 * factor}, clip=clip)
        assert weights(scaled) == weights(plain), "factors are powers of two, so nothing is rounded"


def test_a_model_of_two_objectives_moves_where_one_of_them_does() -> None:
    model = Weight()
    trainer = Trainer({"m": model}, ema=0.5, scaled=True)
    with torch.enable_grad():
        losses = [(model.weight * factor).sum() for factor in (TOO_LARGE, 1.0)]
    trainer.accumulate([Objective(loss, (model,), AdamW(lr=0.1), str(i)) for i, loss in enumerate(losses)])
    trainer.step()
    assert float(model.weight[0].detach()) < 1
    assert trainer.averages["m"].updates == 1


def test_scales_are_restored_and_a_checkpoint_without_them_loads() -> None:
    first = two()
    turn(first, {"a": TOO_LARGE, "b": 1.0})
    kept = first.state_dict()
    again = two()
    again.load_state_dict(kept)
    assert again.state_dict()["scalers"] == kept["scalers"], "before the first objectives tell what they train, too"
    for trainer in (first, again):
        turn(trainer, {"a": 1.0, "b": TOO_LARGE})
    assert first.state_dict()["scalers"] == again.state_dict()["scalers"]
    assert weights(first) == weights(again)

    older: dict[str, Any] = {key: value for key, value in kept.items() if key != "scalers"}
    for scaled in (False, True):
        trainer = Trainer({"a": Weight(), "b": Weight()}, ema=0.5, scaled=scaled)
        trainer.load_state_dict(older)
        turn(trainer, {"a": 1.0, "b": 1.0})
        assert trainer.steps == 2
    assert "scalers" not in Trainer({"a": Weight()}).state_dict()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_that_are_half_themselves_train_as_float32(dtype: torch.dtype) -> None:
    """Steps of a thousandth would be lost beside a weight of 1 in bfloat16, whose numbers lie a hundredth apart."""
    trained = []
    for model in (Weight(), Weight().to(dtype)):
        trainer = Trainer({"m": model}, ema=0.5)
        for _ in range(3):
            with torch.enable_grad():
                loss = model.weight.float().sum()
            trainer.accumulate([Objective(loss, (model,), AdamW(lr=1e-3))])
            trainer.step()
        trained.append((weights(trainer), {key: value.dtype for key, value in model.state_dict().items()}))
    assert trained[0] == trained[1]


def test_a_loss_that_is_no_number_ends_the_training_and_is_never_kept() -> None:
    trainer = Trainer({"a": Weight()})
    turn(trainer, {"a": float("nan")})
    with pytest.raises(FloatingPointError, match="the loss of objective 'a' became nan around step 1; lower its"):
        trainer.state_dict()
    with pytest.raises(FloatingPointError, match="the loss of objective 'a' became nan around step 1; lower its"):
        trainer.report()


@pytest.mark.parametrize("spoilt", ["model", "average", "moment"])
def test_weights_that_are_no_numbers_are_never_kept(spoilt: str) -> None:
    trainer = Trainer({"a": Weight()}, ema=0.5)
    turn(
        trainer, {"a": 1e25 if spoilt == "moment" else 1.0}
    )  # whose square is infinite: the weight would never move again
    with torch.no_grad():
        if spoilt != "moment":
            (trainer.models["a"] if spoilt == "model" else trainer.averages["a"].model).weight[1] = float("nan")
    named = {"model": "models a, weight", "average": "averages a, weight", "moment": "exp_avg_sq of parameter 0"}[
        spoilt
    ]
    with pytest.raises(FloatingPointError, match=f"weights are no numbers any more at step 1.*{named}"):
        trainer.state_dict()


class Net(nn.Module):
    """A generator's last layer, and a discriminator behind it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last = nn.Conv2d(4, 3, 3, padding=1)
        self.critic = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(), nn.Conv2d(4, 1, 3))

    def forward(self, x: Tensor, faint: float) -> tuple[Tensor, Tensor]:
        images = self.last(x).float()
        return (images - 1).abs().mean(), -(self.critic(images) * faint).float().mean()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("faint", [1.0, 1e-3])
def test_the_adaptive_weight_in_half_precision_is_that_of_float32(dtype: torch.dtype, faint: float) -> None:
    net = Net()
    x = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    wanted = adaptive_weight(*net(x, faint), net.last.weight)
    with torch.autocast("cpu", dtype, cache_enabled=False):
        found = adaptive_weight(*net(x, faint), net.last.weight)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(wanted), rel=0.05)
