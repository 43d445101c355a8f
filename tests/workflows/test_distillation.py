"""Distillations that ship as graphs: a student begins as its teacher, and its weights become what a few lines of PyTorch make of them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.models.denoiser import denoise
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Node, Workflow
from graph_runner.run.engine import Engine
from tests.workflows.test_algorithms import rates, small, without_chance
from tests.workflows.test_tasks import nodes_of

RATE = 0.001


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


def without_chance_or_momentum(workflow: Workflow, zone: str = "distil", drawn: str = "drawn") -> None:
    """One batch; timesteps follow from label and step, noise is the cosine of the latent; the optimizer is plain gradient descent."""
    without_chance(workflow)
    nodes = nodes_of(workflow.nodes)
    body = nodes[zone].body
    assert body is not None
    wires: dict[str, Any] = {"labels": "labels", "step": f"{zone}.step"}
    formula = {"formula": "(labels * 41 + step * 331) % 1000"}
    body.nodes["number"] = Node.model_validate({"type": "expression", "params": formula, "wires": {"values": wires}})
    body.nodes["any"] = Node.model_validate({"type": "to_timestep", "params": {"t": 0}})
    nodes[drawn].type, nodes[drawn].params, nodes[drawn].wires = "as_kind_of", {}, {"x": "number", "like": "any"}
    nodes["optimizer"].type, nodes["optimizer"].params = "sgd", {"lr": RATE, "momentum": 0}
    for id in ("z", "labels"):
        nodes[id].type, nodes[id].params, nodes[id].wires = (
            "expression",
            {"formula": "x + 0"},
            {"values": {"x": f"all_{id}"}},
        )
    batch = {"one_batch": ("take_batch", {"data": "latents"}), "all_z": ("batch_latents", {"batch": "one_batch"})}
    for id, (type, wires) in (batch | {"all_labels": ("batch_labels", {"batch": "one_batch"})}).items():
        workflow.nodes[id] = Node.model_validate({"type": type, "wires": wires})
    workflow.nodes["one_batch"].params["count"] = 2


def estimates(model: Any, z: Tensor, t: Tensor, condition: Any) -> tuple[Tensor, Tensor]:
    """(z0, eps) of a denoiser that predicts eps."""
    signal, noise = (each.float() for each in rates(t))
    eps = denoise(model, z, t, condition)
    return (z - noise * eps) / signal, eps


@torch.no_grad()
def ddim(model: Any, z: Tensor, t: Tensor, then: Tensor, condition: Any, null: Any = None, scale: float = 1) -> Tensor:
    z0, eps = estimates(model, z, t, condition)
    if scale != 1:
        free_z0, free_eps = estimates(model, z, t, null)
        z0, eps = torch.lerp(free_z0, z0, scale), torch.lerp(free_eps, eps, scale)
    signal, noise = (each.float() for each in rates(then))
    return signal * z0 + noise * eps


def noised(z: Tensor, t: Tensor) -> Tensor:
    signal, noise = (each.float() for each in rates(t))
    return signal * z + noise * z.cos()


def step_down(student: nn.Module, loss: Tensor) -> None:
    gradients = torch.autograd.grad(loss, weights := list(student.parameters()))
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= RATE * gradient


def assert_learnt(found: nn.Module, wanted: nn.Module, before: nn.Module) -> None:
    """The same weights, far from those before."""
    learnt, expected, first = (
        nn.utils.parameters_to_vector(each.parameters()).detach() for each in (found, wanted, before)
    )
    print(
        float((learnt - expected).abs().max()),
        float((expected - first).abs().max()),
        float((learnt - expected).norm() / (expected - first).norm()),
    )
    assert float((learnt - expected).abs().max()) <= 1e-5
    assert float((expected - first).abs().max()) > 1e-4


@pytest.mark.slow
def test_rounds_of_progressive_distillation_are_the_papers(engine: Engine) -> None:
    """Salimans & Ho 2022, algorithm 2: from eight steps to four to two, two steps of gradient descent in each round."""
    workflow = small("progressive_distillation", teacher_steps={"formula": "8"}, distil={"steps": 2, "batch_size": 2})
    without_chance_or_momentum(workflow)
    values = engine.run(workflow, targets=["rounds.unet", "unet", "all_z", "all_labels", "embedder"], only=True).values
    z, labels = values["all_z"], values["all_labels"]
    condition = Conditioning(context=values["embedder"](labels))
    student = copy.deepcopy(values["unet"]).requires_grad_()
    for n in (4, 2):
        teacher = copy.deepcopy(student)
        for step in range(2):
            t = ((labels * 41 + step * 331) % 1000 * n // 1000 + 1) * 1000.0 / n - 1
            end = (t - 1000 / n).clamp(min=0)
            zt = noised(z, t)
            halfway = ddim(teacher, zt, t, t - 500 / n, condition)
            arrived = ddim(teacher, halfway, t - 500 / n, end, condition)
            (signal, noise), (signal_end, noise_end) = rates(t), rates(end)
            target = (arrived - noise_end / noise * zt) / (signal_end - noise_end / noise * signal)
            weight = ((signal / noise) ** 2).clamp(min=1)
            step_down(student, (weight * (target - estimates(student, zt, t, condition)[0]) ** 2).mean())
    assert_learnt(values["rounds.unet"], student, values["unet"])


@pytest.mark.slow
def test_consistency_distillation_is_the_papers(engine: Engine) -> None:
    """Luo et al. 2023, algorithm 1, three steps: the target is the average's word where the guided teacher's step leads."""
    workflow = small("consistency_distillation", distil={"steps": 3, "batch_size": 2})
    without_chance_or_momentum(workflow)
    targets = ["distil.models.student", "distil.ema.student", "unet", "all_z", "all_labels", "embedder", "null"]
    values = engine.run(workflow, targets=targets, only=True).values
    z, labels, teacher = values["all_z"], values["all_labels"], values["unet"]
    condition = Conditioning(context=values["embedder"](labels))

    def start(model: Any, z: Tensor, t: Tensor) -> Tensor:
        far = 10 * t.reshape(-1, 1, 1, 1)
        return 0.25 / (far**2 + 0.25) * z + far / (far**2 + 0.25).sqrt() * estimates(model, z, t, condition)[0]

    student, average = copy.deepcopy(teacher).requires_grad_(), copy.deepcopy(teacher)
    for step in range(3):
        t = ((labels * 41 + step * 331) % 1000 // 20 + 1) * 20.0 - 1
        before = (t - 20).clamp(min=0)
        zt = noised(z, t)
        with torch.no_grad():
            target = start(average, ddim(teacher, zt, t, before, condition, values["null"], 3), before)
        step_down(student, (((start(student, zt, t) - target) ** 2 + 1e-6).sqrt() - 1e-3).mean())
        with torch.no_grad():
            for mean, weight in zip(average.parameters(), student.parameters(), strict=True):
                mean.lerp_(weight, 1 - (2 + step) / (11 + step))
    assert_learnt(values["distil.models.student"], student, teacher)
    assert_learnt(values["distil.ema.student"], average, teacher)


def test_one_step_of_the_student_arrives_where_two_of_its_teacher_do(engine: Engine) -> None:
    """The target of progressive distillation, of one batch as the graph draws it."""
    workflow = one_step(small("progressive_distillation", teacher_steps={"formula": "8"}))
    values = engine.run(workflow, targets=["target", "t", "drawn", "zt", "unet", "context"], only=True).values
    t, zt, model, condition = values["t"], values["zt"], values["unet"], values["context"]
    assert torch.equal(t, (values["drawn"] // 250 + 1) * 250.0 - 1), "of the student's four levels"
    middle, end = t - 125, (t - 250).clamp(min=0)
    arrived = ddim(model, ddim(model, zt, t, middle, condition), middle, end, condition)
    (signal, noise), (signal_end, noise_end) = rates(t), rates(end)
    target = values["target"]
    torch.testing.assert_close(
        (signal_end * target + noise_end * (zt - signal * target) / noise).float(), arrived, rtol=1e-5, atol=1e-5
    )


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
