"""One owner of a device's memory: models come when they are used, leave when others need room, and compute what they did."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.checkpoints.model_io import save_model
from core.conditioning.classes import ClassEmbedder
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.conditioning import Conditioning
from core.conditioning.text import BERTEmbedder
from core.models.autoencoder import KLAutoencoder, VQAutoencoder
from core.models.dit import DiT
from core.models.unet import UNet
from graph_runner.base.events import Placed
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import load
from graph_runner.run.device_memory import DeviceMemory
from graph_runner.run.engine import Engine
from graph_runner.run.modules import modules_in, size_of, tensors_of
from graph_runner.run.residence import Residence
from tests.pretend import DEVICE, engine_there
from tests.pretend_memory import memory

WORKFLOWS = Path(__file__).parents[3] / "workflows"
KB = 1000


def layer(kilobytes: int) -> nn.Linear:
    """A model of so many bytes."""
    return nn.Linear(250 * kilobytes // 10, 10, bias=False).requires_grad_(False)


def here(module: nn.Module) -> bool:
    return all(tensor.device == DEVICE for tensor in tensors_of(module))


def used(owner: Residence, *values: Any) -> None:
    """A call that is handed these values."""
    with owner.call():
        owner.place(list(values))


def test_the_longest_unused_leaves_when_another_needs_room() -> None:
    with memory(10**9):
        owner = Residence(DEVICE, budget=100 * KB)
        first, second, third = layer(30), layer(30), layer(30)
        for model in (first, second, first, third):
            used(owner, model)
        assert [here(model) for model in (first, second, third)] == [True, False, True]
        assert (owner.came, owner.left) == (90 * KB, 30 * KB)


def test_what_one_call_is_handed_stays_until_it_returns() -> None:
    with memory(10**9):
        owner = Residence(DEVICE, budget=100 * KB)
        first, second, third = layer(40), layer(40), layer(40)
        with owner.call():
            owner.place(first)
            used(owner, second)
            used(owner, third)
            assert [here(model) for model in (first, second, third)] == [True, False, True]


def test_without_a_budget_it_goes_by_what_the_device_has_free() -> None:
    with memory(100 * KB):
        owner = Residence(DEVICE)
        others = torch.zeros(10 * KB // 4, device=DEVICE)
        first, second = layer(40), layer(40)
        used(owner, first)
        used(owner, second)
        assert (here(first), here(second)) == (False, True), f"{others.nbytes} bytes are somebody else's"


class Seen:
    """A data set seen through a model."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.files = model, ["a", "b"]


def test_models_that_share_parts_count_once_and_wait_for_each_other() -> None:
    with memory(10**9):
        owner = Residence(DEVICE, budget=100 * KB)
        inner = layer(40)
        wrapper = nn.ModuleDict({"inner": inner, "more": layer(10)})
        used(owner, inner)
        used(owner, wrapper)
        used(owner, Seen(inner))
        assert owner.came == 50 * KB
        assert owner.budget is not None
        with owner.call():
            owner.place(Seen(inner))
            used(owner, layer(45))
            assert here(inner), "a call works with it"
            assert not here(wrapper), "the rest of the wrapper left"
        used(owner, wrapper)
        assert here(wrapper)


