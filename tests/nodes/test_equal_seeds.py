"""Equal seeds in our own nodes: a warning only where something is drawn."""

from __future__ import annotations

from typing import Any

import pytest

from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow

REGISTRY = Registry.scan(["graph_runner.zones", "nodes"])


def sampled(name: str, **params: Any) -> dict[str, Any]:
    body = {"guess": {"type": "denoise", "wires": {"model": "unet", "z": f"{name}.z", "t": f"{name}.t"}}}
    return {
        "type": "sample",
        "params": params,
        "wires": {"noise": "noise", "schedule": "schedule"},
        "body": {"nodes": {f"{name}_{id}": node for id, node in body.items()}, "results": {"prediction": f"{name}_guess"}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("params", "drawn"),
    [
        ({}, False),
        ({"solver": "ddim", "eta": 0}, False),
        ({"solver": "ddim", "eta": 0.5}, True),
        ({"solver": "heun"}, False),
        ({"solver": "ddpm"}, True),
        ({"solver": "lcm"}, True),
        ({"solver": "euler_ancestral"}, True),
        ({"solver": "euler_ancestral", "eta": 0}, False),
    ],
)
def test_two_samplers_are_told_where_their_solver_adds_noise(params: dict[str, Any], drawn: bool) -> None:
    nodes = {
        "noise": {"type": "gaussian_noise", "params": {"shape": [1, 4, 8, 8]}},
        "schedule": {"type": "noise_schedule"},
        "unet": {"type": "unet"},
        "a": sampled("a", **params),
        "b": sampled("b", **params),
    }
    problems = validate(Workflow.model_validate({"loom": 1, "nodes": nodes}), REGISTRY)[1]
    assert [(problem.node, problem.severity) for problem in problems] == ([("b", "warning")] if drawn else [])


@pytest.mark.parametrize(
    ("type", "never", "drawn"),
    [
        ("degrade_images", {"kind": "bicubic"}, {"kind": "light"}),
        ("drop_labels", {"probability": 0}, {"probability": 0.1}),
        ("drop_captions", {"probability": 0}, {"probability": 0.1}),
        ("drop_conditions", {"probability": 0}, {"probability": 0.1}),
        ("layout_tokens", {"shuffle": False}, {"shuffle": True}),
        ("offset_noise", {"strength": 0}, {"strength": 0.1}),
    ],
)
def test_what_nothing_is_drawn_for_may_share_a_seed(type: str, never: dict[str, Any], drawn: dict[str, Any]) -> None:
    spec = REGISTRY[type]
    assert not spec.draws_with(never)
    assert spec.draws_with(drawn)
    assert spec.draws_with({}), "a literal that is wired shows only when the node runs"
