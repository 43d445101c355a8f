"""What makes a run fast: it prepares models once, changes no key, and is nothing where it was not asked for."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.models.unet import UNet
from graph_runner.base.events import Started
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.acceleration import COMPILE, Acceleration, is_compiled
from graph_runner.run.engine import Engine
from tests.graph_runner.conftest import graph

SMALL: dict[str, Any] = {
    "model_channels": 8,
    "channel_mult": [1],
    "num_res_blocks": 1,
    "num_heads": 1,
    "norm_groups": 4,
}


@pytest.fixture(autouse=True)
def traced_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inductor takes minutes; what is traced runs as it is."""
    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, mode=None, **options: compile(f, **options | {"backend": "eager"}))
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def registry() -> Registry:
    return Registry.scan(["nodes.models", "nodes.diffusion", "nodes.sampling", "nodes.first_stage"])


def sampling(compiled: bool = False) -> Workflow:
    """A small denoiser, sampled from, and what a first stage makes of it."""
    reads = "fast" if compiled else "net"
    guess = {"type": "denoise", "wires": {"model": reads, "z": "sample.z", "t": "sample.t"}}
    net = {"hidden_size": 16, "depth": 2, "num_heads": 2, "sample_size": 8}
    first_stage = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 4}
    return graph(
        {
            "noise": {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8]}},
            "flow": {"type": "rectified_flow"},
            "net": {"type": "dit", "params": net},
            **({"fast": {"type": "compile_model", "wires": {"model": "net"}}} if compiled else {}),
            "sample": {
                "type": "sample",
                "wires": {"noise": "noise", "schedule": "flow"},
                "params": {"steps": 2, "solver": "euler"},
                "body": {"nodes": {"guess": guess}, "results": {"prediction": "guess"}},
            },
            "first_stage": {"type": "kl_autoencoder", "params": first_stage},
            "decoded": {"type": "decode", "wires": {"autoencoder": "first_stage", "z": "sample"}},
        }
    )


def environment(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "environment.json").read_text())
    return found


def test_a_compiled_run_gives_what_the_plain_one_gives_and_its_cached_values_serve_the_other(tmp_path: Path) -> None:
    plain = Engine(registry(), tmp_path / "a").run(sampling(), targets=["decoded", "net", "sample"])
    fast = Engine(registry(), tmp_path / "b", compile="default", channels_last=True)
    made = fast.run(sampling(), targets=["decoded", "net", "sample"])
    assert is_compiled(made.values["net"])
    assert not is_compiled(plain.values["net"])
    torch.testing.assert_close(made.values["decoded"], plain.values["decoded"])
    assert made.values["decoded"].std() > 0.01
    assert environment(made.folder)["compile"] == "default"
    assert "compile" not in environment(plain.folder)
    again = Engine(registry(), tmp_path / "b").run(sampling(), targets=["sample"])
    started = [event.node for event in again.events if isinstance(event, Started)]
    assert not started, "the kept value has the key of a plain run"
    assert torch.equal(again.values["sample"], made.values["sample"])


def test_the_node_compiles_for_its_readers_and_leaves_the_model_of_others_alone(tmp_path: Path) -> None:
    made = Engine(registry(), tmp_path).run(sampling(compiled=True), targets=["sample", "net", "fast"])
    assert is_compiled(made.values["fast"])
    assert not is_compiled(made.values["net"])
    plain = Engine(registry(), tmp_path / "plain").run(sampling(), targets=["sample"])
    torch.testing.assert_close(made.values["sample"], plain.values["sample"])


def test_a_model_is_prepared_once_and_so_is_each_copy() -> None:
    model = UNet(4, 4, **SMALL)
    fast = Acceleration("default", channels_last=True)
    spec = registry()["denoise"]
    call = fast.around(spec, lambda model: model)
    assert call(model=model) is model
    before = [part._compiled_call_impl for part in model.modules()]
    call(model=model)
    assert [part._compiled_call_impl for part in model.modules()] == before
    assert is_compiled(copy.deepcopy(model))
    weights = [weight for weight in model.parameters() if weight.ndim == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    call(model=(whole := nn.Linear(2, 2)))
    assert not is_compiled(whole), "only what says how: denoisers and first stages"


def test_nothing_goes_around_a_node_where_nothing_was_asked_for() -> None:
    spec = registry()["denoise"]
    assert Acceleration().around(spec, spec.function) is spec.function
    timesteps = registry()["random_timesteps"]
    assert Acceleration("default").around(timesteps, timesteps.function) is timesteps.function, "no model, no wrapper"


def test_a_mode_that_is_none_is_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=", ".join(COMPILE)):
        Engine(registry(), tmp_path, compile="fast")
    with pytest.raises(ValueError, match="it can be auto, math"):
        Engine(registry(), tmp_path, attention="fast")
