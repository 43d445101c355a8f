"""Each optimizer: the steps are the library's own, a state goes on to the bit, and looking at a model changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.training import optimizers
from core.training.learning_rate import Cosine
from core.training.muon import Muon, MuonAndAdamW
from core.training.objective import Objective
from core.training.optimizers import FACTOR, Groups
from core.training.recipe import Clip, Group, Recipe
from core.training.trainer import Trainer
from graph_runner.context import Processes
from graph_runner.store.folders import load_tree, save_tree
from tests.core.training.replay import OPTIMIZERS, Make, Net, every, gradients, loss_of, missing, replay, same, step
from tests.world import in_two

STEPS = 6


def the_library(name: str, model: nn.Module) -> torch.optim.Optimizer:
    """What each value stands for, as its library's documentation makes it."""
    weights = list(model.parameters())
    if name == "adamw":
        return torch.optim.AdamW(weights, lr=1e-2, weight_decay=0.01)
    if name == "sgd":
        return torch.optim.SGD(weights, lr=1e-2, momentum=0.9, nesterov=True)
    if name == "adafactor":
        return torch.optim.Adafactor(weights)
    if name == "adam_8bit":
        import bitsandbytes

        return bitsandbytes.optim.AdamW8bit(weights, lr=1e-2)
    import pytorch_optimizer

    if name == "lion":
        return pytorch_optimizer.Lion(weights, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    if name == "prodigy":
        return pytorch_optimizer.Prodigy(weights, d0=1e-3)
    return pytorch_optimizer.ScheduleFreeAdamW(weights, lr=1e-2)


@every("muon")
def test_steps_are_the_librarys_own(make: Make, request: pytest.FixtureRequest) -> None:
    trainer, theirs = Trainer({"net": Net()}), Net()
    for _ in range(STEPS):
        step(trainer, make())
    library = the_library(request.node.callspec.id, theirs)
    replay(theirs, library, STEPS)
    assert same(dict(trainer.models["net"].state_dict()), dict(theirs.state_dict()))
    assert not same(dict(theirs.state_dict()), dict(Net().state_dict()))


def test_muon_steps_matrices_and_flattened_kernels_and_adamw_all_else() -> None:
    trainer, theirs = Trainer({"net": Net()}), Net()
    recipe = Recipe(Muon(lr=1e-2), groups=(Group(("Embedding.weight", "*.out.*"), settings={"muon": False}),))
    for _ in range(STEPS):
        step(trainer, recipe)

    kernels = {"conv_in.weight", "in_layers.2.weight", "attn2.to_q.weight"}
    flat = {name: nn.Parameter(p.detach().flatten(1)) for name, p in theirs.named_parameters() if name in kernels}
    rest = [p for name, p in theirs.named_parameters() if name not in kernels]
    muon = torch.optim.Muon(
        flat.values(), lr=1e-2, weight_decay=0.01, momentum=0.95, nesterov=True, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(rest, lr=1e-2, weight_decay=0.01)
    for n in range(STEPS):
        loss = loss_of(theirs, n)
        for (name, p), gradient in zip(
            theirs.named_parameters(), torch.autograd.grad(loss, list(theirs.parameters())), strict=True
        ):
            if name in flat:
                flat[name].grad = gradient.flatten(1)
            else:
                p.grad = gradient
        muon.step()
        adamw.step()
        with torch.no_grad():
            for name, p in theirs.named_parameters():
                if name in flat:
                    p.copy_(flat[name].view_as(p))
    assert same(dict(trainer.models["net"].state_dict()), dict(theirs.state_dict()))
    built = trainer._optimizers[0]
    assert isinstance(built, MuonAndAdamW)
    moments = [set(moments) for moments in built.state_dict()["state"].values()]
    assert moments.count({"momentum_buffer"}) == len(kernels)
    assert all(kinds == {"momentum_buffer"} or "exp_avg_sq" in kinds for kinds in moments)


@every()
def test_a_state_that_went_through_the_disk_goes_on_to_the_bit_whoever_looked_on(make: Make, tmp_path: Path) -> None:
    """With a schedule, groups and clipping; one of the trainings is looked at after each step, as previews do."""
    recipe = Recipe(
        make(),
        Cosine(horizon=20, warmup=2),
        (Group(("*.bias", "*Norm.*"), settings={"weight_decay": 0.0}),),
        clip=Clip(norm=3.0, value=2.0),
    )
    whole = Trainer({"net": Net()})
    for _ in range(2 * STEPS):
        step(whole, recipe)
    first = Trainer({"net": Net()})
    for n in range(STEPS):
        step(first, recipe)
        with first.evaluating():
            pass
        save_tree(tmp_path / f"{n}", first.state_dict())
    second = Trainer({"net": Net()})
    second.load_state_dict(load_tree(tmp_path / f"{STEPS - 1}"))
    assert second.state_dict()["steps"] == STEPS
    for _ in range(STEPS):
        step(second, recipe)
    assert same(whole.state_dict(), second.state_dict())
    for trainer in (whole, second):
        trainer.finish()
    assert same(dict(whole.models["net"].state_dict()), dict(second.models["net"].state_dict()))


@every()
def test_scaled_gradients_make_the_same_steps(make: Make) -> None:
    """Scales are powers of two, so nothing is rounded; an overflow makes none."""
    plain, scaled = Trainer({"net": Net()}), Trainer({"net": Net()}, scaled=True)
    for trainer in (plain, scaled):
        for _ in range(STEPS):
            step(trainer, make())
    assert same(dict(plain.models["net"].state_dict()), dict(scaled.models["net"].state_dict()))
    before = copy.deepcopy(scaled.state_dict())
    scaled._scalers[0].load_state_dict(scaled._scalers[0].state_dict() | {"scale": 2.0**127})
    step(scaled, make())
    after = scaled.state_dict()
    assert same(before["models"], after["models"])
    assert same(before["optimizers"][0]["state"], after["optimizers"][0]["state"])


def trained_by_parts(processes: Any) -> dict[str, dict[str, torch.Tensor]]:
    """Each optimizer's weights where every process has gradients of its own, whose mean is the same for any number."""
    found = {}
    for name, make in OPTIMIZERS.items():
        if missing(name):
            continue
        net = Net()
        trainer = Trainer({"net": net}, mean=processes.mean, begin=processes.begin_mean)
        for n in range(STEPS):
            part = 1.0 if processes.world == 1 else (2.0, 0.0)[processes.rank]  # so that their mean is not rounded
            trainer.accumulate([Objective(loss_of(net, n, part), (net,), make())])
            trainer.step()
        trainer.finish()
        found[name] = dict(net.state_dict())
    return found


def test_two_processes_step_as_one_does(tmp_path: Path) -> None:
    alone = trained_by_parts(Processes())
    first, second = in_two("tests.core.training.test_optimizers:trained_by_parts", tmp_path)
    assert same(first, second)
    assert same(first, alone)


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(missing(name)), reason=f"needs {missing(name)}")


@needs("schedule_free_adamw")
def test_what_looks_at_a_schedule_free_training_sees_the_average_of_the_paper() -> None:
    """Defazio et al. 2024, algorithm 1: y = (1 − β₁) z + β₁ x is trained at, and x, the mean of z by lr², is the model."""
    optimizer = optimizers.ScheduleFreeAdamW(lr=1e-2, beta1=0.8, beta2=0.9, weight_decay=0.1)
    net = Net().double()
    trainer = Trainer({"net": net})
    names = [name for name, _ in net.named_parameters()]
    x = [p.detach().clone() for p in net.parameters()]
    z, v, weights = [p.clone() for p in x], [torch.zeros_like(p) for p in x], 0.0
    for n in range(STEPS):
        y = [0.2 * a + 0.8 * b for a, b in zip(z, x, strict=True)]
        for p, wanted in zip(net.parameters(), y, strict=True):
            torch.testing.assert_close(p.detach(), wanted)
        step(trainer, optimizer)
        weights += optimizer.lr**2
        for i, gradient in enumerate(gradients(net, n)):
            v[i] = 0.9 * v[i] + 0.1 * gradient**2
            update = gradient / ((v[i] / (1 - 0.9 ** (n + 1))).sqrt() + 1e-8)
            z[i] = z[i] - optimizer.lr * (update + 0.1 * y[i])
            x[i] = x[i] + (z[i] - x[i]) * (optimizer.lr**2 / weights)
        with trainer.evaluating():
            assert not net.training
            for p, wanted in zip(net.parameters(), x, strict=True):
                torch.testing.assert_close(p.detach(), wanted)
        assert net.training
        state = trainer.state_dict()
        for name, wanted in zip(names, x, strict=True):
            torch.testing.assert_close(state["models"]["net"][name], wanted)
    restored = Trainer({"net": Net().double()})
    restored.load_state_dict(trainer.state_dict())
    for done in (trainer, restored):
        done.finish()
        for p, wanted in zip(done.models["net"].parameters(), x, strict=True):
            torch.testing.assert_close(p.detach(), wanted)


@needs("schedule_free_adamw")
def test_an_optimizer_that_averages_by_itself_is_averaged_by_nobody_else() -> None:
    free = optimizers.ScheduleFreeAdamW()
    with pytest.raises(ValueError, match="'loss': ScheduleFreeAdamW averages the weights by itself; set ema to 0"):
        step(Trainer({"net": Net()}, ema=0.9), free)
    net = Net()
    trainer = Trainer({"net": net})
    both = [
        Objective(loss_of(net, 0), (net,), free, "a"),
        Objective(loss_of(net, 1), (net,), optimizers.AdamW(), "b"),
    ]
    with pytest.raises(ValueError, match=r"'a': ScheduleFreeAdamW .* let no other objective train its models"):
        trainer.accumulate(both)


@needs("prodigy")
def test_prodigy_tells_its_step_size_and_has_one_for_all_groups() -> None:
    trainer = Trainer({"net": Net()})
    step(trainer, optimizers.Prodigy(d0=1e-3))
    assert trainer.report()["d/loss"] >= 1e-3, "what it finds is a curve"
    groups: Groups = [{"params": []}, {"params": [], FACTOR: 2.0}]
    with pytest.raises(ValueError, match="one step size for all parameters"):
        optimizers.Prodigy().build(groups)


def test_a_library_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found: Callable[..., Any] = util.find_spec
    absent = ("bitsandbytes", "pytorch_optimizer")
    monkeypatch.setattr("core.training.optimizers.find_spec", lambda name: None if name in absent else found(name))
    for value, package in [
        (optimizers.Lion, "pytorch-optimizer"),
        (optimizers.Prodigy, "pytorch-optimizer"),
        (optimizers.ScheduleFreeAdamW, "pytorch-optimizer"),
        (optimizers.Adam8bit, "bitsandbytes"),
    ]:
        with pytest.raises(ValueError, match=f"needs the package {package}, which is not installed"):
            value()
    optimizers.AdamW()


def test_nesterov_without_momentum_is_refused() -> None:
    with pytest.raises(ValueError, match="nesterov needs a momentum"):
        optimizers.SGD(momentum=0, nesterov=True)


@dataclass(frozen=True)
class Strangers:
    """An optimizer of another package: it has `build`, and no more."""

    def build(self, groups: Groups) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(groups, lr=3e-3)


def test_any_value_with_a_build_is_an_optimizer() -> None:
    trainer, theirs = Trainer({"net": Net()}), Net()
    for _ in range(STEPS):
        step(trainer, Strangers())
    replay(theirs, torch.optim.RMSprop(theirs.parameters(), lr=3e-3), STEPS)
    assert same(dict(trainer.models["net"].state_dict()), dict(theirs.state_dict()))
    assert trainer.report()["lr/loss"] == 3e-3
    with pytest.raises(ValueError, match=r"'loss': a str is no optimizer: it has no build\(groups\)"):
        step(Trainer({"net": Net()}), "adamw")  # type: ignore[arg-type]
