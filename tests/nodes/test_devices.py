"""The quickstart on a GPU: every node's values on the device, and pictures as on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import load
from graph_runner.run.engine import Engine

QUICKSTART = Path(__file__).parents[2] / "workflows" / "quickstart.json"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_quickstart_trains_and_samples_on_a_gpu_as_on_the_cpu(tmp_path: Path) -> None:
    workflow = load(QUICKSTART)
    workflow.nodes["shapes"].params["size"] = 256
    for zone in ("autoencoder", "diffusion"):
        workflow.nodes[zone].params["steps"] = 4
    workflow.nodes["sample"].params["steps"] = 5
    registry = Registry.installed()
    images = [
        Engine(registry, tmp_path / device, device=device).run(workflow, targets=["decoded"]).values["decoded"].cpu()
        for device in ("cpu", "cuda")
    ]
    assert torch.allclose(*images, atol=0.05)
