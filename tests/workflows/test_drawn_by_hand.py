"""Algorithms that ship as graphs of single nodes: each gives what the built-in node gives, or what a few lines of torch give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.diffusion.schedule import NoiseSchedule
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Node, Workflow, load
from graph_runner.run.engine import Engine
from tests.workflows.test_shipped import WORKFLOWS


def two(name: str, **formulas: str) -> Workflow:
    """A shipped workflow, of two samples."""
    workflow = load(WORKFLOWS / f"{name}.json")
    for id, changed in {"noise": {"shape": [2, 4, 8, 8]}, "noise_from": {"shape": [2, 4, 8, 8]}, "noise_to": {"shape": [2, 4, 8, 8]}, "prompt": {"classes": [0, 5]}}.items():  # fmt: skip
        if id in workflow.nodes:
            workflow.nodes[id].params.update(changed)
    for id, formula in formulas.items():
        workflow.nodes[id].params["formula"] = formula
    return workflow


def denoiser(zone: str, scale: Any) -> dict[str, Any]:
    at = {"model": "unet", "z": f"{zone}.z", "t": f"{zone}.t"}
    return {
        "nodes": {
            "own_cond": {"type": "denoise", "wires": at | {"condition": "prompt"}},
            "own_uncond": {"type": "denoise", "wires": at | {"condition": "null"}},
            "own_guide": {"type": "cfg_combine", "wires": {"cond": "own_cond", "uncond": "own_uncond", "scale": scale}},
        },
        "results": {"prediction": "own_guide"},
    }


@pytest.mark.parametrize(("solver", "result"), [("ddim", "z"), ("heun", "x")])
@pytest.mark.parametrize("steps", [1, 5])
def test_a_solver_drawn_by_hand_is_the_built_in_one(solver: str, result: str, steps: int, registry: Registry, tmp_path: Path) -> None:  # fmt: skip
    workflow = two(f"{solver}_by_hand", steps=str(steps))
    workflow.nodes["built_in"] = Node.model_validate(
        {
            "type": "sample",
            "params": {"solver": solver},
            "wires": {"noise": "noise", "schedule": "schedule", "steps": "steps"},
            "body": denoiser("built_in", "scale"),
        }
    )
    drawn = f"{solver}.{result}"
    values = Engine(registry, tmp_path).run(workflow, targets=[drawn, "built_in"], only=True).values
    assert torch.allclose(values[drawn], values["built_in"], atol=1e-5, rtol=1e-5)


def test_the_way_between_noises_is_an_arc(registry: Registry, tmp_path: Path) -> None:
    workflow = two("slerp")
    walk = workflow.nodes["walk"]
    assert walk.body is not None
    walk.params["over"] = {"weight": [0.0, 0.3, 1.0]}
    walk.body.results["noises"] = "noise"
    walk.body.nodes["sample"].params["steps"] = 1
    values = (
        Engine(registry, tmp_path).run(workflow, targets=["walk.noises", "noise_from", "noise_to"], only=True).values
    )
    a, b = values["noise_from"].flatten(1).double(), values["noise_to"].flatten(1).double()
    angle = torch.acos((a * b).sum(1, keepdim=True) / a.norm(dim=1, keepdim=True) / b.norm(dim=1, keepdim=True))
    for weight, noise in zip((0.0, 0.3, 1.0), values["walk.noises"], strict=True):
        wanted = (torch.sin((1 - weight) * angle) * a + torch.sin(weight * angle) * b) / torch.sin(angle)
        assert torch.allclose(noise.flatten(1).double(), wanted, atol=1e-5)


def test_ddim_by_hand_is_a_few_lines_of_torch(registry: Registry, tmp_path: Path) -> None:
    """Song et al. 2021, eq. 12, beside the graph: nothing of ours but the table of ᾱ and the network."""
    workflow = two("ddim_by_hand", steps="4", scale="1")
    values = Engine(registry, tmp_path).run(workflow, targets=["ddim.z", "unet", "noise", "prompt"], only=True).values
    alphas = NoiseSchedule.linear(1000, 0.00085, 0.012).alphas_cumprod.double()
    z = values["noise"].double()
    for t, then in ((751, 501), (501, 251), (251, 1), (1, 0)):
        with torch.no_grad():
            eps = values["unet"](z.float(), torch.full((2,), float(t)), values["prompt"]).double()
        z0 = (z - (1 - alphas[t]).sqrt() * eps) / alphas[t].sqrt()
        z = alphas[then].sqrt() * z0 + (1 - alphas[then]).sqrt() * eps
    assert torch.allclose(values["ddim.z"].double(), z, atol=1e-4)
