"""Solvers drawn by hand of levels, estimates and formulas give what the built-in ones give; what a prediction says in other words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.diffusion.edm import EDM
from core.diffusion.flow import RectifiedFlow
from core.diffusion.process import Process
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import SOLVERS
from graph_runner.base.events import Metric
from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError
from nodes import levels

REGISTRY = Registry.scan(["graph_runner.zones", "nodes", "tests.nodes.toy_models"])

BETAS = {"eps": NoiseSchedule.linear(1000), "v": NoiseSchedule.linear(1000, parametrisation="v"), "x0": NoiseSchedule.linear(1000, parametrisation="x0")}  # fmt: skip
PROCESSES: dict[str, Process] = BETAS | {"flow": RectifiedFlow(2.0), "edm": EDM()}
T = {"flow": [100.0, 900.0], "edm": [-1.0, 0.5]}


def node(type: str, params: dict[str, Any] | None = None, **wires: Any) -> dict[str, Any]:
    return {"type": type, "params": params or {}, "wires": wires}


def formula(text: str, params: dict[str, Any] | None = None, **values: str) -> dict[str, Any]:
    return node("expression", {"formula": text} | ({"values": params} if params else {}), **({"values": values} if values else {}))  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(REGISTRY, tmp_path)


def tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", PROCESSES)
def test_a_prediction_said_as_something_else_and_back_is_itself(kind: str) -> None:
    process, t = PROCESSES[kind], torch.tensor(T.get(kind, [100.0, 900.0]))
    z, prediction = tensor(2, 4, 8, 8), tensor(2, 4, 8, 8, seed=1)
    estimate = {"z0": process.to_z0, "eps": process.to_eps} | (
        {} if kind == "edm" else {"velocity": process.to_velocity}
    )
    for given, read in estimate.items():
        value = read(prediction, z, t)
        back = levels.as_prediction(value, z, t, process, given)  # type: ignore[arg-type]
        assert torch.allclose(back, prediction, atol=1e-4), given
    rates = levels.noise_level(process, t)
    z0, eps = estimate["z0"](prediction, z, t), estimate["eps"](prediction, z, t)
    assert torch.allclose(rates.signal.view(2, 1, 1, 1) * z0 + rates.noise.view(2, 1, 1, 1) * eps, z, atol=1e-4)
    assert torch.allclose(rates.sigma, rates.noise / rates.signal)
    assert torch.allclose(rates.snr, rates.sigma**-2, rtol=1e-4)
    if kind == "flow":
        assert torch.allclose(process.to_velocity(prediction, z, t), eps - z0, atol=1e-4)
    elif kind != "edm":
        v = rates.signal.view(2, 1, 1, 1) * eps - rates.noise.view(2, 1, 1, 1) * z0
        assert torch.allclose(process.to_velocity(prediction, z, t), v, atol=1e-4)


def test_a_process_without_a_velocity_says_so() -> None:
    with pytest.raises(ValueError, match="EDM has no velocity"):
        levels.estimate_velocity(tensor(2, 4), tensor(2, 4), torch.zeros(2), EDM())


@pytest.mark.parametrize("solver", ["ddim", "heun", "dpmpp_2m", "lcm"])
def test_any_level_that_a_solver_visits(solver: str) -> None:
    schedule, cpu = NoiseSchedule.linear(1000), torch.device("cpu")
    for i, level in enumerate(SOLVERS[solver].levels(schedule, 5).levels):
        found = levels.solver_level(schedule, i, cpu, solver, 5)  # type: ignore[arg-type]
        assert (float(found.t), found.signal, found.noise, found.sigma) == pytest.approx(level)
    with pytest.raises(ValueError, match=r"there is no level 6: .* in 5 steps has levels 0 to 5"):
        levels.solver_level(schedule, 6, cpu, solver, 5)  # type: ignore[arg-type]


def drawn(schedule: str, solver: str, steps: int, start: str, body: dict[str, Any], end: str) -> Workflow:
    """A solver in a repeat zone beside the built-in one, both around the same denoiser."""
    exact = {"type": "gaussian_denoiser"}
    common: dict[str, Any] = {
        "schedule": {"type": schedule},
        "noise": node("gaussian_noise", {"shape": [2, 4, 8, 8], "seed": 7}),
        "built_in": node("sample", {"solver": solver, "steps": steps}, noise="noise", schedule="schedule")
        | {"body": {"nodes": {"exact": exact | {"wires": {"z": "built_in.z", "t": "built_in.t", "schedule": "schedule"}}}, "results": {"prediction": "exact"}}},
        "first": node("solver_level", {"solver": solver, "steps": steps, "index": 0}, schedule="schedule"),
        "z": formula(start, noise="noise", **{name: f"first.{name}" for name in ("signal", "sigma") if name in start}),
    }  # fmt: skip
    levels = {
        "now": node("solver_level", {"solver": solver, "steps": steps}, schedule="schedule", index="by_hand.iteration"),
        "next": formula("i + 1", i="by_hand.iteration"),
        "then": node("solver_level", {"solver": solver, "steps": steps}, schedule="schedule", index="next"),
    }
    zone = node("repeat", {"iterations": steps}, state={"z": "z"}) | {
        "body": {"nodes": levels | body, "results": {"z": end}}
    }
    return Workflow.model_validate({"loom": 1, "nodes": common | {"by_hand": zone}})


def test_ddim_by_hand_is_ddim(engine: Engine, tmp_path: Path) -> None:
    at = {"z": "by_hand.state.z", "t": "now.t", "schedule": "schedule"}
    body = {
        "prediction": node("gaussian_denoiser", **at),
        "z0": node("estimate_z0", prediction="prediction", **at),
        "eps": node("estimate_eps", prediction="prediction", **at),
        "step": formula("signal * z0 + noise * eps", signal="then.signal", noise="then.noise", z0="z0", eps="eps"),
    }
    workflow = drawn("noise_schedule", "ddim", 12, "noise + 0", body, "step")
    values = engine.run(workflow, targets=["by_hand.z", "built_in"]).values
    assert torch.allclose(values["by_hand.z"], values["built_in"], atol=1e-5)
    top, problems = validate(workflow, REGISTRY)
    assert problems == dry_run(top, tmp_path).problems == []


def test_heun_by_hand_is_heun(engine: Engine) -> None:
    """Karras et al. 2022, algorithm 1, in x = z0 + sigma · eps."""
    body = {
        "z_now": formula("signal * x", signal="now.signal", x="by_hand.state.z"),
        "p1": node("gaussian_denoiser", z="z_now", t="now.t", schedule="schedule"),
        "d1": node("estimate_eps", prediction="p1", z="z_now", t="now.t", schedule="schedule"),
        "ahead": formula("x + (then - now) * d", x="by_hand.state.z", then="then.sigma", now="now.sigma", d="d1"),
        "z_then": formula("signal * x", signal="then.signal", x="ahead"),
        "p2": node("gaussian_denoiser", z="z_then", t="then.t", schedule="schedule"),
        "d2": node("estimate_eps", prediction="p2", z="z_then", t="then.t", schedule="schedule"),
        "step": formula(
            "where(then > 0, x + (then - now) * (d + d_ahead) / 2, ahead)",
            x="by_hand.state.z", then="then.sigma", now="now.sigma", d="d1", d_ahead="d2", ahead="ahead",
        ),
    }  # fmt: skip
    workflow = drawn("noise_schedule", "heun", 8, "noise / signal", body, "step")
    values = engine.run(workflow, targets=["by_hand.z", "built_in"]).values
    assert torch.allclose(values["by_hand.z"], values["built_in"], atol=1e-5)


def test_euler_of_rectified_flow_by_hand_is_euler(engine: Engine) -> None:
    at = {"z": "by_hand.state.z", "t": "now.t", "schedule": "schedule"}
    body = {
        "prediction": node("gaussian_denoiser", **at),
        "v": node("estimate_velocity", prediction="prediction", **at),
        "step": formula("z + (then - now) * v", z="by_hand.state.z", then="then.noise", now="now.noise", v="v"),
    }
    workflow = drawn("rectified_flow", "euler", 10, "noise + 0", body, "step")
    values = engine.run(workflow, targets=["by_hand.z", "built_in"]).values
    assert torch.allclose(values["by_hand.z"], values["built_in"], atol=1e-5)


def told_steps(engine: Engine, solver: str, strength: float = 1.0, **more: Any) -> Result:
    """Sampling by a denoiser that takes `share + 10 · step` for the clean latent."""
    body = {
        "zero": formula("0 * z + 10 * step + share", z="s.z", step="s.step", share="s.share"),
        "p": node("as_prediction", value="zero", z="s.z", t="s.t", schedule="schedule"),
        **more,
    }
    zone = node(
        "sample", {"solver": solver, "steps": 4, "strength": strength}, noise="noise", z0="noise", schedule="schedule"
    )
    nodes = {"schedule": node("noise_schedule"), "noise": node("gaussian_noise", {"shape": [1, 4, 8, 8]}), "s": zone | {"body": {"nodes": body, "results": {"prediction": "p"}}}}  # fmt: skip
    workflow = Workflow.model_validate({"loom": 1, "nodes": nodes})
    return engine.run(workflow, targets=["s"])


@pytest.mark.parametrize(
    ("solver", "strength", "last"), [("ddpm", 1.0, 30.75), ("heun", 1.0, 30.75), ("euler", 0.5, 10.5)]
)
def test_the_denoiser_is_told_the_step_and_the_share_that_is_done(engine: Engine, solver: str, strength: float, last: float) -> None:  # fmt: skip
    """Each of these solvers ends at the last estimate of z0."""
    result = told_steps(engine, solver, strength).values["s"]
    assert torch.allclose(result, torch.full((1, 4, 8, 8), last), atol=1e-4)


def test_a_callback_is_told_the_step_and_the_share_that_is_done(engine: Engine) -> None:
    numbers = {name: node("to_scalar", value=f"each.{name}") for name in ("step", "share")}
    body = numbers | {"log": node("log_metrics", values={"step": "step", "share": "share"})}
    callback = {"type": "every", "params": {"steps": 2}, "body": {"nodes": body, "results": {}}}
    told = [event.values for event in told_steps(engine, "ddpm", each=callback).events if isinstance(event, Metric)]
    assert told == [{"step": 1.0, "share": 0.5}, {"step": 3.0, "share": 1.0}]


def test_a_level_that_is_not_there_is_refused_in_a_run(engine: Engine) -> None:
    nodes = {
        "schedule": node("noise_schedule"),
        "i": formula("7"),
        "x": node("solver_level", {"steps": 3}, schedule="schedule", index="i"),
    }
    with pytest.raises(NodeError, match="there is no level 7"):
        engine.run(Workflow.model_validate({"loom": 1, "nodes": nodes}), targets=["x.signal"])


@pytest.mark.parametrize("name", ["eps", "flow", "edm"])
def test_the_timestep_of_a_sigma_is_where_that_much_noise_is(name: str) -> None:
    process = PROCESSES[name]
    for sigma in (0.1, 1.0, 7.0):
        t = levels.timestep_at_sigma(process, sigma, torch.device("cpu"))
        assert levels.noise_level(process, t).sigma.item() == pytest.approx(sigma, rel=1e-3)
    last = levels.timestep_at_sigma(process, float("inf"), torch.device("cpu"))
    assert last.item() == pytest.approx(process.last)
