"""A training that is compiled is the same training: its losses, its checkpoints, its names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base.events import Metric
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.acceleration import is_compiled
from graph_runner.run.engine import Engine, Result
from tests.graph_runner.conftest import graph

NODES = ["nodes.models", "nodes.diffusion", "nodes.training", "nodes.data", "nodes.conditioning", "graph_runner.zones"]


@pytest.fixture
def traced_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inductor takes minutes; what is traced runs as it is, with the backward pass that was traced."""
    compile = torch.compile

    def eager(function: Any, **options: Any) -> Any:
        return compile(function, **options | {"mode": None, "backend": "aot_eager"})

    monkeypatch.setattr(torch, "compile", eager)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def training(steps: int) -> Workflow:
    """A transformer learns to take the noise off pictures themselves."""
    net = {"in_channels": 3, "hidden_size": 16, "depth": 2, "num_heads": 2, "patch_size": 4, "sample_size": 16}
    return graph(
        {
            "pictures": {"type": "shapes_dataset", "params": {"size": 16, "resolution": 16}},
            "schedule": {"type": "noise_schedule"},
            "net0": {"type": "dit", "params": net},
            "adam": {"type": "adamw", "params": {"lr": 0.01}},
            "fit": {
                "type": "train",
                "wires": {"data": "pictures", "models": {"net": "net0"}},
                "params": {"steps": steps, "batch_size": 4, "ema": 0.9, "log_every": 1},
                "body": {
                    "nodes": {
                        "x": {"type": "batch_images", "wires": {"batch": "fit.batch"}},
                        "z0": {"type": "as_latent", "wires": {"x": "x"}},
                        "t": {"type": "random_timesteps", "wires": {"schedule": "schedule", "z": "z0"}},
                        "eps": {"type": "noise_like", "wires": {"z": "z0"}},
                        "z": {
                            "type": "add_noise",
                            "wires": {"schedule": "schedule", "z0": "z0", "noise": "eps", "t": "t"},
                        },
                        "guess": {"type": "denoise", "wires": {"model": "fit.models.net", "z": "z", "t": "t"}},
                        "error": {
                            "type": "diffusion_loss",
                            "wires": {
                                "schedule": "schedule",
                                "prediction": "guess",
                                "z0": "z0",
                                "noise": "eps",
                                "t": "t",
                            },
                        },
                        "aim": {
                            "type": "objective",
                            "wires": {"loss": "error", "models": ["fit.models.net"], "optimizer": "adam"},
                        },
                    },
                    "results": {"objectives": ["aim"]},
                },
            },
        }
    )


def losses(result: Result) -> list[float]:
    return [event.values["loss/loss"] for event in result.events if isinstance(event, Metric)]


def run(folder: Path, steps: int, **options: Any) -> Result:
    registry = Registry.scan([*NODES, "tests.nodes.toy_latents"])
    return Engine(registry, folder, **options).run(training(steps), targets=["fit.models.net", "fit.ema.net"])


def held_against_plain(tmp_path: Path, tolerance: float) -> None:
    plain = run(tmp_path / "plain", 4)
    fast = run(tmp_path / "fast", 2, compile="default")
    assert is_compiled(fast.values["fit.models.net"])
    assert losses(fast) == pytest.approx(losses(plain)[:2], rel=tolerance)
    further = run(tmp_path / "fast", 4)
    assert len(losses(further)) == 2, "it goes on from the compiled one's checkpoint"
    assert losses(further) == pytest.approx(losses(plain)[2:], rel=tolerance)
    for name, model in further.values.items():
        wanted = plain.values[name].state_dict()
        assert list(model.state_dict()) == list(wanted)
        for key, tensor in model.state_dict().items():
            torch.testing.assert_close(tensor, wanted[key], rtol=100 * tolerance, atol=100 * tolerance)


@pytest.mark.usefixtures("traced_alone")
def test_a_training_that_was_compiled_and_goes_on_without_is_one_that_never_was(tmp_path: Path) -> None:
    held_against_plain(tmp_path, 1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of Inductor's own imports
def test_and_so_it_is_with_inductors_kernels(tmp_path: Path) -> None:
    held_against_plain(tmp_path, 1e-4)
