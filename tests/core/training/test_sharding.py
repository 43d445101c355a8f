"""Models that are split among processes train as whole ones do: in worlds of two and four, against one process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.conditioning.text import BERTEmbedder
from core.losses.autoencoder import adaptive_weight
from core.models.autoencoder import VQAutoencoder
from core.models.dit import DiT
from core.models.unet import UNet
from core.parts import local
from core.training import sharding
from core.training.objective import Objective
from core.training.optimizers import AdamW
from core.training.recipe import Clip, Frozen, Group, Recipe
from core.training.sharding import blocks, hollow
from core.training.trainer import Trainer
from graph_runner.contract.processes import Processes
from tests.core.training.replay import OPTIMIZERS, Make, Net, loss_of, missing
from tests.world import in_world

ROWS, PARTS, STEPS = 16, 2, 5
TOLERANCE = 1e-6  # of the losses, relative


class Block(nn.Module):
    """A residual block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.layer(x))


class Maker(nn.Module):
    """Blocks in a list, one beside it, weights outside of them, of which one is changed by use, a buffer; used by a method,
    not by its call."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(2))
        self.middle = Block(width)
        self.last = nn.Linear(width, 3, bias=False)
        self.shift = nn.Parameter(torch.full((1,), 0.1))
        self.register_buffer("scale", torch.tensor(1.5))

    def make(self, x: Tensor) -> Tensor:
        with torch.no_grad():  # as a codebook revives its codes
            self.shift.mul_(1.1)
        x = self.first(x.to(self.shift.dtype))
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.last(self.middle(x)) * self.get_buffer("scale") + self.shift
        return out.float()


class Critic(nn.Module):
    """Called twice in a step. No list: it is whole for the length of a step."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def models() -> dict[str, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {"maker": Maker(), "critic": Critic()}


def rows(step: int, part: int, processes: Processes) -> Tensor:
    """This process' rows of one part of a step's batch."""
    drawn = torch.randn(
        ROWS, 3, generator=torch.Generator().manual_seed(100 * step + part), dtype=torch.float64
    ).float()
    return drawn.chunk(processes.world)[processes.rank]


def objectives(own: dict[str, nn.Module], x: Tensor, processes: Processes) -> list[Objective]:
    """A GAN step with shared activations and an adaptive weight; some parameters are frozen, one learns faster."""
    maker, critic = own["maker"], own["critic"]
    assert isinstance(maker, Maker)
    made = maker.make(x)
    error = (made - x.flip(1)).square().mean()
    fooling = -critic(made).mean()
    balance = adaptive_weight(error, fooling, maker.last.weight, mean=processes.mean)
    catching = nn.functional.softplus(-critic(x)).mean() + nn.functional.softplus(critic(made.detach())).mean()
    adam = AdamW(lr=1e-2, eps=1e-3)
    first = Recipe(adam, groups=(Group(("*blocks.0*",), lr=3.0),), frozen=(Frozen(("*middle*.bias",)),), clip=Clip(0.5))
    return [
        Objective(error + balance * fooling, (maker,), first, "maker"),
        Objective(catching, (critic,), Recipe(adam, clip=Clip(value=0.05)), "critic"),
    ]


def trained(processes: Processes, shard: bool, scaled: bool = False, half: str = "") -> dict[str, Any]:
    """The losses of each step, and whole models and averages at the end. half: the body's operations, or the weights."""
    world = processes
    world.shard = shard
    begin = world.begin_mean if world.world > 1 else None
    with world.together():
        own = models()
        if half == "weights":
            own["maker"].bfloat16()
        trainer = Trainer(own, 0.9, world.mean, scaled, begin, world.mesh(torch.device("cpu")))
        told = []
        for step in range(STEPS):
            for part in range(PARTS):
                x = rows(step, part, world)

                def body(x: Tensor = x) -> Sequence[Objective]:
                    autocast = torch.autocast("cpu", torch.bfloat16, enabled=half == "operations", cache_enabled=False)
                    with torch.enable_grad(), autocast:
                        return objectives(trainer.models, x, world)

                trainer.accumulate(trainer.forward(body), 1 / PARTS, last=part == PARTS - 1)
            trainer.step()
            told.append(trainer.report())
        moments = [each["exp_avg"] for optimizer in trainer._optimizers for each in optimizer.state.values()]
        kept = [*moments, *(p for m in (*trainer.models.values(), *trainer.averaged.values()) for p in m.parameters())]
        held, all_of_it = sum(local(tensor).numel() for tensor in kept), sum(tensor.numel() for tensor in kept)
        looked_at = {"maker": trainer.models["maker"], "pair": nn.Sequential(trainer.averaged["critic"])}
        whole = trainer.whole(looked_at)
        seen = whole if world.rank == 0 else {}
        trainer.finish()
    state = {f"{name}.{key}": value for name, m in trainer.models.items() for key, value in m.state_dict().items()}
    averages = {f"{name}.{key}": value for name, m in trainer.averaged.items() for key, value in m.state_dict().items()}
    kinds = [type(m).__name__ for m in (*trainer.models.values(), *trainer.averaged.values(), *seen.values())]
    average = trainer.averaged["critic"].state_dict()["layers.0.weight"]
    alike = average, seen["pair"].state_dict()["0.layers.0.weight"] if seen else average
    return {
        "told": told,
        "state": state,
        "averages": averages,
        "kinds": kinds,
        "alike": torch.equal(*alike),
        "held": held / all_of_it,
    }


