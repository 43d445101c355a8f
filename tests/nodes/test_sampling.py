"""Sampling graphs on a tiny UNet, held against the same computation written in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.conditioning.conditioning import Conditioning
from core.diffusion import guidance
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import SOLVERS
from core.diffusion.solvers import sample as solve
from core.models.denoiser import denoise
from graph_runner.bind.validate import errors, validate
from graph_runner.catalog.describe import describe
from graph_runner.context import Rng, derive
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from nodes.sampling import Solver

SCHEDULE = NoiseSchedule.linear(1000)
TINY_UNET = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "attention_factors": [2], "num_heads": 2}
TINY_UNET |= {"context_dim": 16, "norm_groups": 4}
TINY_AE = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 4}


def nodes(**more: Any) -> Workflow:
    parts = {
        "unet": {"type": "awakened_unet", "wires": {"model": "unet0"}},
        "unet0": {"type": "unet", "params": TINY_UNET},
        "embedder": {"type": "class_embedder", "params": {"classes": 5, "dim": 16}},
        "autoencoder": {"type": "kl_autoencoder", "params": TINY_AE},
        "schedule": {"type": "noise_schedule"},
        "noise": {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8], "seed": 7}},
        "prompt": {"type": "class_context", "wires": {"embedder": "embedder"}, "params": {"classes": [1, 3]}},
        "null": {"type": "class_context", "wires": {"embedder": "embedder"}},
        **more,
    }
    return Workflow.model_validate({"loom": 1, "nodes": parts})


def assert_close(found: Tensor, expected: Tensor) -> None:
    """Equal to 1e-4 of the largest value: an untrained denoiser's trajectory grows, and one batch rounds as two do not."""
    assert float((found - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


def call(id: str, zone: str, context: str = "prompt", z: str = "") -> dict[str, Any]:
    wires = {"model": "unet", "z": z or f"{zone}.z", "t": f"{zone}.t", "condition": context}
    return {id: {"type": "denoise", "wires": wires}}


def guided(zone: str, scale: float = 3.0) -> dict[str, Any]:
    combine = {"type": "cfg_combine", "wires": {"cond": "cond", "uncond": "uncond"}, "params": {"scale": scale}}
    body = call("cond", zone) | call("uncond", zone, "null") | {"guide": combine}
    return {"nodes": body, "results": {"prediction": "guide"}}


def sampling(body: dict[str, Any], **params: Any) -> dict[str, Any]:
    wires = {"noise": "noise", "schedule": "schedule"} | params.pop("wires", {})
    return {"type": "sample", "wires": wires, "params": params, "body": body}


def test_the_choices_of_the_node_are_the_solvers_there_are() -> None:
    assert set(Solver.__args__) == set(SOLVERS) - {"ddim_inversion"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("solver", "steps"), [("ddim", 5), ("ddpm", 6), ("heun", 4), ("dpmpp_2m", 4)])
def test_guidance_drawn_as_nodes_equals_guidance_in_python(engine: Engine, solver: str, steps: int) -> None:
    targets = ["sample", "unet", "noise", "prompt", "null"]
    values = engine.run(nodes(sample=sampling(guided("sample"), solver=solver, steps=steps)), targets=targets).values

    def denoiser(z: Tensor, t: Tensor) -> Tensor:
        cond, uncond = (denoise(values["unet"], z, t, values[name]) for name in ("prompt", "null"))
        return guidance.classifier_free(cond, uncond, 3.0)

    rng = Rng(derive(0, "sample", 0, ()))
    with torch.no_grad():
        expected = solve(denoiser, values["noise"], SCHEDULE, solver, steps=steps, draw=rng.randn_like)
    assert_close(values["sample"], expected)
    assert not torch.allclose(values["sample"], values["noise"], atol=0.1)


def test_two_calls_of_guidance_cost_one_pass(engine: Engine) -> None:
    unet = engine.run(nodes(), targets=["unet"]).values["unet"]
    batches: list[int] = []
    unet.register_forward_pre_hook(lambda _, args: batches.append(len(args[0])))
    engine.run(nodes(sample=sampling(guided("sample"), steps=3)), targets=["sample"])
    assert batches == [4, 4, 4], "conditional and null rows of two samples in one batch, each step"


def test_an_image_steers_through_decoder_and_denoiser(engine: Engine) -> None:
    body = call("prediction", "sample") | {
        "z0": {
            "type": "estimate_z0",
            "wires": {"prediction": "prediction", "z": "sample.z", "t": "sample.t", "schedule": "schedule"},
        },
        "seen": {"type": "decode", "wires": {"autoencoder": "autoencoder", "z": "z0"}},
        "small": {"type": "downscale", "wires": {"images": "seen"}},
        "likelihood": {"type": "image_likelihood", "wires": {"seen": "small", "wanted": "wanted"}},
        "slope": {"type": "likelihood_gradient", "wires": {"log_likelihood": "likelihood", "z": "sample.z"}},
        "steered": {
            "type": "gradient_guidance",
            "wires": {"prediction": "prediction", "gradient": "slope", "t": "sample.t", "schedule": "schedule"},
            "params": {"scale": 0.5},
        },
    }
    graph = nodes(
        target={"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8], "seed": 9}},
        target_image={"type": "decode", "wires": {"autoencoder": "autoencoder", "z": "target"}},
        wanted={"type": "downscale", "wires": {"images": "target_image"}},
        sample=sampling({"nodes": body, "results": {"prediction": "steered"}}, steps=3),
    )
    targets = ["sample", "unet", "autoencoder", "noise", "prompt", "wanted"]
    values = engine.run(graph, targets=targets).values
    assert not values["sample"].requires_grad

    def denoiser(z: Tensor, t: Tensor) -> Tensor:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            prediction = denoise(values["unet"], z, t, values["prompt"])
            seen = values["autoencoder"].decode(SCHEDULE.to_z0(prediction, z, t))
            seen = torch.nn.functional.avg_pool2d(seen, 4)
            grad = guidance.gradient(guidance.image_log_likelihood(seen, values["wanted"]), z)
        return guidance.steer(prediction.detach(), grad, t, SCHEDULE, 0.5)

    expected = solve(denoiser, values["noise"], SCHEDULE, "ddim", steps=3)
    assert_close(values["sample"], expected.detach())


def test_image_to_image_starts_from_the_picture(engine: Engine) -> None:
    picture = {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8], "seed": 5}}
    body = {"nodes": call("prediction", "sample"), "results": {"prediction": "prediction"}}
    graph = nodes(picture=picture, sample=sampling(body, steps=20, strength=0.05, wires={"z0": "picture"}))
    values = engine.run(graph, targets=["sample", "picture"]).values
    assert 0.01 < float((values["sample"] - values["picture"]).abs().mean()) < 0.5


@pytest.mark.parametrize("spacing", [None, "trailing", "karras"])
def test_sampling_undoes_inversion(engine: Engine, spacing: str | None) -> None:
    def exact(id: str, zone: str) -> dict[str, Any]:
        wires = {"z": f"{zone}.z", "t": f"{zone}.t", "schedule": "schedule"}
        return {"nodes": {id: {"type": "gaussian_denoiser", "wires": wires}}, "results": {"prediction": id}}

    invert = {
        "type": "invert",
        "wires": {"z0": "noise", "schedule": "schedule"},
        "params": {"steps": 200, "spacing": spacing},
    }
    graph = nodes(
        noising=invert | {"body": exact("p", "noising")},
        sample=sampling(exact("q", "sample"), steps=200, spacing=spacing, wires={"noise": "noising"}),
    )
    values = engine.run(graph, targets=["sample", "noise", "noising"]).values
    assert float((values["sample"] - values["noise"]).abs().max()) < 0.1
    assert torch.allclose(values["noising"] / values["noise"], torch.tensor(2.0), atol=0.1), "½ to 1 in deviation"


def test_inpainting_keeps_what_is_known(engine: Engine) -> None:
    seen = {
        "z": "sample.z",
        "known": "picture",
        "noise": "noise",
        "t": "sample.t",
        "mask": "mask",
        "schedule": "schedule",
    }
    body = {
        "held": {"type": "inpaint_latent", "wires": seen},
        **call("prediction", "sample", z="held"),
        "kept": {
            "type": "inpaint_prediction",
            "wires": {**{k: v for k, v in seen.items() if k != "noise"}, "prediction": "prediction"},
        },
    }
    graph = nodes(
        picture={"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8], "seed": 5}},
        pixels={"type": "decode", "wires": {"autoencoder": "autoencoder", "z": "picture"}},
        mask={"type": "random_mask", "wires": {"images": "pixels"}},
        sample=sampling({"nodes": body, "results": {"prediction": "kept"}}, solver="euler", steps=4),
    )
    values = engine.run(graph, targets=["sample", "picture", "mask"]).values
    hole = (
        torch.nn.functional.interpolate(values["mask"], size=(8, 8), mode="nearest").expand_as(values["picture"]) > 0.5
    )
    assert torch.allclose(values["sample"][~hole], values["picture"][~hole], atol=1e-4)
    assert not torch.allclose(values["sample"][hole], values["picture"][hole], atol=0.1)


def test_null_conditions_of_one_row_serve_any_batch() -> None:
    null = Conditioning(context=torch.zeros(1, 1, 16))
    assert null.expand(5).batch_size == 5


def plain(zone: str) -> dict[str, Any]:
    return {"nodes": call(f"{zone}_eps", zone), "results": {"prediction": f"{zone}_eps"}}


@pytest.mark.parametrize("solver", ["ddim", "ddpm", "heun", "dpmpp_sde"])
def test_two_samples_share_the_steps_of_one(engine: Engine, solver: str) -> None:
    """The first ends early, the last goes on: with one seed both draw what the whole would."""
    step = {"solver": solver, "steps": 6}
    last = sampling(plain("last"), **step, start_at_step=4, wires={"z": "first"})
    del last["wires"]["noise"]
    graph = nodes(
        whole=sampling(plain("whole"), **step), first=sampling(plain("first"), **step, end_at_step=4), last=last
    )
    values = engine.run(graph, targets=["whole", "last", "first"]).values
    if solver in ("ddim", "ddpm"):  # written for the scale that the schedule has
        assert torch.equal(values["last"], values["whole"])
    assert_close(values["last"], values["whole"])
    assert not torch.allclose(values["first"], values["whole"], atol=0.1)


@pytest.mark.parametrize(
    ("wires", "params", "told"),
    [
        ({"z": "noise"}, {}, "leave out noise and z0"),
        ({}, {"start_at_step": 2}, "what starts at step 2 goes on from a latent: wire z, or z0"),
        ({"z0": "noise"}, {"start_at_step": 2, "strength": 0.5}, "both say where to start; give one"),
        ({}, {"end_at_step": 5, "steps": 4}, "from step 0 up to step 5 there is no part of 4 steps"),
        ({"noise": None}, {}, "there is nothing to start from: wire noise"),
    ],
)
def test_a_part_that_cannot_be_sampled_is_refused_before_anything_runs(
    registry: Registry, wires: dict[str, Any], params: dict[str, Any], told: str
) -> None:
    zone = sampling(plain("sample"), wires=wires, **params)
    zone["wires"] = {port: wire for port, wire in zone["wires"].items() if wire is not None}
    top, problems = validate(nodes(sample=zone), registry)
    assert not errors(problems)
    assert told in "; ".join(problem.message for problem in dry_run(top, Path()).problems)


@pytest.mark.parametrize("drawn", [{}, {"solver": "ddpm", "noise_as": "diffusers", "noise_seed": 7}])
def test_image_to_image_may_start_at_a_step(engine: Engine, drawn: dict[str, Any]) -> None:
    """A picture gets the noise of the step: the same as by its share of the steps."""
    by_step = sampling(plain("a"), steps=6, start_at_step=4, wires={"z0": "picture"}, **drawn)
    by_share = sampling(plain("b"), steps=6, strength=1 / 3, wires={"z0": "picture"}, **drawn)
    picture = {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8], "seed": 9}}
    values = engine.run(nodes(a=by_step, b=by_share, picture=picture), targets=["a", "b"]).values
    assert torch.equal(values["a"], values["b"])


