"""Control by pictures as nodes: inside of sampling and training, on both sides of guidance, one after the other, for a while."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints.model_io import save_models
from core.conditioning.conditioning import Conditioning
from core.conditioning.residuals import Control
from core.diffusion.guidance import classifier_free
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import sample
from core.diffusion.tiles import denoise_tiles
from core.models.controlnet import ControlNet, controlled
from core.models.denoiser import denoise
from core.models.t2i_adapter import T2IAdapter, adapted
from core.models.unet import UNet
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from nodes.control import apply_controlnet, edge_picture
from tests.nodes.samples import WIRES

STEPS = 4


def filled(model: torch.nn.Module, seed: int) -> Any:
    """Weights that nothing is zero in."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture
def models() -> dict[str, Any]:
    torch.manual_seed(0)
    unet = filled(UNet(4, 4, 8, (1, 2), 1, (1, 2), num_heads=2, context_dim=16, norm_groups=4), 1)
    nets = {f"net{i}": filled(ControlNet.beside(unet, (4, 4, 4)), 2 + i) for i in (0, 1)}
    adapter = filled(T2IAdapter(channels=(8, 16), num_res_blocks=1, downscale_factor=4), 5)
    return {"unet": unet, **nets, "adapter": adapter}


def graph(**changes: Any) -> Workflow:
    """Guidance with two ControlNets and an adapter; a change gives one of them parameters, or wires of another name."""

    def applied(net: str, before: str, **params: Any) -> dict[str, Any]:
        wires = {"controlnet": net, "z": "sample.z", "t": "sample.t", "picture": "edges", "share": "sample.share"}
        wires |= {side: f"{before}.{side}" for side in ("condition", "negative")}
        return {"type": "apply_controlnet", "wires": wires, "params": params}

    body = {
        "first": applied("net0", "shown", strength=0.7, **changes.get("first", {})),
        "second": applied("net1", "first", **changes.get("second", {})),
        "cond": {
            "type": "denoise",
            "wires": {"model": "unet", "z": "sample.z", "t": "sample.t", "condition": "second.condition"},
        },
        "uncond": {
            "type": "denoise",
            "wires": {"model": "unet", "z": "sample.z", "t": "sample.t", "condition": "second.negative"},
        },
        "guide": {"type": "cfg_combine", "wires": {"cond": "cond", "uncond": "uncond"}, "params": {"scale": 3}},
    }
    for wire in changes.get("without", ()):
        del body["first"]["wires"][wire]
    nodes: dict[str, Any] = {
        **{
            name: {"type": "load_model", "params": {"path": f"m/{name}.safetensors"}}
            for name in ("net0", "net1", "adapter")
        },
        "unet": {"type": "load_unet", "params": {"path": "m/unet.safetensors"}},
        "embedder": {"type": "class_embedder", "params": {"classes": 4, "dim": 16}},
        "prompt": {"type": "class_context", "wires": {"embedder": "embedder"}, "params": {"classes": [1, 2]}},
        "null": {"type": "class_context", "wires": {"embedder": "embedder"}},
        "shapes": {"type": "shapes_dataset", "params": {"size": 8, "resolution": 32}},
        "some": {"type": "take_batch", "wires": {"data": "shapes"}, "params": {"count": 2}},
        "pictures": {"type": "batch_images", "wires": {"batch": "some"}},
        "edges": {"type": "edge_picture", "wires": {"images": "pictures"}},
        "shown": {
            "type": "apply_t2i_adapter",
            "wires": {"adapter": "adapter", "picture": "edges", "condition": "prompt", "negative": "null"},
        },
        "noise": {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8]}},
        "schedule": {"type": "noise_schedule"},
        "sample": {
            "type": "sample",
            "params": {"steps": STEPS},
            "wires": {"noise": "noise", "schedule": "schedule"},
            "body": {"nodes": body, "results": {"prediction": "guide"}},
        },
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


