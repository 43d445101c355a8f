"""ComfyUI's workflows brought here: each class of the table, both forms, placeholders, malformed files, and what a sampling gives."""

from __future__ import annotations

import copy
import json
import math
import random
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from prompts import CASES, base, changed, node

from core.diffusion.schedule import NoiseSchedule
from core.diffusion.torch_noise import Philox
from graph_runner.base.problems import WorkflowError
from graph_runner.bind.validate import errors, validate
from graph_runner.contract import Folders
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, read, walk, write
from graph_runner.run.engine import Engine
from nodes.comfyui.document import name_in
from nodes.comfyui.importing import comfyui
from nodes.comfyui.table import TABLE
from tests.effort import cases

sys.path.append(str(Path(__file__).parents[2] / "core" / "checkpoints"))
import tiny_pipelines


def brought(document: dict[str, Any], folders: Folders | None = None) -> Workflow:
    """The workflow as it would lie in a file."""
    found = comfyui(document, folders or Folders())
    assert found is not None
    return read(write(found.workflow))


def types(workflow: Workflow) -> set[str]:
    definitions = (node.type for each in workflow.definitions.values() for _, node in walk(each.nodes))
    return {node.type for _, node in walk(workflow.nodes)} | set(definitions)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.installed()


@pytest.mark.parametrize("name", CASES)
def test_each_class_becomes_nodes_that_fit(name: str, registry: Registry) -> None:
    prompt, wanted = CASES[name]
    workflow = brought(prompt)
    assert wanted <= types(workflow), types(workflow)
    _, problems = validate(workflow, registry)
    assert errors(problems) == []


def test_the_table_knows_its_widgets() -> None:
    """Each class of the fixtures is called with inputs that its row names, or with links."""
    for prompt, _ in CASES.values():
        for each in prompt.values():
            literals = {name for name, value in each["inputs"].items() if not isinstance(value, list)}
            assert literals <= set(TABLE[each["class_type"]].widgets.split()), each["class_type"]


# --- what is computed ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comfyui")
    tiny_pipelines.PIPELINES["Stable Diffusion 1"](folder).save_pretrained(folder / "models" / "checkpoints" / "sd")
    return folder


def of_tiny(prompt: dict[str, Any]) -> dict[str, Any]:
    return changed(prompt, {}, n4__ckpt_name="sd")


@pytest.mark.parametrize(
    ("sampler", "picture"), [("euler", False), ("euler_ancestral", False), ("euler_ancestral", True)]
)
def test_a_sampling_is_theirs(sampler: str, picture: bool, tiny: Path, tmp_path: Path) -> None:
    """ComfyUI's, written out at the scale x = z0 + sigma · eps, with its noise and the denoiser and prompts of the graph.

    A GPU draws what an ancestral sampler adds; of a picture it goes the last half of ten steps.
    """
    Image.new("RGB", (64, 64), (200, 30, 30)).save(tmp_path / "in.png")
    prompt = CASES["image to image"][0] if picture else base()
    settings = {"sampler_name": sampler, "scheduler": "karras", "steps": 5 if picture else 6}
    prompt = changed(of_tiny(prompt), {}, **{f"n3__{name}": value for name, value in settings.items()})
    workflow = brought(prompt, Folders(tiny / "models", tmp_path))
    sampling = workflow.nodes["sample"]
    known = str(sampling.wires.get("z0", "noise"))
    targets = ["sample", "noise", "model.unet", "model.schedule", "prompt", "prompt2", known]
    values = Engine(Registry.installed(), tmp_path / "w").run(workflow, targets=targets).values
    schedule: NoiseSchedule = values["model.schedule"]
    kept = 1 / (1 + schedule.sigmas.double() ** 2)
    table = ((1 - kept) / kept).sqrt()
    steps = 10 if picture else 6
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    ends = table[-1] ** (1 / 7), table[0] ** (1 / 7)
    sigmas = [*((ends[0] + ramp * (ends[1] - ends[0])) ** 7).tolist(), 0.0]
    noise = torch.randn(values["sample"].shape, generator=torch.Generator().manual_seed(5))
    assert torch.equal(values["noise"], noise)
    if picture:
        sigmas = sigmas[5:]
        x = values[known] + noise * sigmas[0]
    else:
        x = noise * math.sqrt(1 + sigmas[0] ** 2)
    gpu = Philox(5)
    named, other = ("prompt", "prompt2") if "circle" in str(workflow.nodes["prompt"].params) else ("prompt2", "prompt")
    for now, then in pairwise(sigmas):
        t = torch.full((len(x),), float((table.log() - math.log(now)).abs().argmin()))
        z = x / math.sqrt(1 + now**2)
        with torch.no_grad():
            cond, uncond = (values["model.unet"](z, t, told.expand(len(x))) for told in (values[named], values[other]))
        up = 0.0 if sampler == "euler" else min(then, math.sqrt(then**2 * (now**2 - then**2) / now**2))
        x = x + (math.sqrt(then**2 - up**2) - now) * (uncond + 4.0 * (cond - uncond))
        x = x + up * gpu(*x.shape) if up else x
    torch.testing.assert_close(values["sample"], x, rtol=1e-3, atol=1e-3)


