"""What ComfyUI's nodes for conditions, networks and models give here, against its rules written out on a small random pipeline."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from prompts import CASES, SECOND, base, changed, node
from torch import Tensor

from core.checkpoints.controlnet import save_controlnet
from core.conditioning.conditioning import Conditioning
from core.models.controlnet import ControlNet, controlled
from core.models.freeu import FreeU
from graph_runner.contract import Folders
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, read, write
from graph_runner.run.engine import Engine
from nodes.comfyui.importing import comfyui

sys.path.append(str(Path(__file__).parents[2] / "core" / "checkpoints"))
import tiny_pipelines
import tiny_xl
from tiny_ldm import randomise, text_unet

Told = Callable[[Tensor, Tensor, Conditioning], Tensor]
STEPS = 3


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comfyui")
    tiny_pipelines.PIPELINES["Stable Diffusion 1"](folder).save_pretrained(folder / "checkpoints" / "sd")
    net = randomise(ControlNet.beside(text_unet(32), (4, 8, 8, 8)), 5)
    save_controlnet(net, folder / "controlnet" / "c", form="diffusers")
    Image.effect_noise((128, 128), 80).convert("RGB").save(folder / "in.png")
    return folder


def brought(prompt: dict[str, Any], models: Path) -> Workflow:
    links = {"n4__ckpt_name": "sd", "n3__steps": STEPS, "n3__scheduler": "karras"}
    links |= {"n10__ckpt_name": "sd"} if prompt.get("10", {}).get("class_type") == "CheckpointLoaderSimple" else {}
    found = comfyui(changed(prompt, {}, **links), Folders(models, models))
    assert found is not None
    return read(write(found.workflow))


def drawn(workflow: Workflow, folder: Path, *more: str) -> dict[str, Any]:
    targets = ["sample", "noise", "model.unet", "model.schedule", "prompt", "prompt2", *more]
    return Engine(Registry.installed(), folder).run(workflow, targets=targets).values


def walked(values: dict[str, Any], predicted: Callable[[Tensor, Tensor, float], Tensor]) -> Tensor:
    """Euler's method at the scale x = z0 + sigma · eps, as ComfyUI walks. predicted: (z, t, timestep) → eps."""
    kept = 1 / (1 + values["model.schedule"].sigmas.double() ** 2)
    table = ((1 - kept) / kept).sqrt()
    ramp = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    ends = table[-1] ** (1 / 7), table[0] ** (1 / 7)
    sigmas = [*((ends[0] + ramp * (ends[1] - ends[0])) ** 7).tolist(), 0.0]
    x = values["noise"] * math.sqrt(1 + sigmas[0] ** 2)
    for now, then in pairwise(sigmas):
        step = float((table.log() - math.log(now)).abs().argmin())
        with torch.no_grad():
            x = x + (then - now) * predicted(x / math.sqrt(1 + now**2), torch.full((len(x),), step), step)
    return x


def two(values: dict[str, Any]) -> tuple[Conditioning, Conditioning]:
    """The prompt and the negative one, for two rows."""
    return values["prompt"].expand(2), values["prompt2"].expand(2)


def guided(cond: Tensor, uncond: Tensor) -> Tensor:
    return uncond + 4.0 * (cond - uncond)


