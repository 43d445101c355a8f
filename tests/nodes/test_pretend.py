"""Every node on a device that is not the CPU: it mixes no devices there, and its numbers are the CPU's (`tests.pretend`).

Which nodes are not called by themselves, and why, says `tests.nodes.test_contract`: zones and what needs gradients run there in
whole graphs (`tests.workflows.test_pretend`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.diffusion.solvers import SOLVERS
from core.models.autoencoder import DiagonalGaussian
from graph_runner.context import Rng
from graph_runner.contract.registry import Registry
from graph_runner.contract.spec import NodeSpec
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from tests.effort import cases
from tests.nodes.test_contract import ELSEWHERE, OPTIONAL, REGISTRY, arguments, plain
from tests.nodes.test_precision import sampling
from tests.nodes.test_world import differs, leaves
from tests.pretend import DEVICE, engine_there

CALLED = sorted(set(REGISTRY) - set(ELSEWHERE))


def at(value: Any, device: torch.device) -> Any:
    """A value as the engine hands it to a node."""
    if isinstance(value, dict):
        return {key: at(item, device) for key, item in value.items()}
    if isinstance(value, list):
        return [at(item, device) for item in value]
    if isinstance(value, DiagonalGaussian):
        return DiagonalGaussian(*(at(item, device) for item in value))
    return value.to(device) if hasattr(value, "to") else value


def called(spec: NodeSpec, folder: Path, device: torch.device) -> list[Any]:
    """The numbers and texts that a node gives there."""
    folder.mkdir()
    torch.manual_seed(0)
    kwargs = {name: at(value, device) for name, value in arguments(spec, folder).items()}
    own = {"device": device, "rng": Rng(7, device)}
    kwargs |= {name: own[kind] for name, kind in spec.injected.items() if kind in own}
    torch.manual_seed(1)
    with torch.no_grad():
        value = plain(spec.function(**kwargs))
    return [leaf.cpu() if isinstance(leaf, Tensor) else leaf for leaf in leaves(value)]


@pytest.mark.parametrize("name", CALLED)
def test_a_node_gives_there_what_it_gives_on_the_cpu(name: str, tmp_path: Path) -> None:
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name])
    wanted = called(REGISTRY[name], tmp_path / "here", torch.device("cpu"))
    found = called(REGISTRY[name], tmp_path / "there", DEVICE)
    assert not differs(found, wanted), "within the rounding of another kernel of attention"


@pytest.mark.parametrize(
    "process",
    ["noise_schedule", *(pytest.param(p, marks=pytest.mark.slow) for p in ("rectified_flow", "edm")[: cases(1, 2)])],
)
@pytest.mark.parametrize("solver", sorted(set(SOLVERS) - {"ddim_inversion"}))
def test_a_solver_draws_there_what_it_draws_on_the_cpu(
    registry: Registry, tmp_path: Path, solver: str, process: str
) -> None:
    workflow = sampling({}, schedule={"type": process})
    workflow.nodes["draw"].params |= {"solver": solver, "steps": 3}
    here, there = Engine(registry, tmp_path / "here"), engine_there(registry, tmp_path / "there")
    try:
        wanted = here.run(workflow, targets=["draw"]).values["draw"]
    except NodeError as error:
        pytest.skip(f"not for this process: {error}")
    found = there.run(workflow, targets=["draw"]).values["draw"]
    assert found.device == DEVICE
    assert torch.allclose(found.cpu(), wanted, rtol=1e-3, atol=1e-4)