def test_a_new_sample_node_begins_as_stored_and_a_file_that_says_nothing_means_what_it_did(engine: Engine) -> None:
    """The key of a node without solver and spacing is that of DDIM as in version 0.1; the new choices are keys of their own."""
    inputs = {port["name"]: port for port in describe(engine.registry["sample"])["inputs"]}
    assert (inputs["solver"]["begins"], inputs["solver"]["default"]) == ("as stored", "ddim")
    assert inputs["solver"]["widget"]["kind"] == inputs["spacing"]["widget"]["kind"] == "choice"
    assert (inputs["spacing"]["begins"], inputs["spacing"]["default"]) == ("as stored", None)
    body = {"nodes": call("prediction", "sample"), "results": {"prediction": "prediction"}}

    def sampled(**params: Any) -> Tensor:
        value: Tensor = engine.run(nodes(sample=sampling(body, steps=7, **params)), targets=["sample"]).values["sample"]
        return value

    old = sampled()
    assert torch.equal(old, sampled(solver="ddim", spacing="leading"))
    stored = sampled(solver="as stored", spacing="as stored")
    assert torch.equal(stored, sampled(solver="ddim", spacing="diffusers"))
    assert not torch.allclose(stored, old), "1000 // 7 is 142, and every 142.86th timestep was looked at"