@pytest.fixture
def moved_in_place() -> Iterator[None]:
    """Parameters stay who they are when they move, as on a GPU."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    yield
    torch.__future__.set_swap_module_params_on_conversion(before)


@pytest.mark.usefixtures("moved_in_place")
def test_models_that_share_weights_and_no_modules_know_when_these_left() -> None:
    """As a model and what computes with it and an adapter do."""
    with memory(10**9):
        owner = Residence(DEVICE, budget=100 * KB)
        model, view = layer(40), layer(1)
        view.weight = model.weight
        used(owner, view)
        used(owner, model)
        used(owner, layer(45), layer(40))
        assert not here(model)
        used(owner, model)
        assert here(model), "though it was the view that had left"


def test_a_model_made_on_the_device_by_a_zone_is_not_moved_until_the_zone_gives_it() -> None:
    with memory(10**9):
        owner = Residence(DEVICE, budget=100 * KB)
        average = layer(40)
        used(Residence(DEVICE), average)
        used(owner, average)
        used(owner, layer(80))
        assert here(average), "whoever made it goes on with it"
        owner.adopt(average, "ema")
        used(owner, layer(80))
        assert not here(average)


def test_a_model_that_is_gone_is_forgotten() -> None:
    with memory(10**9) as allocator:
        owner = Residence(DEVICE, budget=100 * KB)
        used(owner, layer(40))
        gc.collect()
        assert allocator.live == 0
        told: list[Placed] = []
        owner.tell = told.append
        owner.tell_all()
        assert told == []


def test_what_lies_where_is_told() -> None:
    with memory(10**9):
        owner, told = Residence(DEVICE, budget=100 * KB), list[Placed]()
        owner.tell = told.append
        first, second = layer(40), layer(50)
        owner.adopt(first, "unet")
        owner.adopt(second, "autoencoder")
        used(owner, first)
        used(owner, second)
        owner.rest()
        assert told[-1] == Placed(
            "pretend:0", {"autoencoder": 50 * KB}, {"unet": 40 * KB}, {}, 50 * KB, 100 * KB, 90 * KB, 40 * KB
        )


def test_room_is_made_of_all_that_no_call_uses() -> None:
    with memory(10**9) as allocator:
        owner, first, second = Residence(DEVICE), layer(40), layer(50)
        with owner.call():
            owner.place(first)
            used(owner, second)
            assert owner.make_room() == 50 * KB
        assert allocator.live == 40 * KB


def test_models_are_found_wherever_a_value_holds_them() -> None:
    model = layer(1)
    for value in (model, [model], {"a": [Seen(model)]}, (1, Seen([model])), Seen({"ae": model})):
        assert list(modules_in(value)) == [model]
    assert not list(modules_in([["a.png"] * 3, torch.ones(2), None, 3, "x", Tensor]))


def test_a_device_that_tells_nothing_is_never_full() -> None:
    told = DeviceMemory(DEVICE)
    assert (told.total(), told.free(), told.used()) == (None, None, None)
    host = DeviceMemory(torch.device("cpu"))
    assert 0 < (host.free() or 0) <= (host.total() or 0)


CONTEXT = Conditioning(context=torch.randn(2, 3, 8))
TOKENS = torch.tensor([[1, 5, 2]])
IMAGES = torch.randn(1, 3, 16, 16)
Z, T = torch.randn(2, 4, 8, 8), torch.tensor([3.0, 9.0])
SMALL = {"model_channels": 32, "channel_mult": (1, 2), "num_res_blocks": 1}
CLIP = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 64}
MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module, Callable[[Any], Any]], Tensor]]] = {
    "unet": (
        lambda: UNet(4, 4, **SMALL, attention_factors=(1,), num_heads=2, context_dim=8),
        lambda model, at: model(at(Z), at(T), at(CONTEXT)),
    ),
    "dit": (
        lambda: DiT(4, patch_size=2, hidden_size=64, depth=2, num_heads=2),
        lambda model, at: model(at(Z), at(T), Conditioning()),
    ),
    "kl": (
        lambda: KLAutoencoder(**SMALL),
        lambda model, at: model.decode(model.encode(at(IMAGES))),  # type: ignore[operator]
    ),
    "vq": (
        lambda: VQAutoencoder(**SMALL, codes=16),
        lambda model, at: model.decode(model.encode(at(IMAGES))),  # type: ignore[operator]
    ),
    "bert": (lambda: BERTEmbedder(n_embed=32, n_layer=2), lambda model, at: model(at(TOKENS))),
    "clip": (lambda: CLIPTextEmbedder(**CLIP), lambda model, at: model(at(TOKENS))),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_larger_than_the_device_is_streamed_to_the_same_numbers(kind: str) -> None:
    make, work = MODELS[kind]
    torch.manual_seed(0)
    model = make().eval().requires_grad_(False)
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.1)
    own, size = dict(model.named_parameters()), size_of(tensors_of(model))
    with torch.no_grad(), memory(10**9) as allocator:
        wanted = work(model, lambda value: value)
        owner, told = Residence(DEVICE, budget=size), list[Placed]()
        owner.tell = told.append
        with owner.call():
            owner.place(model)
            assert allocator.live < size * 0.8
            found = work(model, lambda value: value.to(DEVICE))
            owner.tell_all()
            assert told[-1].streamed == {type(model).__name__: size}
            with owner.call():
                owner.place(model, "read")
            assert not any(tensor.device == DEVICE for tensor in tensors_of(model)), "its weights are read on the host"
            owner.place(model)
            again = work(model, lambda value: value.to(DEVICE))
        owner.rest()
    assert torch.allclose(found.cpu(), wanted, atol=1e-5)
    assert torch.equal(again.cpu(), found.cpu())
    assert all(torch.equal(weight.cpu(), own[name].cpu()) for name, weight in model.named_parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def sampling(folder: Path) -> None:
    """The models that sample.json reads, small, each with weights of its own."""
    torch.manual_seed(0)
    models = {
        "autoencoder": KLAutoencoder(model_channels=32, channel_mult=(1, 2, 2), num_res_blocks=1, z_channels=4),
        "unet": UNet(4, 4, **SMALL, attention_factors=(1,), num_heads=2, context_dim=64),
        "embedder": ClassEmbedder(n_classes=24, embed_dim=64),
    }
    for name, model in models.items():
        for weight in model.parameters():
            nn.init.normal_(weight, std=0.05)
        target = folder / "models" / "quickstart" / f"{name}.safetensors"
        target.parent.mkdir(parents=True, exist_ok=True)
        save_model(model, target)


def sampled(folder: Path, device: str, **options: Any) -> tuple[Tensor, list[Placed], Engine]:
    workflow = load(WORKFLOWS / "sample.json")
    workflow.nodes["sample"].params["steps"] = 3
    workflow.nodes["noise"].params["shape"] = [4, 4, 8, 8]
    workflow.nodes["labels_to_sample"].params["values"] = [0, 3, 9, 23]
    made = Engine if device == "cpu" else engine_there
    engine = made(Registry.installed(), folder, **options)
    result = engine.run(workflow, targets=["decoded"], fresh=True)
    return result.values["decoded"].cpu(), [event for event in result.events if isinstance(event, Placed)], engine


def test_a_shipped_sampling_fits_a_budget_smaller_than_its_models_and_gives_the_same(tmp_path: Path) -> None:
    sampling(tmp_path)
    wanted, nothing, _ = sampled(tmp_path, "cpu")
    assert nothing == []
    with memory(10**9) as ample:
        found, told, engine = sampled(tmp_path, "pretend")
        assert torch.allclose(found, wanted, atol=1e-4)
        assert set(told[-1].here) == {"unet", "autoencoder", "embedder"}, "kept warm"
        models, largest = sum(told[-1].here.values()), max(told[-1].here.values())
        work = ample.peak - models
        del engine
        gc.collect()
    budget = int(1.15 * largest) + work
    assert budget < models + work, "all at once have no room"
    with memory(budget) as tight:
        found, told, _ = sampled(tmp_path, "pretend", vram=budget)
        assert torch.allclose(found, wanted, atol=1e-4)
        assert told[-1].left > 0
        assert tight.peak <= budget
