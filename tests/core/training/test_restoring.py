"""A trainer that takes over the state of one with other settings: what was changed counts, all else is as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from core.training.objective import Objective
from core.training.optimizers import SGD, AdamW
from core.training.recipe import Group, Recipe
from core.training.trainer import Trainer


def model(width: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, width), nn.Linear(width, 1))


def adam(lr: float = 0.01, weight_decay: float = 0.1, beta1: float = 0.9) -> AdamW:
    return AdamW(lr, beta1, 0.999, 1e-8, weight_decay)


def trained(
    optimizer: Any, steps: int, state: dict[str, Any] | None = None, names: Sequence[str] = ("loss",)
) -> Trainer:
    net = model()
    trainer = Trainer({"net": net})
    if state is not None:
        trainer.load_state_dict(state)
    for _ in range(steps):
        loss = net(torch.ones(3, 2)).square().mean()
        trainer.accumulate([Objective(loss, (net,), optimizer, name) for name in names])
        trainer.step()
    return trainer


def group(trainer: Trainer) -> dict[str, Any]:
    return dict(trainer._optimizers[0].param_groups[0])


def test_equal_settings_go_on_to_the_same_bits() -> None:
    whole = trained(adam(), 6).state_dict()
    again = trained(adam(), 3, trained(adam(), 3).state_dict()).state_dict()
    for key, tensor in whole["models"]["net"].items():
        assert torch.equal(tensor, again["models"]["net"][key])


def test_changed_settings_count_and_moments_stay() -> None:
    before = trained(adam(), 3)
    state = before.state_dict()
    moments = {i: each["exp_avg_sq"].clone() for i, each in state["optimizers"][0]["state"].items()}
    after = trained(adam(weight_decay=0.5, beta1=0.8), 0, state)
    after.accumulate(
        [
            Objective(
                after.models["net"](torch.ones(3, 2)).mean(), (after.models["net"],), adam(weight_decay=0.5, beta1=0.8)
            )
        ]
    )
    assert group(after)["weight_decay"] == 0.5
    assert group(after)["betas"] == (0.8, 0.999)
    now = after._optimizers[0].state_dict()["state"]
    assert all(torch.equal(now[i]["exp_avg_sq"], moments[i]) for i in moments)
    assert all(float(each["step"]) == 3 for each in now.values())


def test_numbers_that_move_in_a_group_are_restored_beside_changed_settings() -> None:
    state = trained(adam(), 3).state_dict()
    state["optimizers"][0]["param_groups"][0]["eps"] = 7.0  # as Prodigy changes its step size while it trains
    after = trained(adam(weight_decay=0.5), 1, state)
    assert group(after)["eps"] == 7.0
    assert group(after)["weight_decay"] == 0.5


def test_moments_follow_their_parameters_into_groups_that_are_cut_otherwise() -> None:
    state = trained(adam(), 3).state_dict()
    cut = Recipe(adam(), groups=(Group(("*.1.*",), settings={"weight_decay": 0.0}),))
    after = trained(cut, 1, state)
    (first, second) = after._optimizers[0].param_groups
    assert (first["weight_decay"], second["weight_decay"]) == (0.1, 0.0)
    assert [p.shape for p in second["params"]] == [(1, 2), (1,)]
    for each in (first, second):
        for parameter in each["params"]:
            kept = after._optimizers[0].state[parameter]
            assert float(kept["step"]) == 4
            assert kept["exp_avg"].shape == parameter.shape


def test_a_state_of_an_earlier_version_is_restored_whole() -> None:
    state = trained(adam(), 3).state_dict()
    del state["made_with"], state["objectives"]
    assert group(trained(adam(weight_decay=0.5), 1, state))["weight_decay"] == 0.1


def test_other_weights_are_refused_by_name() -> None:
    state = trained(adam(), 1).state_dict()
    with pytest.raises(ValueError, match=r"its model 'net' is another: 0\.weight is 2×2 there, and 5×2 here"):
        Trainer({"net": model(5)}).load_state_dict(state)
    with pytest.raises(ValueError, match="it trained the models 'net', and here they are 'critic' and 'net'"):
        Trainer({"net": model(), "critic": model()}).load_state_dict(state)
    with pytest.raises(ValueError, match=r"0\.bias is 2 there, and absent here"):
        Trainer({"net": nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1))}).load_state_dict(state)


def test_other_objectives_and_optimizers_are_refused_by_name() -> None:
    state = trained(adam(), 1).state_dict()
    with pytest.raises(ValueError, match="was trained by the objectives loss, and here they are loss, more"):
        trained(adam(), 1, state, names=("loss", "more"))
    with pytest.raises(ValueError, match="objective 'loss' was trained by AdamW, and here by SGD"):
        trained(SGD(lr=0.1, momentum=0.0), 1, state)