def test_the_steps_of_two_samplers_are_those_of_one(tiny: Path, tmp_path: Path) -> None:
    """KSamplerAdvanced that ends early, and one that goes on."""
    engine, folders = Engine(Registry.installed(), tmp_path), Folders(tiny / "models")
    whole = brought(of_tiny(base()), folders)
    parts = brought(of_tiny(CASES["KSamplerAdvanced"][0]), folders)
    one = engine.run(whole, targets=["sample"]).values["sample"]
    last = next(str(each.wires["z"]) for each in parts.nodes.values() if each.type == "decode")
    torch.testing.assert_close(engine.run(parts, targets=[last]).values[last], one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["VAEEncodeForInpaint", "ConditioningSetTimestepRange", "LatentUpscaleBy", "image to image"])  # fmt: skip
def test_what_is_drawn_runs(name: str, tiny: Path, tmp_path: Path) -> None:
    picture = Image.new("RGBA", (64, 64), (200, 30, 30, 255))
    picture.paste((0, 0, 0, 0), (16, 16, 40, 40))
    picture.save(tmp_path / "in.png")
    prompt = of_tiny(CASES[name][0])
    if "20" in prompt:
        prompt = changed(prompt, {}, n3__steps=2)
    workflow = brought(prompt, Folders(tiny / "models", tmp_path))
    [images] = [id for id, each in workflow.nodes.items() if each.type == "decode"]
    value = Engine(Registry.installed(), tmp_path / "w").run(workflow, targets=[images]).values[images]
    assert value.isfinite().all()


# --- the canvas' form ------------------------------------------------------------------------------------------------


def sheet(nodes: list[dict[str, Any]], links: list[list[Any]], **more: Any) -> dict[str, Any]:
    return {"last_node_id": 99, "nodes": nodes, "links": links, "groups": [], "version": 0.4, **more}


def drawn(id: int, kind: str, values: Any = None, inputs: Any = (), outputs: Any = (), **more: Any) -> dict[str, Any]:
    """A node of litegraph. inputs: (name, type, link); outputs: types."""
    return {
        "id": id,
        "type": kind,
        "pos": [300 * id, 50],
        "size": {"0": 200, "1": 100},
        "mode": 0,
        "inputs": [{"name": name, "type": type, "link": link} for name, type, link in inputs],
        "outputs": [{"name": type, "type": type, "links": []} for type in outputs],
        **({} if values is None else {"widgets_values": values}),
        **more,
    }


def text_to_image() -> dict[str, Any]:
    """With a reroute, a primitive for the seed, a bypassed LoRA, a muted preview, a note and a group."""
    return sheet(
        [
            drawn(1, "CheckpointLoaderSimple", ["sd.safetensors"], outputs=["MODEL", "CLIP", "VAE"]),
            drawn(2, "LoraLoader", ["a.safetensors", 1, 1], [("model", "MODEL", 1), ("clip", "CLIP", 2)], ["MODEL", "CLIP"], mode=4),
            drawn(3, "CLIPTextEncode", ["a cat"], [("clip", "CLIP", 4)], ["CONDITIONING"]),
            drawn(4, "CLIPTextEncode", ["bad"], [("clip", "CLIP", 5)], ["CONDITIONING"]),
            drawn(5, "EmptyLatentImage", [64, 64, 1], outputs=["LATENT"]),
            drawn(6, "Reroute", None, [("", "*", 3)], ["MODEL"]),
            drawn(7, "PrimitiveNode", [77, "randomize"], outputs=["INT"]),
            drawn(
                8, "KSampler", [1, "randomize", 20, 7.5, "dpmpp_2m", "karras", 1],
                [("model", "MODEL", 6), ("positive", "CONDITIONING", 7), ("negative", "CONDITIONING", 8), ("latent_image", "LATENT", 9), ("seed", "INT", 10)],
                ["LATENT"],
            ),
            drawn(9, "VAEDecode", [], [("samples", "LATENT", 11), ("vae", "VAE", 12)], ["IMAGE"]),
            drawn(10, "SaveImage", ["%date%/cats"], [("images", "IMAGE", 13)]),
            drawn(11, "PreviewImage", [], [("images", "IMAGE", 14)], mode=2),
            drawn(12, "Note", ["Remember *this*"]),
            drawn(13, "UpscaleModelLoader", ["x4.pth"], outputs=["UPSCALE_MODEL"]),
            drawn(14, "ImageUpscaleWithModel", [], [("upscale_model", "UPSCALE_MODEL", 15), ("image", "IMAGE", 16)], ["IMAGE"]),
            drawn(15, "PreviewImage", [], [("images", "IMAGE", 17)]),
        ],
        [
            [1, 1, 0, 2, 0, "MODEL"], [2, 1, 1, 2, 1, "CLIP"], [3, 2, 0, 6, 0, "MODEL"], [4, 2, 1, 3, 0, "CLIP"],
            [5, 2, 1, 4, 0, "CLIP"], [6, 6, 0, 8, 0, "MODEL"], [7, 3, 0, 8, 1, "CONDITIONING"], [8, 4, 0, 8, 2, "CONDITIONING"],
            [9, 5, 0, 8, 3, "LATENT"], [10, 7, 0, 8, 4, "INT"], [11, 8, 0, 9, 0, "LATENT"], [12, 1, 2, 9, 1, "VAE"],
            [13, 9, 0, 10, 0, "IMAGE"], [14, 9, 0, 11, 0, "IMAGE"], [15, 13, 0, 14, 0, "UPSCALE_MODEL"], [16, 9, 0, 14, 1, "IMAGE"],
            [17, 14, 0, 15, 0, "IMAGE"],
        ],
        groups=[{"title": "All of it", "bounding": [0, 0, 900, 600]}],
    )  # fmt: skip


