"""Which parameters a recipe trains and how: name patterns, groups, freezing, clipping, and what the trainer makes of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from core.models.unet import UNet
from core.training.learning_rate import Linear
from core.training.objective import Objective
from core.training.optimizers import SGD, AdamW
from core.training.recipe import Clip, Frozen, Group, Recipe
from core.training.trainer import Trainer
from tests.core.training.replay import Net, gradients, same, step


def names(recipe: Recipe, **models: nn.Module) -> list[list[str]]:
    """The names in each of the groups that are built."""
    return [group["param_names"] for group in recipe.make(models).param_groups]


def test_a_parameter_goes_by_its_name_and_by_its_layers_class() -> None:
    every = [f"net.{name}" for name, _ in Net().named_parameters()]
    for patterns, wanted in {
        ("*attn2*",): ["net.attn2.to_q.weight", "net.attn2.norm.weight", "net.attn2.norm.bias"],
        ("*Norm.*",): [
            "net.attn2.norm.weight",
            "net.attn2.norm.bias",
            "net.in_layers.0.weight",
            "net.in_layers.0.bias",
        ],
        ("Conv2d.weight",): ["net.conv_in.weight", "net.in_layers.2.weight"],
        ("net.out.*", "Embedding.*"): ["net.token.weight", "net.out.weight", "net.out.bias"],
        ("_ConvNd.bias",): ["net.conv_in.bias", "net.in_layers.2.bias"],  # the class's bases count
    }.items():
        assert names(Recipe(SGD(), frozen=(Frozen(patterns, all_but=True),)), net=Net()) == [wanted]
        assert names(Recipe(SGD(), frozen=(Frozen(patterns),)), net=Net()) == [[n for n in every if n not in wanted]]


def test_only_the_cross_attentions_of_a_unet_are_trained() -> None:
    unet = UNet(4, 4, 8, (1, 2), 1, (2,), num_heads=2, norm_groups=4, context_dim=16)
    ((*found,),) = names(Recipe(AdamW(), frozen=(Frozen(("*attn2*",), all_but=True),)), unet=unet)
    assert found
    assert all(".attn2." in name for name in found)
    assert len(found) == sum(".attn2." in name for name, _ in unet.named_parameters())


def test_what_is_frozen_stays_to_the_bit_and_all_else_moves() -> None:
    recipe = Recipe(AdamW(lr=0.1, weight_decay=0.5), frozen=(Frozen(("*.bias",)), Frozen(("Embedding.*",))))
    trainer = Trainer({"net": Net()}, ema=0.9)
    for _ in range(3):
        step(trainer, recipe)
    for name, before in Net().named_parameters():
        after = trainer.models["net"].get_parameter(name)
        average = trainer.averages["net"].model.get_parameter(name)
        stays = name.endswith("bias") or name.startswith("token")
        assert torch.equal(after, before) == torch.equal(average, before) == stays, name


def test_groups_have_rates_and_settings_of_their_own_and_the_schedule_goes_over_all() -> None:
    recipe = Recipe(
        AdamW(lr=0.1, weight_decay=0.3),
        Linear(horizon=10),
        (
            Group(("*.bias", "*Norm.*"), settings={"weight_decay": 0.0}),
            Group(("*attn2*",), lr=0.5),
            Group(("*to_q*",), lr=0.5, settings={"weight_decay": 0.9}),
        ),
    )
    trainer, theirs = Trainer({"net": Net()}), Net()
    own = dict(theirs.named_parameters())
    nothing = [name for name in own if (name.endswith("bias") or "norm" in name or "in_layers.0" in name)]
    attention = [name for name in nothing if "attn2" in name]
    plain = [name for name in own if name not in nothing and "attn2" not in name]
    decays = {"attn2.to_q.weight": (0.25, 0.9)}
    decays |= {name: (0.5 if name in attention else 1.0, 0.0) for name in nothing}
    decays |= dict.fromkeys(plain, (1.0, 0.3))
    optimizer = torch.optim.AdamW([{"params": [own[name]], "weight_decay": decays[name][1]} for name in own], lr=0.1)
    for n in range(5):
        step(trainer, recipe)
        for name, group in zip(own, optimizer.param_groups, strict=True):
            group["lr"] = 0.1 * decays[name][0] * (1 - n / 10)
        for p, gradient in zip(theirs.parameters(), gradients(theirs, n), strict=True):
            p.grad = gradient
        optimizer.step()
    for name, wanted in own.items():
        torch.testing.assert_close(trainer.models["net"].get_parameter(name), wanted)
    assert trainer.report()["lr/loss"] == pytest.approx(0.1 * 0.6), "that of no group of its own"


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("attn2", r"did you mean '\*attn2\*'\?"),
        ("*atn2*", r"did you mean '\*attn2\*'"),
        ("*GroupNrm.*", r"did you mean .*\*GroupNorm\*"),
        ("*zzzzzz*", r"there are 12 parameters, such as net\.conv_in\.weight"),
        ("to_q.weight", r"did you mean '\*to_q\.weight\*'\?"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error_with_a_remedy(pattern: str, told: str) -> None:
    for recipe in (
        Recipe(SGD(), frozen=(Frozen((pattern,)),)),
        Recipe(SGD(), frozen=(Frozen(("*.bias", pattern), all_but=True),)),
        Recipe(SGD(), groups=(Group((pattern,)),)),
    ):
        with pytest.raises(
            ValueError, match=f"^objective 'loss': no parameter matches {re.escape(repr(pattern))}; {told}"
        ):
            step(Trainer({"net": Net()}), recipe)


def test_a_recipe_that_trains_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="objective 'loss': nothing is left to train: every parameter is frozen"):
        step(Trainer({"net": Net()}), Recipe(SGD(), frozen=(Frozen(("*",)),)))


def test_names_carry_the_models_and_a_shared_parameter_is_trained_once() -> None:
    a, b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    assert names(Recipe(SGD()), first=a, second=b) == [["first.weight", "second.weight"]]
    assert names(Recipe(SGD(), frozen=(Frozen(("first.*",)),)), first=a, second=b) == [["second.weight"]]
    b.weight = a.weight
    assert names(Recipe(SGD()), first=a, second=b) == [["first.weight"]]


@pytest.mark.parametrize("clip", [Clip(norm=0.5), Clip(value=0.2), Clip(norm=0.5, value=0.2), Clip()])
def test_gradients_are_clipped_by_value_and_then_by_norm(clip: Clip) -> None:
    trainer, theirs = Trainer({"net": Net()}), Net()
    frozen = (Frozen(("*.token.*",)),)
    step(trainer, Recipe(SGD(lr=1.0, momentum=0.0), clip=clip, frozen=frozen))
    found = [g for (n, _), g in zip(theirs.named_parameters(), gradients(theirs, 0), strict=True) if "token" not in n]
    if clip.value:
        found = [g.clamp(-clip.value, clip.value) for g in found]
    if clip.norm:
        norm = torch.cat([g.flatten() for g in found]).norm()
        assert norm > clip.norm
        found = [g * clip.norm / norm for g in found]
    kept = iter(found)
    for name, p in theirs.named_parameters():
        wanted = p if "token" in name else p - next(kept)
        torch.testing.assert_close(trainer.models["net"].get_parameter(name), wanted.detach())


class Falling:
    """An optimizer whose rate is another in each step, as one that is wired to the step is."""

    def __init__(self, lr: float) -> None:
        self.lr = lr

    def build(self, groups: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=self.lr / 2)


def test_an_optimizers_own_rate_is_read_in_each_step() -> None:
    net = nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(0.0)
    trainer = Trainer({"net": net})
    for lr in (1.0, 0.5, 0.25):
        with torch.enable_grad():
            loss = net.weight.sum()
        trainer.accumulate([Objective(loss, (net,), Falling(lr))])
        trainer.step()
    assert net.weight.item() == -(1.0 + 0.5 + 0.25) / 2


def test_a_checkpoint_of_version_0_1_goes_on_to_the_bit() -> None:
    """Its optimizer's groups carried no names, and no factors."""
    net, theirs = Net(), Net()
    optimizer = torch.optim.AdamW(list(theirs.parameters()), lr=1e-2)
    for n in range(3):
        for p, gradient in zip(theirs.parameters(), gradients(theirs, n), strict=True):
            p.grad = gradient
        optimizer.step()
    state = {
        "steps": 3,
        "models": {"net": {k: v.clone() for k, v in theirs.state_dict().items()}},
        "averages": {},
        "optimizers": [optimizer.state_dict()],
    }
    whole, resumed = Trainer({"net": Net()}), Trainer({"net": net})
    resumed.load_state_dict(state)
    for _ in range(5):
        step(whole, AdamW(lr=1e-2))
    for _ in range(2):
        step(resumed, AdamW(lr=1e-2))
    assert list(resumed.curve.table().rows()) == list(whole.curve.table().rows())[3:], "it knows no losses of before"
    assert same(*({k: v for k, v in each.state_dict().items() if k != "curve"} for each in (whole, resumed)))
