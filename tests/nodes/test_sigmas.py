"""Sigmas by hand and churn on graphs: what the nodes make, and that `sample` walks it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from core.diffusion.schedule import NoiseSchedule
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from nodes.sigmas import (
    Halves,
    beta_sigmas,
    churn,
    exponential_sigmas,
    karras_sigmas,
    shift_sigmas,
    solver_sigmas,
    split_sigmas,
    timestep_sigmas,
)

SCHEDULE = NoiseSchedule.linear(1000)
SPACED = {"solver": "euler", "steps": 6, "spacing": "karras"}


def zone(name: str, wires: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    half, told = f"{name}_half", f"{name}_told"
    about = {"z": f"{name}.z", "t": f"{name}.t", "schedule": "schedule"}
    body = {
        half: {"type": "weighted_sum", "params": {"weights": [0.5]}, "wires": {"values": [f"{name}.z"]}},
        told: {"type": "as_prediction", "wires": {"value": half, **about}},
    }
    return {
        "type": "sample",
        "params": params,
        "wires": {"schedule": "schedule"} | (wires or {"noise": "noise"}),
        "body": {"nodes": body, "results": {"prediction": told}},
    }


def run(engine: Engine, *targets: str, **more: Any) -> Any:
    parts = {
        "schedule": {"type": "noise_schedule"},
        "noise": {"type": "gaussian_noise", "params": {"shape": [2, 4, 4, 4], "seed": 7}},
        **more,
    }
    return engine.run(Workflow.model_validate({"loom": 1, "nodes": parts}), targets=list(targets)).values


def test_a_solvers_levels_by_hand_are_its_own(engine: Engine) -> None:
    listed = {"type": "solver_sigmas", "params": SPACED, "wires": {"schedule": "schedule"}}
    by_hand = zone("b", {"noise": "noise", "sigmas": "listed"}, solver="euler")
    values = run(engine, "a", "b", a=zone("a", **SPACED), b=by_hand, listed=listed)
    torch.testing.assert_close(values["a"], values["b"], rtol=1e-5, atol=1e-5)


def test_two_halves_of_a_list_are_the_whole(engine: Engine) -> None:
    listed = {"type": "solver_sigmas", "params": SPACED, "wires": {"schedule": "schedule"}}
    halves = {"type": "split_sigmas", "params": {"step": 2}, "wires": {"sigmas": "listed"}}
    first = zone("first", {"noise": "noise", "sigmas": "halves.high"}, solver="euler")
    last = zone("last", {"z": "first", "sigmas": "halves.low"}, solver="euler")
    values = run(engine, "a", "last", a=zone("a", **SPACED), first=first, last=last, listed=listed, halves=halves)
    torch.testing.assert_close(values["a"], values["last"], rtol=1e-5, atol=1e-5)


def test_sigmas_are_typed_and_a_picture_gets_the_noise_of_the_first(engine: Engine) -> None:
    typed = [3.0, 1.0, 0.5]
    params = {"solver": "heun", "sigmas": typed}
    values = run(engine, "a", "b", a=zone("a", **params), b=zone("b", {"noise": "noise", "z0": "noise"}, **params))
    assert not torch.equal(values["a"], values["b"])
    with pytest.raises(NodeError, match="each smaller than the one before it"):
        run(engine, "a", a=zone("a", sigmas=[1.0, 2.0]))


def test_churn_adds_noise_by_row_and_goes_on_in_a_second_part(engine: Engine) -> None:
    numbers: dict[str, Any] = {"churn": [40.0, 0.1, 8.0, 1.003], "seed": 3}

    def sampled(**params: Any) -> Tensor:
        value: Tensor = run(engine, "a", a=zone("a", **SPACED, **params))["a"]
        return value

    churned = sampled(**numbers)
    assert not torch.allclose(churned, sampled())
    assert torch.equal(churned, sampled(**numbers))
    first = zone("first", **SPACED, **numbers, end_at_step=4)
    last = zone("last", {"z": "first"}, **SPACED, **numbers, start_at_step=4)
    parts = run(engine, "last", first=first, last=last)["last"]
    torch.testing.assert_close(parts, churned, rtol=1e-5, atol=1e-5)
    wired = {"type": "churn", "params": {"s_churn": 40, "s_tmin": 0.1, "s_tmax": 8, "s_noise": 1.003}}
    given = zone("a", {"noise": "noise", "churn": "numbers"}, **SPACED, seed=3)
    assert torch.equal(run(engine, "a", a=given, numbers=wired)["a"], churned)
    with pytest.raises(NodeError, match="has no churn"):
        run(engine, "a", a=zone("a", solver="ddim", churn=[1.0]))


def test_the_lists_are_k_diffusions_diffusers_and_comfyuis() -> None:
    assert karras_sigmas(3, 8.0, 1.0, 1.0) == pytest.approx([8, 4.5, 1, 0])
    assert exponential_sigmas(3, 8.0, 2.0) == pytest.approx([8, 4, 2, 0])
    assert exponential_sigmas(3, 16.0, 1.0, 2.0) == pytest.approx([16, 2, 1, 0])
    assert solver_sigmas(SCHEDULE, "euler", 5, "comfyui_beta") == pytest.approx(beta_sigmas(SCHEDULE, 5))
    assert beta_sigmas(SCHEDULE, 5, 1.0, 1.0) == pytest.approx(
        [*(SCHEDULE.level(t).sigma for t in (999, 799, 599, 400, 200)), 0.0]
    )
    assert timestep_sigmas(SCHEDULE, [999, 10]) == [SCHEDULE.level(999).sigma, SCHEDULE.level(10).sigma, 0.0]
    assert timestep_sigmas(SCHEDULE, [999, 10], False) == [SCHEDULE.level(999).sigma, SCHEDULE.level(10).sigma]
    assert split_sigmas([3.0, 2.0, 1.0, 0.0], 2) == Halves([3.0, 2.0, 1.0], [1.0, 0.0])
    assert shift_sigmas([1.0, 0.5, 0.0], 3.0) == [1.0, 0.75, 0.0]
    assert churn() == [40.0, 0.05, 50.0, 1.003]


def test_lists_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="sigma_min must lie below sigma_max, not 1 and 1"):
        karras_sigmas(3, 1.0, 1.0)
    with pytest.raises(ValueError, match="3 sigmas are 2 steps, which cannot be split before step 2"):
        split_sigmas([2.0, 1.0, 0.0], 2)
    with pytest.raises(ValueError, match="levels u of a flow"):
        shift_sigmas([14.6, 0.0])
    with pytest.raises(ValueError, match="each less noisy"):
        timestep_sigmas(SCHEDULE, [10, 999])