def test_the_canvas_form_with_all_that_it_has(registry: Registry) -> None:
    workflow = brought(text_to_image())
    sampling = workflow.nodes["sample"]
    assert sampling.params == {"solver": "dpmpp_2m", "steps": 20, "spacing": "comfyui_karras"}
    assert workflow.nodes["noise"].params == {"noise_as": "comfyui", "seed": 77, "shape": [1, 4, 8, 8]}
    assert sampling.body is not None
    assert {each.wires["model"] for each in sampling.body.nodes.values() if each.type == "denoise"} == {"lora.unet"}
    assert workflow.nodes["lora"].mode == "bypass"
    assert workflow.nodes["save"].params == {"name": "cats"}
    modes = {id: each.mode for id, each in workflow.nodes.items() if each.type == "preview_image"}
    assert sorted(modes.values()) == ["mute", "run"]
    drawings = {place.kind: place for place in workflow.layout.values() if place.kind != "node"}
    assert drawings["note"].text == "Remember *this*"
    assert drawings["frame"].text == "All of it"
    zone = workflow.layout["sample"].at[0]
    assert zone == round(0.7 * 2400)
    after = [workflow.layout[id].at[0] for id in workflow.nodes if id in workflow.layout and id != "sample"]
    assert all(x <= zone + 20 or x > zone + 520 for x in after), "nothing stands where the zone is"
    upscaled = workflow.nodes["image_upscale_with_model"]
    assert upscaled.type == "comfy_image_upscale_with_model"
    assert upscaled.wires == {"upscale_model": "upscale_model_loader.upscale_model", "image": "images"}
    told = {problem.node: problem.message for problem in errors(validate(workflow, registry)[1])}
    assert set(told) == {"upscale_model_loader", "image_upscale_with_model"}
    assert "ComfyUI's ImageUpscaleWithModel" in workflow.about


def subgraph(**instance: Any) -> dict[str, Any]:
    """A canvas with a subgraph for the sampling, used twice."""
    inner = {
        "id": "abc-1",
        "name": "Draw it",
        "inputs": [{"name": n} for n in ("model", "positive", "negative", "latent_image", "seed")],
        "outputs": [{"name": "LATENT"}],
        "nodes": [
            drawn(
                1, "KSampler", [1, "fixed", 4, 7.5, "euler", "normal", 1],
                [("model", "MODEL", 1), ("positive", "CONDITIONING", 2), ("negative", "CONDITIONING", 3), ("latent_image", "LATENT", 4)],
                ["LATENT"],
            )
        ],
        "links": [
            *({"id": n + 1, "origin_id": -10, "origin_slot": n, "target_id": 1, "target_slot": n} for n in range(4)),
            {"id": 9, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0},
        ],
    }  # fmt: skip
    made = text_to_image()
    [sampler] = [each for each in made["nodes"] if each["id"] == 8]
    sampler.update({"type": "abc-1", "widgets_values": [], **instance})
    return made | {"definitions": {"subgraphs": [inner]}}


def test_a_subgraph_becomes_a_definition(registry: Registry) -> None:
    workflow = brought(subgraph())
    assert "draw_it" in workflow.definitions
    definition = workflow.definitions["draw_it"]
    assert {"sample", "noise"} <= set(definition.nodes)
    assert workflow.nodes["draw_it"].type == "draw_it"
    assert "lora.unet" in workflow.nodes["draw_it"].wires.values()
    [decode] = [each for each in workflow.nodes.values() if each.type == "decode"]
    assert decode.wires["z"] == "draw_it.sample"
    wrong = {problem.node for problem in errors(validate(workflow, registry)[1])}
    assert wrong == {"upscale_model_loader", "image_upscale_with_model"}


