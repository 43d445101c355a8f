"""Pictures of other programs on the command line: told, and an A1111 one made again as its infotext says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from core.diffusion.solvers import SOLVERS as OURS
from graph_runner.__main__ import main
from graph_runner.bind.validate import errors, validate
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from nodes.infotext import SOLVERS, SPACINGS, graph, made_by_a1111

sys.path.append(str(Path(__file__).parents[1] / "core" / "checkpoints"))
import tiny_pipelines

sys.path.append(str(Path(__file__).parent / "comfyui"))
from prompts import base

SETTINGS = "Steps: 4, Sampler: Euler a, CFG scale: 5.5, Seed: 7, Size: 64x96, Model hash: 45dee52b, Model: my model"


def picture(path: Path, text: str, key: str = "parameters") -> Path:
    image = Image.new("RGB", (8, 8))
    if path.suffix == ".png":
        info = PngInfo()
        info.add_text(key, text)
        image.save(path, pnginfo=info)
    else:
        exif = Image.Exif()
        if key == "parameters":
            exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode("utf-16-be")
        else:
            exif[0x010F] = f"{key}:{text}"
        image.save(path, exif=exif)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_a_picture_is_told_and_written_as_a_workflow(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"a café [red:blue:.5] <lora:x:1>\nNegative prompt: blurry\n{SETTINGS}, Hires upscale: 2, Clip skip: 2"
    made = tmp_path / "made.json"
    assert main(["picture", str(picture(tmp_path / name, text)), "--output", str(made)]) == 0
    told = capsys.readouterr().out
    for part in (
        "made by A1111",
        "Prompt: a café",
        "Negative prompt: blurry",
        "Seed: 7",
        "Hires upscale: 2",
        "<lora:x:1>",
    ):
        assert part in told
    workflow = Workflow.model_validate_json(made.read_text())
    assert workflow.nodes["skip"].params == {"layers": 1}
    assert workflow.nodes["noise"].params["shape"] == [1, 4, 12, 8]
    assert workflow.nodes["sample"].params["solver"] == "euler_ancestral"


@pytest.mark.parametrize("name", ["c.png", "c.webp"])
def test_a_comfyui_picture_is_told(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = {"1": {"inputs": {"steps": 3, "cfg": 2, "sampler_name": "euler", "positive": ["2", 0]}}}
    text = json.dumps({**nodes, "2": {"inputs": {"text": "a cat"}}})
    path = picture(tmp_path / name, text, "prompt")
    assert main(["picture", str(path)]) == 0
    assert {"made by ComfyUI", "Prompt: a cat", "Steps: 3"} <= set(capsys.readouterr().out.splitlines())
    assert main(["picture", str(path), "--output", str(tmp_path / "w.json")]) == 2
    assert "no workflow can be made of a picture of ComfyUI" in capsys.readouterr().err


def test_a_comfyui_picture_becomes_a_workflow(tmp_path: Path) -> None:
    """One graph by `picture`, by `import` and by dropping it; the canvas' text is preferred where it is there."""
    path, made, brought = tmp_path / "c.png", tmp_path / "made.json", tmp_path / "brought.json"
    picture(path, json.dumps(base(sampler_name="euler_ancestral")), "prompt")
    assert main(["picture", str(path), "--output", str(made)]) == 0
    assert main(["import", str(path), "-o", str(brought)]) == 0
    assert made.read_text() == brought.read_text()
    params = Workflow.model_validate_json(made.read_text()).nodes["sample"].params
    assert (params["noise_as"], params["noise_seed"]) == ("comfyui gpu", 5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a cat", "ends in no line of settings"),
        ("{", "ends in no line of settings"),
        ("", "tells nothing of how it was made"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = picture(tmp_path / "x.png", text, "parameters" if text else "other")
    assert main(["picture", str(path)]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("Steps: 4, Sampler: Restart, Seed: 7", "no solver for A1111's sampler “Restart”"),
        ("Steps: 0, Sampler: Euler, Seed: 7", "Steps is “0”"),
        ("Steps: 4, Sampler: Euler, Seed: 7, CFG scale: nan", "CFG scale is “nan”"),
        ("Steps: 4, Sampler: Euler, Seed: 7, Size: 1x99999", "the size 1x99999"),
        ("Steps: 4, Sampler: Euler, Seed: 99999999999999999999", "Seed is"),
    ],
)
def test_settings_that_no_graph_can_have_are_told(settings: str, reason: str) -> None:
    made = made_by_a1111({"parameters": settings})
    assert made is not None
    assert not made.workflow
    assert reason in made.left[0]


def test_every_sampler_and_schedule_becomes_a_graph_that_is_in_order() -> None:
    registry = Registry.installed()
    for name in SOLVERS:
        assert SOLVERS[name][0] in OURS
        for settings in ({}, *({"Schedule type": kind} for kind in (*SPACINGS, "Automatic"))):
            told = made_by_a1111({"parameters": ", ".join(f"{key}: {value}" for key, value in {"Steps": "4", "Sampler": name, "Seed": "1", **settings}.items())})  # fmt: skip
            assert told is not None
            _, problems = validate(Workflow.model_validate_json(told.workflow), registry)
            assert all("path" in str(problem) for problem in errors(problems))


def test_the_graph_gives_what_its_parts_give_in_a_few_lines(engine: Engine, tmp_path: Path) -> None:
    from core.checkpoints.diffusers_folder import load_diffusers
    from core.conditioning.conditioning import Conditioning
    from core.conditioning.prompt_encoding import encode_prompts
    from core.infotext import read_infotext

    tiny_pipelines.PIPELINES["Stable Diffusion 1"](tmp_path).save_pretrained(tmp_path / "sd")
    made, _ = graph(read_infotext(f"a (red:1.3) cat\nNegative prompt: blue\n{SETTINGS}, RNG: CPU"))
    made["nodes"]["model"]["params"]["path"] = "sd"
    found = engine.run(Workflow.model_validate(made), targets=["sample"]).values["sample"]

    model = load_diffusers(tmp_path / "sd")
    cond, null = (
        encode_prompts(model.conditioner, model.tokenizer, [text], "a1111", torch.device("cpu")).context
        for text in ("a (red:1.3) cat", "blue")
    )
    schedule = model.schedule
    generator = torch.Generator().manual_seed(7)
    alphas = schedule.alphas_cumprod.double()
    sigmas = ((1 - alphas) / alphas).sqrt().log()
    times = torch.linspace(999, 0, 4, dtype=torch.float64)
    low = times.floor().long()
    between = times - low
    visited = [*((1 - between) * sigmas[low] + between * sigmas[(low + 1).clamp(max=999)]).exp().tolist(), 0.0]
    x = torch.randn(1, 4, 12, 8, generator=generator) * visited[0]
    with torch.no_grad():
        for step in range(4):
            sigma, then = visited[step], visited[step + 1]
            z, t = x / (sigma**2 + 1) ** 0.5, times[step : step + 1].float()
            eps = [model.unet(z, t, Conditioning(context)) for context in (cond, null)]
            slope = eps[1] + 5.5 * (eps[0] - eps[1])
            up = min(then, (then**2 * (sigma**2 - then**2) / sigma**2) ** 0.5)
            x = x + ((then**2 - up**2) ** 0.5 - sigma) * slope
            if then > 0:
                x = x + up * torch.randn(1, 4, 12, 8, generator=generator)
    torch.testing.assert_close(found, x, atol=1e-3, rtol=1e-3)
