"""Models of a stranger's package, and the transformer, in trainings: checked, kept, killed, resumed, saved and loaded by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints.files import CheckpointError
from core.checkpoints.model_io import MODELS, load_model, save_model
from core.models.dit import DiT
from graph_runner.base import events
from graph_runner.bind.paths import Paths
from graph_runner.bind.validate import errors, validate
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.format.workflow import Workflow, load, save
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError
from tests.nodes.toy_own_models import Shade, Softener

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "workflows/quickstart.json"
PACKAGE = "tests.nodes.toy_own_models"
DIT = {"hidden_size": 32, "depth": 2, "num_heads": 2, "sample_size": 8, "context_dim": 64}
STEPS = 40


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes", PACKAGE])


@pytest.fixture(scope="module")
def without() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes"])


def training(kind: str, steps: int = 6, start: dict[str, Any] | None = None) -> Workflow:
    """A model of a kind of one's own, trained and saved."""
    body = {
        "loss": {"type": "identity_loss", "wires": {"net": "train.models.net", "batch": "train.batch"}},
        "o": {"type": "objective", "wires": {"loss": "loss", "models": ["train.models.net"], "optimizer": "adam"}},
    }
    nodes = {
        "shapes": {"type": "shapes_dataset", "params": {"size": 16, "resolution": 8}},
        "net": start or {"type": kind},
        "adam": {"type": "adamw", "params": {"lr": 0.01}},
        "train": {
            "type": "train",
            "params": {"steps": steps, "batch_size": 4, "log_every": 1},
            "wires": {"data": "shapes", "models": {"net": "net"}},
            "body": {"nodes": body, "results": {"objectives": ["o"]}},
        },
        "save": {
            "type": "save_models",
            "params": {"name": kind if start is None else "onward"},
            "wires": {"models": {"net": "train.models.net"}},
        },
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    one, two = a.state_dict(), b.state_dict()
    return type(a) is type(b) and one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def of(result: Result, kind: type) -> set[str]:
    return {event.node for event in result.events if isinstance(event, kind)}  # type: ignore[attr-defined]


def wrong_with(workflow: Workflow, registry: Registry, folder: Path) -> list[str]:
    top, problems = validate(workflow, registry, Paths(folder))
    assert errors(problems) == []
    return [str(problem) for problem in dry_run(top, folder).problems]


@pytest.mark.parametrize("kind", ["softener", "shade"])
def test_a_model_of_ones_own_is_checked_trained_kept_saved_and_loaded(
    kind: str, registry: Registry, tmp_path: Path
) -> None:
    target = "train.models.net"
    assert wrong_with(training(kind), registry, tmp_path) == []
    first = Engine(registry, tmp_path).run(training(kind), targets=[target])
    again = Engine(registry, tmp_path).run(training(kind), targets=[target])
    assert "train" in of(again, events.Cached)
    assert same(first.values[target], again.values[target])
    loaded = {"type": "load_model", "params": {"path": f"models/{kind}/net.safetensors"}}
    onward = training(kind, 1, loaded)
    assert wrong_with(onward, registry, tmp_path) == []
    values = Engine(registry, tmp_path).run(onward, targets=["net", target]).values
    assert same(values["net"], first.values[target])
    assert isinstance(values[target], Softener | Shade)
    twice = Engine(registry, tmp_path).run(onward, targets=[target])
    assert "train" in of(twice, events.Cached), "what a loaded model became is kept, whatever its wire says"
    assert same(twice.values[target], values[target])


def test_a_file_is_known_by_the_name_its_mark_says(registry: Registry, without: Registry, tmp_path: Path) -> None:
    Engine(registry, tmp_path).run(training("softener", 1))
    path = tmp_path / "models/softener/net.safetensors"
    assert registry.models["Blurrer"] is Softener
    assert "Blurrer" not in without.models
    model = load_model(path, known=registry.models).model
    assert isinstance(model, Softener)
    assert model.config == {"width": 4, "layers": 1}  # type: ignore[comparison-overlap]
    nodes = {"net": {"type": "load_model", "params": {"path": "models/softener/net.safetensors"}}}
    workflow = Workflow.model_validate({"loom": 1, "nodes": nodes})
    with pytest.raises(NodeError, match=r"^net: .*holds a 'Blurrer', which is none of .*UNet.*--nodes"):
        Engine(without, tmp_path).run(workflow, targets=["net"])
    assert any("Blurrer" in text for text in wrong_with(workflow, without, tmp_path)), "a check says so too"


def test_the_scan_finds_all_of_ours(without: Registry) -> None:
    assert without.models.keys() >= {"UNet", "DiT", "KLAutoencoder", "VQAutoencoder", "NLayerDiscriminator"}
    assert all(without.models[name] is MODELS[name] for name in without.models)
    assert {name for name in MODELS if MODELS[name].__module__.startswith("core.")} == set(without.models)


def test_a_file_may_not_name_what_is_no_model(tmp_path: Path) -> None:
    model = DiT(4, 8, 1, 1, sample_size=4)
    save_model(model, tmp_path / "m")
    config = json.loads((tmp_path / "m/config.json").read_text())
    del config["crc32"]
    for name in (
        "os.system",
        "torch.nn.Linear",
        "Linear",
        "tests.nodes.toy_own_models.Softener",
        "Conditioning",
        "context",
    ):
        (tmp_path / "m/config.json").write_text(json.dumps(config | {"model": name}))
        with pytest.raises(CheckpointError, match="which is none of"):
            load_model(tmp_path / "m")


def test_a_training_that_was_killed_goes_on_to_the_same_bits(registry: Registry, tmp_path: Path) -> None:
    workflow = training("softener", 60)
    place, file = tmp_path / "killed", tmp_path / "w.json"
    save(workflow, file)
    command = [sys.executable, "-m", "graph_runner", str(file), "--nodes", PACKAGE, "--workspace", str(place)]
    surroundings = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen([*command, "--checkpoint-seconds", "0"], cwd=ROOT, env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    while running.poll() is None and not list(place.glob("checkpoints/*/step-*/tree.json")):
        time.sleep(0.005)
    if running.poll() is None:
        os.kill(running.pid, signal.SIGKILL)
    running.wait()
    places = [place, tmp_path / "whole"]
    for each in places:
        subprocess.run([*command[:-1], str(each)], cwd=ROOT, env=surroundings, check=True, capture_output=True)
    killed, whole = (
        load_model(each / "models/softener/net.safetensors", known=registry.models).model for each in places
    )
    assert same(killed, whole)


def quickstart(**changes: Any) -> Workflow:
    """The shipped graph with a transformer in place of its UNet, and small."""
    workflow = load(QUICKSTART)
    workflow.nodes["unet0"] = type(workflow.nodes["unet0"])(type="dit", params=DIT | changes)
    for id, params in {
        "shapes": {"size": 128},
        "autoencoder": {"steps": 2, "batch_size": 8},
        "diffusion": {"steps": STEPS, "batch_size": 32, "log_every": 1},
        "unet_optimizer": {"warmup": 0, "lr": 0.003},
        "sample": {"steps": 2},
    }.items():
        workflow.nodes[id].params.update(params)
    return workflow


def test_the_transformer_trains_in_the_quickstarts_graph_by_exchanging_one_node(
    without: Registry, tmp_path: Path
) -> None:
    workflow = quickstart()
    assert wrong_with(workflow, without, tmp_path) == []
    targets = ["decoded", "diffusion.models.unet"]
    result = Engine(without, tmp_path).run(workflow, targets=targets)
    told = [event for event in result.events if isinstance(event, events.Metric) and event.node == "diffusion"]
    found = [event.values["loss/diffusion"] for event in told]
    assert found[0] == pytest.approx(1, abs=0.2), "it predicts nothing at first"
    assert sum(found[-5:]) / 5 < 0.9
    assert isinstance(result.values["diffusion.models.unet"], DiT)
    again = Engine(without, tmp_path).run(workflow, targets=targets)
    assert "diffusion" in of(again, events.Cached)
    assert torch.equal(again.values["decoded"], result.values["decoded"])
    saved = load_model(tmp_path / "models/quickstart/unet.safetensors").model
    assert isinstance(saved, DiT)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"context_dim": 0}, "the DiT takes no context"),
        ({"context_dim": 8}, "context must be (b, tokens, 8)"),
        ({"num_classes": 24}, "the DiT needs y"),
        ({"patch_size": 16, "sample_size": 16}, "multiples of its patches' 16"),
        ({"in_channels": 3}, "takes b 3 ..., says model"),
    ],
)
def test_a_transformer_that_does_not_fit_is_known_before_the_run(
    changes: dict[str, Any], wrong: str, without: Registry, tmp_path: Path
) -> None:
    found = wrong_with(quickstart(**changes), without, tmp_path)
    assert found
    assert all(wrong in text for text in found), found