def in_a_world(processes: Processes) -> dict[str, Any]:
    return {
        "replicated": trained(processes, shard=False),
        "sharded": trained(processes, shard=True),
        "scaled": trained(processes, shard=True, scaled=True),
        "operations": trained(processes, shard=True, half="operations"),
        "weights": trained(processes, shard=True, half="weights"),
    }


@pytest.mark.parametrize("world", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_losses_equal_one_process(world: int, tmp_path: Path) -> None:
    alone = {"plain": trained(Processes(), shard=False), "scaled": trained(Processes(), shard=False, scaled=True)}
    everywhere = in_world(world, "tests.core.training.test_sharding:in_a_world", tmp_path)
    for rank, found in enumerate(everywhere):
        looked_at = [] if rank else ["Maker", "Sequential"]  # the first process alone gets plain ones
        for name, wanted in (("replicated", "plain"), ("sharded", "plain"), ("scaled", "scaled")):
            one = alone[wanted]
            assert found[name]["kinds"] == ["Maker", "Critic", "Maker", "Critic", *looked_at]
            assert found[name]["alike"]
            assert (
                found[name]["held"] <= 1 if name == "replicated" else found[name]["held"] < 1.6 / world
            )  # rows of tiny weights do not part evenly
            for values, theirs in zip(found[name]["told"], one["told"], strict=True):
                assert values == pytest.approx(theirs, rel=TOLERANCE), name
            for part in ("state", "averages"):
                assert found[name][part].keys() == one[part].keys()
                for key, value in found[name][part].items():
                    torch.testing.assert_close(value, one[part][key], rtol=1e-5, atol=1e-6, msg=f"{name} {key}")
        for half in ("operations", "weights"):  # bfloat16 has eight bits, and half a batch's sums are rounded elsewhere
            one = trained(Processes(), shard=False, half=half)
            assert {key: v.dtype for key, v in found[half]["state"].items()} == {
                key: v.dtype for key, v in one["state"].items()
            }
            for values, theirs in zip(found[half]["told"], one["told"], strict=True):
                assert values == pytest.approx(theirs, rel=0.05), half
        for name in ("replicated", "sharded"):
            assert all(torch.equal(v, everywhere[0][name]["state"][k]) for k, v in found[name]["state"].items())


def shipped() -> dict[str, nn.Module]:
    """Models as they ship, tiny: their blocks, with and without checkpointing, and a codebook that revives its codes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet(3, 3, 8, (1, 2), 1, (2,), num_heads=2, context_dim=8, norm_groups=4, gradient_checkpointing=True)
        dit = DiT(3, 16, 3, 2, sample_size=4, context_dim=8, gradient_checkpointing=True)
        codes = VQAutoencoder(
            model_channels=8, channel_mult=(1, 2), num_res_blocks=1, codes=32, revive_after=1, norm_groups=4
        )
        text = BERTEmbedder(8, 2, vocab_size=20, max_seq_len=4)
        for model in (unet, dit):  # their ends begin at zero, which would keep gradients from the rest
            for parameter in model.parameters():
                nn.init.normal_(parameter, std=0.2)
        return {"unet": unet, "dit": dit, "codes": codes, "text": text}


def of_shipped(processes: Processes, shard: bool) -> dict[str, Any]:
    """Losses and weights of a training of the shipped models, all by one objective."""
    processes.shard = shard
    begin = processes.begin_mean if processes.world > 1 else None
    told = []
    with processes.together():
        trainer = Trainer(shipped(), 0.9, processes.mean, False, begin, processes.mesh(torch.device("cpu")))
        own: dict[str, Any] = trainer.models
        for step in range(3):
            drawn = torch.Generator().manual_seed(step)
            images = torch.rand(4, 3, 8, 8, generator=drawn) * 2 - 1
            noise = torch.randn(4, 3, 4, 4, generator=drawn)
            tokens, t = torch.randint(20, (4, 4), generator=drawn), torch.randint(1000, (4,), generator=drawn)
            mine = [each.chunk(processes.world)[processes.rank] for each in (images, noise, tokens, t)]
            torch.manual_seed(step)

            def body(mine: list[Tensor] = mine) -> list[Objective]:
                images, noise, tokens, t = mine
                with torch.enable_grad():
                    made = own["codes"](images)
                    z, condition = own["codes"].encode(images) + noise, Conditioning(context=own["text"](tokens))
                    errors = [(own[name](z, t, condition) - noise).square().mean() for name in ("unet", "dit")]
                    loss = torch.stack(
                        [*errors, made.quantized.loss, (made.reconstruction - images).abs().mean()]
                    ).sum()
                return [Objective(loss, tuple(own.values()), AdamW(lr=1e-3, eps=1e-3))]

            trainer.accumulate(trainer.forward(body), last=True)
            trainer.step()
            told.append(trainer.report()["loss/loss"])
        split = len(trainer.sharding.leaves) if trainer.sharding else 0
        blocked = {name: len(blocks(model)) for name, model in shipped().items()}
        trainer.finish()
    weights = {f"{name}.{key}": value for name, m in trainer.models.items() for key, value in m.state_dict().items()}
    return {"told": told, "weights": weights, "split": split, "blocks": blocked}


def shipped_in_a_world(processes: Processes) -> dict[str, Any]:
    return of_shipped(processes, shard=True)


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4])
def test_shipped_models_train_split_as_whole(world: int, tmp_path: Path) -> None:
    alone = of_shipped(Processes(), shard=False)
    for found in in_world(world, "tests.core.training.test_sharding:shipped_in_a_world", tmp_path):
        assert found["told"] == pytest.approx(alone["told"], rel=TOLERANCE)
        assert found["split"] == 2 * sum(len(list(model.parameters())) for model in shipped().values()), "averages too"
        assert all(count >= 3 for count in found["blocks"].values()), found["blocks"]
        for key, value in found["weights"].items():
            torch.testing.assert_close(value, alone["weights"][key], rtol=1e-4, atol=1e-5, msg=key)


def test_blocks_are_what_repeats() -> None:
    maker = Maker(16)
    assert blocks(maker) == [*maker.blocks, maker.middle]
    assert blocks(Critic()) == []
    maker.middle.layer.weight = maker.first.weight  # type: ignore[assignment]
    assert blocks(maker) == list(maker.blocks), "what shares weights stays with the rest"


def test_a_compiled_model_is_refused() -> None:
    unet = shipped()["unet"]
    unet.compile(backend="eager")
    with pytest.raises(ValueError, match=r"a UNet that is compiled cannot be sharded.*leave out the compiling"):
        sharding.Sharding([unet], cast(Any, SimpleNamespace(device_type="cuda")))  # no process is asked


def test_a_hollow_copy_has_no_weights_and_leaves_the_model_as_it_is() -> None:
    maker = Maker()
    copy = hollow(maker)
    assert all(parameter.is_meta for parameter in copy.parameters())
    assert not any(parameter.is_meta for parameter in maker.parameters())
    assert torch.equal(copy.get_buffer("scale"), maker.get_buffer("scale"))


def stepped(processes: Processes, make: Make, shard: bool) -> Any:
    """The weights and the curves of a training by each optimizer's own steps, on gradients that are the same everywhere."""
    processes.shard = shard
    with processes.together():
        mesh = processes.mesh(torch.device("cpu"))
        trainer = Trainer({"net": Net()}, 0.0, processes.mean, False, processes.begin_mean, mesh)
        (model,), recipe = trainer.models.values(), Recipe(make(), clip=Clip(norm=1.0))
        told = []
        for step in range(STEPS):

            def body(step: int = step) -> list[Objective]:
                return [Objective(loss_of(model, step), (model,), recipe)]

            trainer.accumulate(trainer.forward(body), last=True)
            trainer.step()
            told.append(trainer.report())
        trainer.finish()
    return {"told": told, "weights": trainer.models["net"].state_dict()}


def by_each_optimizer(processes: Processes) -> dict[str, Any]:
    sharding.SMALLEST_BLOCK = 1.0  # `loss_of` reads the weights, and calls no block
    found: dict[str, Any] = {}
    for name, make in OPTIMIZERS.items():
        if missing(name):
            continue
        try:
            found[name] = stepped(processes, make, shard=processes.world > 1)
        except ValueError as refused:
            found[name] = str(refused)
    return found


REFUSED = {
    "adafactor": "Adafactor cannot train sharded models: it keeps means of whole rows and columns; take AdamW",
    "muon": "Muon cannot train sharded models: its steps are made of whole matrices; take AdamW",
    "prodigy": "Prodigy cannot train sharded models: it finds one step size from all weights; take AdamW",
    "schedule_free_adamw": "ScheduleFreeAdamW cannot train sharded models: it puts other weights in place",
    "adam_8bit": "Adam8bit cannot train sharded models: its blocks of 8-bit numbers end elsewhere than the parts",
}


@pytest.mark.slow
def test_each_optimizer_steps_parts_as_it_does_wholes_or_says_why_not(tmp_path: Path) -> None:
    first, second = in_world(2, "tests.core.training.test_sharding:by_each_optimizer", tmp_path)
    for name, make in OPTIMIZERS.items():
        if missing(name):
            continue
        if name in REFUSED:
            assert f"objective 'loss': {REFUSED[name]}" in first[name]
            continue
        alone = stepped(Processes(), make, shard=False)
        for found in (first[name], second[name]):
            for key, weight in alone["weights"].items():
                torch.testing.assert_close(found["weights"][key], weight, rtol=1e-5, atol=1e-6, msg=f"{name} {key}")
            for values, wanted in zip(found["told"], alone["told"], strict=True):
                assert values == pytest.approx(wanted, rel=TOLERANCE), name
