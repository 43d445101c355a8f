"""Distillations that ship as graphs: what a student learns is what a few lines of PyTorch say, and it begins as its teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Node, Workflow
from graph_runner.run.engine import Engine
from tests.nodes.test_sampling import assert_close
from tests.workflows.test_algorithms import both, rates, small
from tests.workflows.test_tasks import nodes_of


@pytest.fixture
def engine(registry: Registry, tmp_path: Path) -> Engine:
    return Engine(registry, tmp_path)


def one_step(workflow: Workflow) -> Workflow:
    """What a training's loss is calculated from, as a graph of its own: one batch, and what the zones carry wired from outside."""
    outside = {
        "distil.batch": "one_batch",
        "distil.models.student": "unet",
        "distil.ema.student": "unet",
        "rounds.state.unet": "unet",
        "rounds.state.steps": "teacher_steps",
    }
    nodes = nodes_of(workflow.nodes)
    nodes["one_batch"] = Node.model_validate({"type": "take_batch", "params": {"count": 2}, "wires": {"data": "latents"}})  # fmt: skip
    kept: dict[str, Node] = {}

    def keep(wire: str) -> str:
        wire = outside.get(wire, wire)
        id = wire.split(".")[0]
        if id not in kept:
            kept[id] = node = nodes[id]
            for port, wired in node.wires.items():
                if isinstance(wired, str):
                    node.wires[port] = keep(wired)
                elif isinstance(wired, dict):
                    node.wires[port] = {name: keep(each) for name, each in wired.items()}
        return wire

    keep("loss")
    return Workflow(loom=1, definitions=workflow.definitions, nodes=kept)


def ddim(model: Any, z: Tensor, t: Tensor, then: Tensor, condition: Any) -> Tensor:
    z0, eps = both(model, z, t, condition)
    signal, noise = rates(then)
    return signal * z0 + noise * eps


def test_two_steps_of_the_teacher_are_one_of_the_student(engine: Engine) -> None:
    """Salimans & Ho 2022, algorithm 2: from z_t the target leads in one step of DDIM where the teacher comes in two."""
    workflow = one_step(small("progressive_distillation", teacher_steps={"formula": "8"}))
    targets = ["loss", "target", "t", "drawn", "zt", "unet", "context"]
    values = engine.run(workflow, targets=targets, only=True).values
    t, zt, model, condition = values["t"], values["zt"].double(), values["unet"], values["context"]
    assert torch.equal(t, (values["drawn"] // 250 + 1) * 250.0 - 1), "of the student's four levels"
    middle, end = t - 125, (t - 250).clamp(min=0)
    arrived = ddim(model, ddim(model, zt, t, middle, condition), middle, end, condition)
    (signal, noise), (signal_end, noise_end) = rates(t), rates(end)
    target = values["target"].double()
    assert_close(signal_end * target + noise_end * (zt - signal * target) / noise, arrived)
    z0, _ = both(model, zt, t, condition)
    snr = ((signal / noise) ** 2).clamp(min=1)
    assert values["loss"].item() == pytest.approx((snr * (z0 - target) ** 2).mean().item(), rel=1e-3)


def test_what_a_consistency_model_says_next_is_what_it_learns(engine: Engine) -> None:
    """Luo et al. 2023, algorithm 1: guided DDIM from t to t − 20, and the average's word there."""
    workflow = one_step(small("consistency_distillation"))
    targets = ["loss", "t", "zt", "z_before", "unet", "context", "null"]
    values = engine.run(workflow, targets=targets, only=True).values
    t, zt, model, told = values["t"], values["zt"].double(), values["unet"], values["context"]
    before = (t - 20).clamp(min=0)
    (z0, eps), (free_z0, free_eps) = (both(model, zt, t, condition) for condition in (told, values["null"]))
    signal, noise = rates(before)
    z = signal * (free_z0 + 3 * (z0 - free_z0)) + noise * (free_eps + 3 * (eps - free_eps))
    assert_close(values["z_before"], z)

    def start(z: Tensor, t: Tensor) -> Tensor:
        far = 10 * t.reshape(-1, 1, 1, 1).double()
        return 0.25 / (far**2 + 0.25) * z + far / (far**2 + 0.25).sqrt() * both(model, z, t, told)[0]

    wanted = (((start(zt, t) - start(z, before)) ** 2 + 1e-6).sqrt() - 1e-3).mean().item()
    assert values["loss"].item() == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("name", ["progressive_distillation", "consistency_distillation"])
def test_a_student_begins_as_its_teacher_in_one_graph(name: str, engine: Engine) -> None:
    """With no step of training it says what its teacher says, with one it does not, and the teacher stays as it was."""
    student = {"progressive_distillation": "rounds.unet", "consistency_distillation": "distil.models.student"}[name]
    for steps in (0, 1):
        workflow = small(name, distil={"steps": steps, "batch_size": 2})
        values = engine.run(workflow, targets=[student, "unet"], only=True).values
        assert values[student] is not values["unet"]
        weights = zip(values[student].parameters(), values["unet"].parameters(), strict=True)
        same = [torch.equal(learnt, taught) for learnt, taught in weights]
        assert all(same) == (steps == 0)