@pytest.mark.parametrize("guess", [False, True])
@torch.no_grad()
def test_a_graph_is_what_a_few_lines_are(guess: bool, models: dict[str, Any], engine: Engine, tmp_path: Path) -> None:
    save_models(models, tmp_path / "m")
    changed = graph(first={"start": 0.25, "end": 0.75, "guess": guess})
    found = engine.run(changed, targets=["sample", "edges", "prompt", "null", "noise"]).values
    step = 0

    def guided(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        nonlocal step
        both = [adapted(models["adapter"], found["edges"], found[side]) for side in ("null", "prompt")]
        for i, told in enumerate(both):
            if 0.25 <= step / STEPS < 0.75 and not (guess and i == 0):
                told = controlled(models["net0"], z, t, found["edges"], told, 0.7, guess)
            both[i] = controlled(models["net1"], z, t, found["edges"], told)
        step += 1
        return classifier_free(denoise(models["unet"], z, t, both[1]), denoise(models["unet"], z, t, both[0]), 3)

    schedule = NoiseSchedule.linear(1000)
    expected = sample(guided, found["noise"], schedule, "ddim", steps=STEPS)
    torch.testing.assert_close(found["sample"], expected, rtol=1e-4, atol=1e-4)


def test_a_share_of_the_steps_needs_the_steps(models: dict[str, Any], engine: Engine, tmp_path: Path) -> None:
    save_models(models, tmp_path / "m")
    with pytest.raises(NodeError, match=r"^first: start and end are shares of the steps: wire sample\.share"):
        engine.run(graph(first={"end": 0.5}, without=["share"]), targets=["sample"])


@torch.no_grad()
def test_a_network_that_did_not_learn_changes_nothing_to_the_bit(models: dict[str, Any]) -> None:
    """In whatever tiles, and for conditions of one row that stands for all."""
    unet, z, t = models["unet"], WIRES["latent"](), WIRES["timestep"]()
    told, picture = Conditioning(torch.randn(1, 3, 16)), WIRES["image"]()
    fresh = ControlNet.beside(unet, (4, 4, 4)).eval()
    made = apply_controlnet(fresh, z, t, picture, told, told)
    assert torch.equal(denoise(unet, z, t, made.condition), denoise(unet, z, t, told))
    tiled = denoise_tiles(unet, z, t, made.negative, kernel=4, stride=4)
    assert torch.equal(tiled, denoise_tiles(unet, z, t, told, kernel=4, stride=4))
    shown = controlled(models["net0"], z, t, picture, told)
    assert not torch.allclose(denoise(unet, z, t, shown), denoise(unet, z, t, told), atol=1e-3)
    nothing = told.expand(2) | Conditioning(parts=[shown[Control].null()])
    assert torch.equal(denoise(unet, z, t, nothing), denoise(unet, z, t, told))


def test_only_the_network_learns(models: dict[str, Any]) -> None:
    """Gradients go through the frozen UNet to the zero convolutions."""
    unet = models["unet"].requires_grad_(False)
    net = ControlNet.beside(unet, (4, 4, 4))
    told = controlled(
        net, WIRES["latent"](), WIRES["timestep"](), WIRES["image"](), Conditioning(torch.randn(2, 3, 16))
    )
    denoise(unet, WIRES["latent"](), WIRES["timestep"](), told).square().mean().backward()
    assert all(parameter.grad is None for parameter in unet.parameters())
    assert all(zero[0].weight.grad is not None and zero[0].weight.grad.abs().sum() > 0 for zero in net.zero_convs)


def test_edges_lie_where_pictures_change() -> None:
    picture = torch.full((1, 3, 8, 8), -1.0)
    picture[:, 1, :, 4:] = 1.0
    found = edge_picture(picture, 0.15)
    assert found.shape == picture.shape
    assert (found[..., 3:5] == 1).all()
    assert (found[..., :3] == -1).all()
    assert (found[..., 5:] == -1).all()