def test_a_subgraph_within_itself_is_refused() -> None:
    made = subgraph()
    [inner] = made["definitions"]["subgraphs"]
    inner["nodes"].append(drawn(2, "abc-1"))
    with pytest.raises(WorkflowError, match="subgraphs lie in each other deeper than"):
        comfyui(made, Folders())


# --- what has no counterpart, and what is wrong ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"n3__sampler_name": "dpm_fast"}, "with the sampler 'dpm_fast' has no counterpart here"),
        ({"n3__scheduler": "linear_quadratic"}, "with the scheduler 'linear_quadratic' has no counterpart here"),
        ({"n3__denoise": 0.5}, "begins on the way from an empty latent"),
        ({"n3__steps": ["8", 0]}, "has a 'steps' that is no number of the file"),
        ({"n4__ckpt_name": "../../etc/passwd"}, "names the file '../../etc/passwd', which leaves its folder"),
    ],
)
def test_what_cannot_be_drawn_is_a_placeholder_with_a_reason(
    changes: dict[str, Any], why: str, registry: Registry
) -> None:
    prompt = changed(base(), {}, **changes)
    if "n3__steps" in changes:
        prompt = changed(base(), {"10": node("ComfyMathExpression", expression="a")}, n3__steps=["10", 0])
    found = comfyui(prompt, Folders())
    assert found is not None
    assert any(why in remark for remark in found.remarks), found.remarks
    assert any(type.startswith("comfy_") for type in types(found.workflow))
    _, problems = validate(found.workflow, registry)
    assert all("unknown node type 'comfy_" in problem.message for problem in errors(problems))


def test_a_model_that_a_placeholder_changes_keeps_its_schedule() -> None:
    prompt = changed(base(), {"10": node("FreeU_V2", model=["4", 0], b1=1.3)}, n3__model=["10", 0])
    workflow = brought(prompt)
    sampling = workflow.nodes["sample"]
    assert sampling.wires["schedule"] == "model.schedule"
    assert sampling.body is not None
    assert {each.wires["model"] for each in sampling.body.nodes.values() if each.type == "denoise"} == {
        "free_u_v2.output0"
    }
    assert workflow.nodes["free_u_v2"].params == {"b1": 1.3}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"3": {"class_type": 3, "inputs": {}}}, "node '3' needs a class_type"),
        ({"3": {"class_type": "A", "inputs": []}}, "node '3' needs a class_type"),
        ({"nodes": [{"type": "A"}], "links": []}, "a node has no id"),
        ({"nodes": [{"id": 1, "type": "A"}], "links": [[1]]}, "a link is malformed"),
        ({"nodes": {}, "links": []}, None),
        ({"1": node("A", x=["2", 0]), "2": node("B", x=["1", 0])}, "has a circle of nodes"),
    ],
)
def test_what_is_malformed_is_named(document: dict[str, Any], message: str | None) -> None:
    if message is None:
        assert comfyui(document, Folders()) is None
        return
    with pytest.raises(WorkflowError, match=message):
        comfyui(document, Folders())


def test_a_wire_to_no_node_is_told() -> None:
    found = comfyui(changed(base(), {}, n3__model=["77", 0]), Folders())
    assert found is not None
    assert "KSampler (node 3) reads node 77 in 'model', and there is none" in found.remarks


def test_damaged_files_are_refused_or_become_workflows() -> None:
    """Any value of a file in the place of any other: a WorkflowError, or what can be read again."""
    dice = random.Random(3)
    whole = [base(), text_to_image(), subgraph(), *(prompt for prompt, _ in CASES.values())]
    for _ in range(cases(60, 20_000)):
        document = copy.deepcopy(dice.choice(whole))
        for _ in range(dice.randint(1, 4)):
            places = list(_places(document))
            holder, key = dice.choice(places)
            other, its = dice.choice(places)
            value = dice.choice([copy.deepcopy(other[its]), None, -1, 1e30, "x", [], {}, True, ["3", 0], ["4", -7]])
            holder[key] = value
        try:
            found = comfyui(document, Folders())
            if found is not None:
                read(write(found.workflow))
        except WorkflowError:
            pass


def _places(value: Any) -> Any:
    inside = list(value.items() if isinstance(value, dict) else enumerate(value))
    for key, each in inside:
        yield value, key
        if isinstance(each, dict | list):
            yield from _places(each)


def test_names() -> None:
    assert name_in("CLIPTextEncode") == "clip_text_encode"
    assert name_in("KSampler (Efficient)") == "k_sampler_efficient"
    assert name_in("画像") == "node"
    assert json.dumps(name_in("4x"))
