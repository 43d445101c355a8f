"""Random numbers belong to rows: a sample of a batch is the same alone, in whatever node drew for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.diffusion.solvers import SOLVERS
from core.models.autoencoder import DiagonalGaussian
from graph_runner.context import Rng
from graph_runner.contract import NodeSpec
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from tests.nodes.samples import WIRES
from tests.nodes.test_contract import INPUTS, PARAMS
from tests.nodes.test_sampling import TINY_UNET

DEVICE = torch.device("cpu")
REGISTRY = Registry.scan(["nodes"])
BATCHES = {
    "rescale_latents": "it measures one number on all of its batch",
    "sample": "tested for each solver",
    "lora_adapter": "it has no rows",
    **dict.fromkeys(["preset_mmdit", "preset_pixart"], "it has no rows, and hundreds of millions of parameters"),
    "train": "it is handed batches",
    **dict.fromkeys(["variational_bound", "flow_likelihood"], "tests/nodes/test_likelihood.py"),
}
DRAWING = [spec for spec in REGISTRY.values() if spec.draws and spec.type not in BATCHES]
MOST = {"probability": 0.5, "kind": "full", "factor": 2, "shape": [2, 3, 8, 8]}
"""What makes chance visible."""


def rows(value: Any, part: slice) -> Any:
    """Some rows of a value that is a batch; anything else as it is."""
    if isinstance(value, Conditioning):
        return value.map(lambda tensor: tensor[part])
    if isinstance(value, DiagonalGaussian):
        return DiagonalGaussian(value.mean[part], value.logvar[part])
    return value[part] if isinstance(value, Tensor | list) and len(value) == 2 else value


def call(spec: NodeSpec, part: slice) -> Any:
    torch.manual_seed(0)  # models are the same in each call
    kwargs: dict[str, Any] = {}
    for port in spec.inputs:
        if port.name in INPUTS.get(spec.type, {}):
            kwargs[port.name] = rows(INPUTS[spec.type][port.name](), part)
        elif port.name == "shape":
            kwargs[port.name] = [len(range(2)[part]), *MOST["shape"][1:]]
        elif port.name in spec.params:
            default = PARAMS.get(spec.type, {}).get(port.name, spec.params[port.name].default)
            kwargs[port.name] = MOST.get(port.name, default)
        elif spec.type == "langevin_step" and port.name == "t":
            kwargs[port.name] = torch.tensor([300])  # one noise level for all
        elif not port.type.variable:
            kwargs[port.name] = rows(WIRES[port.type.name](), part)
    if not spec.seeded:
        kwargs.pop("seed")
    if "first_row" in spec.params:
        kwargs["first_row"] = part.start
    own = {"rng": Rng(7) if "first_row" in spec.params else Rng(7).from_row(part.start), "device": DEVICE}
    torch.manual_seed(0)
    with torch.no_grad():
        return spec.function(**kwargs, **{name: own[kind] for name, kind in spec.injected.items()})


@pytest.mark.parametrize("spec", DRAWING, ids=lambda spec: spec.type)
def test_a_row_does_not_know_the_others(spec: NodeSpec) -> None:
    whole = call(spec, slice(0, 2))
    if isinstance(whole, nn.Module):
        return  # made anew, with no rows
    for n in range(2):
        alone, same = call(spec, slice(n, n + 1)), rows(whole, slice(n, n + 1))
        if isinstance(alone, Conditioning):
            alone, same = (v.tensors() for v in (alone, same))
        if spec.type == "drop_captions":
            assert alone == same
            continue
        torch.testing.assert_close(alone, same, rtol=0, atol=1e-6 if spec.takes_models else 0)
    if isinstance(whole, Tensor) and "probability" not in spec.params:
        assert not torch.equal(whole[0], whole[1])


def test_what_draws_for_pictures_can_begin_at_any_row() -> None:
    offered = {spec.type for spec in REGISTRY.values() if "first_row" in spec.params}
    assert offered == {
        *("gaussian_noise", "noise_like", "sample", "langevin_step", "sample_posterior", "torch_noise"),
        *("random_mask", "degrade_images", "layout_tokens", "variational_bound", "flow_likelihood", "image_vector"),
    }


def sampling(batch: int, first_row: int, denoiser: dict[str, Any], **params: Any) -> Workflow:
    nodes = {
        "schedule": {"type": "noise_schedule"},
        "unet0": {"type": "unet", "params": {k: v for k, v in TINY_UNET.items() if k != "context_dim"}},
        "unet": {"type": "awakened_unet", "wires": {"model": "unet0"}},
        "noise": {"type": "gaussian_noise", "params": {"shape": [batch, 4, 8, 8], "seed": 7, "first_row": first_row}},
        "sample": {
            "type": "sample",
            "wires": {"noise": "noise", "schedule": "schedule"},
            "params": {"steps": 6, "first_row": first_row, **params},
            "body": {"nodes": {"denoise": denoiser}, "results": {"prediction": "denoise"}},
        },
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


EXACT = {"type": "gaussian_denoiser", "wires": {"z": "sample.z", "t": "sample.t", "schedule": "schedule"}}
LEARNED = {"type": "denoise", "wires": {"model": "unet", "z": "sample.z", "t": "sample.t"}}


@pytest.mark.parametrize("solver", sorted(set(SOLVERS) - {"ddim_inversion"}))
def test_any_picture_of_a_batch_is_made_alone_by_every_solver(engine: Engine, solver: str) -> None:
    params = {"solver": solver} | ({"eta": 1.0} if SOLVERS[solver].eta is not None else {})
    whole = engine.run(sampling(4, 0, EXACT, **params), targets=["sample"]).values["sample"]
    for n in range(4):
        alone = engine.run(sampling(1, n, EXACT, **params), targets=["sample"]).values["sample"]
        assert torch.equal(alone[0], whole[n]), f"picture {n}"
    assert not torch.equal(whole[0], whole[1])
    if SOLVERS[solver].stochastic:
        noise = engine.run(sampling(1, 2, EXACT, **params), targets=["noise"]).values["noise"]
        fixed = sampling(1, 2, EXACT, **params)
        fixed.nodes["sample"].params["first_row"] = 0
        other = engine.run(fixed, targets=["sample", "noise"]).values
        assert torch.equal(other["noise"], noise)
        assert not torch.allclose(other["sample"][0], whole[2], atol=1e-3), "the noise of the steps counts as well"


@pytest.mark.parametrize("solver", ["ddpm", "dpmpp_sde"])
def test_a_networks_picture_alone_differs_by_rounding_only(engine: Engine, solver: str) -> None:
    whole = engine.run(sampling(4, 0, LEARNED, solver=solver), targets=["sample"]).values["sample"]
    alone = engine.run(sampling(2, 2, LEARNED, solver=solver), targets=["sample"]).values["sample"]
    assert float((alone - whole[2:]).abs().max()) <= 1e-4 * float(whole.abs().max())
