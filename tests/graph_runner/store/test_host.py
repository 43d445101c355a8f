"""What the cache holds of values on an accelerator lies on the host, whatever they are made of, and is nobody else's."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graph_runner.base import events
from graph_runner.contract.registry import Registry
from graph_runner.run.devices import choose_device
from graph_runner.store.host import UncopiedError, in_use, leaves, on_host
from tests.graph_runner.conftest import graph
from tests.pretend import BACKEND, DEVICE, engine_there


class Pair(NamedTuple):
    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class Condition:
    tokens: Tensor
    name: str = "a"


@dataclass(frozen=True, slots=True)
class Slotted:
    tokens: Tensor


class Seen:
    """A data set that holds a model, and images that stay on the host."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.images, self.files = model, torch.ones(2), np.ones(3)


def there(*shape: int) -> Tensor:
    return torch.ones(*shape, device=DEVICE)


VALUES: dict[str, Any] = {
    "tensor": lambda: there(2),
    "list": lambda: [there(2), "text", torch.ones(1)],
    "dict": lambda: {"images": there(2), "captions": ["a"]},
    "named tuple": lambda: Pair(there(2), there(2)),
    "dataclass": lambda: Condition(there(2)),
    "dataclass with slots": lambda: Slotted(there(2)),
}


def devices(value: Any) -> list[str]:
    return sorted(str(leaf.device) for leaf in leaves(value) if isinstance(leaf, Tensor))


def numbers(value: Any) -> list[Any]:
    return [leaf.detach().cpu().tolist() if isinstance(leaf, Tensor) else leaf.tolist() for leaf in leaves(value)]


@pytest.mark.parametrize("kind", VALUES)
def test_it_is_a_copy_on_the_host_and_comes_back_to_where_it_was(kind: str) -> None:
    value = VALUES[kind]()
    before, known = devices(value), numbers(value)
    held, fetched = on_host({"a": value})
    assert set(devices(held)) == {"cpu"}
    assert numbers(held["a"]) == known
    assert devices(value) == before, "what is in use stays"
    used = in_use(held, fetched, DEVICE)["a"]
    assert devices(used) == before
    assert set(devices(held)) == {"cpu"}, "and so does what is kept"
    assert numbers(used) == known
    assert type(used) is type(value)


def test_what_two_outputs_share_they_share_afterwards_and_the_rest_is_not_copied() -> None:
    latents, text = there(2), ["text"]
    held, fetched = on_host({"z": latents, "again": latents, "captions": text})
    assert held["z"] is held["again"]
    assert held["captions"] is text
    used = in_use(held, fetched, DEVICE)
    assert used["z"] is used["again"]


def test_a_model_stays_itself_for_its_owner_to_move() -> None:
    model = nn.Linear(2, 2).to(DEVICE)
    seen = Seen(model)
    seen.images = there(2)
    held, fetched = on_host({"unet": model, "data": seen})
    assert held["unet"] is model
    assert held["data"].model is model
    assert held["data"].files is seen.files
    assert devices(held["data"].images) == ["cpu"]
    assert devices(seen.images) == ["pretend:0"], "what is in use stays"
    assert in_use(held, fetched, DEVICE)["data"].model is model


def test_what_cannot_be_copied_is_told() -> None:
    seen = Seen(nn.Linear(2, 2))
    seen.images, seen.files = there(2), threading.Lock()  # type: ignore[assignment]
    with pytest.raises(UncopiedError, match="a Seen cannot be copied from the device"):
        on_host({"data": seen})


def test_a_cached_model_is_the_one_in_use(tmp_path: Path) -> None:
    registry = Registry.scan(["graph_runner.zones", "tests.graph_runner.run.test_precision"])
    engine = engine_there(registry, tmp_path)
    nodes = {"x": {"type": "ones"}, "m": {"type": "layer"}, "y": {"type": "through", "wires": {"layer": "m", "x": "x"}}}
    first = engine.run(graph(nodes), targets=["y", "m"]).values
    assert first["y"].device == DEVICE
    again = engine.run(graph(nodes), targets=["y", "m"])
    assert {event.node for event in again.events if isinstance(event, events.Cached)} >= {"y", "m"}
    assert again.values["m"] is first["m"]
    held = [value for entry, _ in engine.cache._memory.values() for value in entry.values.values()]
    assert {device for value in held if not isinstance(value, nn.Module) for device in devices(value)} == {"cpu"}


def test_a_device_is_any_that_torch_knows_and_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for absent in ("pretend:0", "xpu", "meta"):
        with pytest.raises(ValueError, match="device is here; use --device cpu"):
            choose_device(absent)
    monkeypatch.setattr(BACKEND, "available", True)
    assert choose_device("pretend:0") == DEVICE
    assert choose_device("auto").type == "pretend", "the accelerator that there is"
    with pytest.raises(ValueError, match="there is no pretend:4: the last PRETEND device is pretend:0"):
        choose_device("pretend:4")


def test_the_pretend_device_refuses_to_mix_and_takes_what_a_gpu_takes() -> None:
    here = torch.ones(3)
    for mixed in (
        lambda: there(3) + here,
        lambda: torch.cat([there(3), here]),
        lambda: torch.stack([there(3).sum(), here.sum()]),
        lambda: torch.where(there(3) > 0, here, there(3)),
        lambda: nn.functional.linear(there(2, 3), here[None]),
        lambda: there(3).numpy(),
    ):
        with pytest.raises((RuntimeError, TypeError)):
            mixed()
    assert (there(3) + here.sum()).device == DEVICE, "a number may lie on the CPU"
    assert there(3)[torch.tensor([0, 2])].device == DEVICE, "and so may indices"
    assert there(3).cpu().numpy().tolist() == there(3).tolist() == [1, 1, 1]