def in_area(unet: Told, z: Tensor, t: Tensor, told: Conditioning, left: int, wide: int) -> tuple[Tensor, Tensor]:
    """ComfyUI's prediction for some columns, and their weights, which fall over a quarter at inner edges."""
    weight, made = torch.zeros(z.shape[-1]), torch.zeros_like(z)
    made[..., left : left + wide] = unet(z[..., left : left + wide], t, told)
    weight[left : left + wide] = 1
    for n in range(wide // 4):
        weight[left + n] *= (n + 1) / (wide // 4) if left else 1
        weight[left + wide - 1 - n] *= (n + 1) / (wide // 4) if left + wide < z.shape[-1] else 1
    return made, weight


def test_an_area_is_as_theirs(models: Path, tmp_path: Path) -> None:
    """The negative condition, which has no area, is asked for that area too."""
    area = node("ConditioningSetArea", conditioning=["6", 0], width=64, height=64, x=64, y=0, strength=2.0)
    prompt = changed(CASES["ConditioningSetArea"][0], {"10": area}, n5__width=128)
    values = drawn(brought(prompt, models), tmp_path)
    unet = values["model.unet"]
    told, null = two(values)

    def predicted(z: Tensor, t: Tensor, _: float) -> Tensor:
        part, weight = in_area(unet, z, t, told, 8, 8)
        cond = (2 * weight * part + unet(z, t, null)) / (2 * weight + 1)
        part, weight = in_area(unet, z, t, null, 8, 8)
        uncond = (2 * weight * part + unet(z, t, null)) / (2 * weight + 1)
        return guided(cond, uncond)

    torch.testing.assert_close(values["sample"], walked(values, predicted), rtol=1e-3, atol=1e-3)


def test_masks_are_as_theirs(models: Path, tmp_path: Path) -> None:
    """Two halves, the right one half as strong, and in the first half of the way alone."""
    workflow = brought(CASES["ConditioningSetMask"][0], models)
    values = drawn(workflow, tmp_path)
    unet = values["model.unet"]
    told, null = two(values)
    left = (torch.arange(8) < 4).float()

    def predicted(z: Tensor, t: Tensor, step: float) -> Tensor:
        right = 0.5 * (1 - left) * (step >= 999 * 0.5)
        share = left + right
        cond = (left * unet(z, t, told) + right * unet(z, t, null)) / torch.where(share == 0, 1, share)
        return guided(cond, unet(z, t, null))

    torch.testing.assert_close(values["sample"], walked(values, predicted), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", [pytest.param("ControlNetApply", marks=pytest.mark.slow), "ControlNetApplyAdvanced"])
def test_a_controlnet_is_as_theirs(name: str, models: Path, tmp_path: Path) -> None:
    """ControlNetApply's is at work for the negative condition too; the other's in the first half of the way."""
    workflow = brought(changed(CASES[name][0], {}, n10__control_net_name="c"), models)
    values = drawn(workflow, tmp_path, "shown", "controlnet")
    unet, net, picture = (values[each] for each in ("model.unet", "controlnet", "shown"))
    assert picture.shape == (1, 3, 64, 64)
    told, null = two(values)

    def predicted(z: Tensor, t: Tensor, step: float) -> Tensor:
        on = name == "ControlNetApply" or step >= 999 * 0.5
        cond, uncond = (
            unet(z, t, controlled(net, z, t, picture.expand(2, -1, -1, -1), each, 0.8) if on else each)
            for each in (told, null)
        )
        return guided(cond, uncond)

    torch.testing.assert_close(values["sample"], walked(values, predicted), rtol=1e-3, atol=1e-3)


def test_freeu_and_mixed_models(models: Path, tmp_path: Path) -> None:
    """FreeU comes last, after a mix of two models, of which the first counts by the ratio."""
    merged = node("ModelMergeSimple", model1=["4", 0], model2=["10", 0], ratio=0.25)
    settings = {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}
    added = {**SECOND, "11": merged, "12": node("FreeU_V2", model=["11", 0], **settings)}
    workflow = brought(changed(base(), added, n3__model=["12", 0]), models)
    assert workflow.nodes["mixed"].params == {"weight": 0.75}
    assert workflow.nodes["mixed"].wires == {"a": "model.unet", "b": "model2.unet"}
    values = drawn(workflow, tmp_path)
    told, null = two(values)
    changed_unet = FreeU(values["model.unet"], (1.3, 1.4), (0.9, 0.2))
    wanted = walked(values, lambda z, t, _: guided(changed_unet(z, t, told), changed_unet(z, t, null)))
    torch.testing.assert_close(values["sample"], wanted, rtol=1e-3, atol=1e-3)


def test_an_average_is_as_theirs(models: Path, tmp_path: Path) -> None:
    values = drawn(brought(CASES["ConditioningAverage"][0], models), tmp_path, "average")
    told, null = two(values)
    assert told.context is not None
    assert null.context is not None
    torch.testing.assert_close(values["average"].expand(2).context, 0.75 * told.context + 0.25 * null.context)


def test_stable_diffusion_xl_is_told_sizes(models: Path, tmp_path: Path) -> None:
    """Those of the latent where a prompt says none, and its own where it does; the file says that it is XL."""
    pipeline = tiny_xl.xl_pipeline(tmp_path)
    pipeline.save_pretrained(models / "checkpoints" / "mine")
    sizes = {"width": 128, "height": 96, "crop_w": 1, "crop_h": 2, "target_width": 80, "target_height": 72}
    added = {"6": node("CLIPTextEncodeSDXL", clip=["4", 1], text_g="red", text_l="red", **sizes)}
    prompt = changed(base(), added, n3__steps=2)
    found = comfyui(changed(prompt, {}, n4__ckpt_name="mine"), Folders(models))
    assert found is not None
    assert not any("taken for" in remark for remark in found.remarks)
    told = [each.params for each in found.workflow.nodes.values() if each.type == "size_condition"]
    assert told == [
        {"original": [96, 128], "crop_top_left": [2, 1], "target": [72, 80]},
        {"original": [64, 64], "target": [64, 64]},
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ImagePadForOutpaint", "LatentComposite", "pictures cut and joined", "values", "sigmas in parts"]
)
def test_what_is_drawn_runs(name: str, models: Path, tmp_path: Path) -> None:
    workflow = brought(CASES[name][0], models)
    targets = [each.wires["images"] for each in workflow.nodes.values() if each.type in ("save_image", "preview_image")]
    made = Engine(Registry.installed(), tmp_path).run(workflow, targets=targets).values
    assert all(value.isfinite().all() for value in made.values())
    assert made


def test_areas_with_masks_are_told_and_kept() -> None:
    added = {
        "10": node("ConditioningSetArea", conditioning=["6", 0], width=32, height=64, x=32, y=0, strength=1.0),
        "11": node("SolidMask", value=1.0, width=64, height=64),
        "12": node(
            "ConditioningSetMask", conditioning=["10", 0], mask=["11", 0], strength=1.0, set_cond_area="default"
        ),
    }
    found = comfyui(changed(base(), added, n3__positive=["12", 0]), Folders())
    assert found is not None
    assert any("an area, and a mask or a ControlNet besides" in remark for remark in found.remarks)


def test_what_a_placeholder_reads_is_not_lost() -> None:
    """A sampler that has no counterpart: what it is told beside wires stays, as placeholders, and FreeU as a node."""
    prompt = changed(CASES["ControlNetApplyAdvanced"][0], {}, n3__sampler_name="dpm_fast")
    freeu = node("FreeU_V2", model=["4", 0], b1=1.3, b2=1.4, s1=0.9, s2=0.2)
    found = comfyui(changed(prompt, {"13": freeu}, n3__model=["13", 0]), Folders())
    assert found is not None
    nodes = found.workflow.nodes
    assert nodes["k_sampler"].wires["model"] == "freeu"
    assert nodes["k_sampler"].wires["positive"] == "control_net_apply_advanced.positive"
    told = nodes["control_net_apply_advanced"]
    assert told.type == "comfy_control_net_apply_advanced"
    assert told.wires == {"positive": "prompt", "negative": "prompt2", "control_net": "controlnet", "image": "edges"}
    assert told.params == {"strength": 0.8, "start_percent": 0.0, "end_percent": 0.5}
    assert "noise" not in nodes, "nothing of a sampling that is not drawn"


@pytest.mark.parametrize(
    ("name", "family"), [("sd_xl_refiner_1.0", "refiner"), ("sdxl", "xl"), ("sd15", ""), ("x" * 400, "")]
)
def test_a_file_that_is_not_there_is_known_by_its_name(name: str, family: str) -> None:
    found = comfyui(changed(base(), {}, n4__ckpt_name=f"{name}.safetensors"), Folders())
    assert found is not None
    told = [each.params for each in found.workflow.nodes.values() if each.type == "size_condition"]
    assert [("aesthetic_score" in each) for each in told] == {"refiner": [True, True], "xl": [False], "": []}[family]
    assert any("is taken for" in remark for remark in found.remarks) == bool(family)
