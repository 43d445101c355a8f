"""Other programs' workflows on the command line: `import` of a file and of a picture, and `export --as`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from graph_runner.__main__ import main
from graph_runner.format.workflow import load

sys.path.append(str(Path(__file__).parents[2] / "nodes" / "comfyui"))
from prompts import base


def test_a_file_and_a_picture_are_brought(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, picture, out = tmp_path / "theirs.json", tmp_path / "theirs.png", tmp_path / "ours.json"
    file.write_text(json.dumps(base(sampler_name="dpm_fast")))
    assert main(["import", str(file), "-o", str(out)]) == 0
    told = capsys.readouterr().err
    assert "ComfyUI's KSampler with the sampler 'dpm_fast' has no counterpart here" in told
    assert load(out).nodes["k_sampler"].type == "comfy_k_sampler"
    assert main(["import", str(file), "-o", str(out)]) == 2, "it does not write over a file"
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("prompt", json.dumps(base()).replace('"inputs"', '"is_changed": [NaN], "inputs"'))
    Image.new("RGB", (2, 2)).save(picture, pnginfo=chunks)
    assert main(["import", str(picture), "-o", str(out), "--overwrite", "--models", str(tmp_path)]) == 0
    assert load(out).nodes["model"].params == {"path": str(tmp_path / "checkpoints" / "sd.safetensors")}
    capsys.readouterr()
    assert main(["export", str(out), "--as", "comfyui"]) == 0
    assert json.loads(capsys.readouterr().out)["sample"]["class_type"] == "KSampler"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "none.json"], "cannot read"),
        (["import", "other.json"], "is no workflow of a program that is known here"),
        (["import", "broken.json"], "is no valid JSON"),
        (["import", "other.json", "--models", "none"], "there is no folder none"),
        (["export", "ours.json", "--as", "krita"], "workflows cannot be written for 'krita'"),
    ],
)
def test_what_cannot_be_done_is_told(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other.json").write_text('{"a": 1}')
    Path("broken.json").write_text("{")
    Path("ours.json").write_text('{"loom": 1, "nodes": {}}')
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
