"""`models`: what lies in the workspace and other folders, with what each is, and broken ones told."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from graph_runner.__main__ import main

LORA = {"lora_unet_mid_block_attentions_0_to_q.lora_down.weight": torch.zeros(2, 4),
        "lora_unet_mid_block_attentions_0_to_q.lora_up.weight": torch.zeros(4, 2)}  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    models = tmp_path / "workspace" / "models"
    models.mkdir(parents=True)
    save_file(LORA, models / "cat.safetensors", {"modelspec.trigger_phrase": "zwx cat"})
    (models / "cat.preview.png").write_bytes(b"\x89PNG\r\n")
    (models / "page.safetensors").write_bytes(b"<!doctype html><title>Sign in</title>")
    (models / "cut.ckpt").write_bytes(b"PK\x03\x04cut off")
    (models / "notes.txt").write_text("no model")
    (tmp_path / "workspace/cache").mkdir()
    save_file(LORA, tmp_path / "workspace/cache/kept.safetensors")
    return tmp_path / "workspace"


def test_all_is_told_of_each_and_broken_ones_are_not_fatal(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "ComfyUI" / "loras"
    other.mkdir(parents=True)
    save_file({key: value.half() for key, value in LORA.items()}, other / "half.safetensors")
    assert main(["models", str(tmp_path / "ComfyUI"), "--workspace", str(workspace), "--json"]) == 0
    found = {Path(each["path"]).name: each for each in json.loads(capsys.readouterr().out)}
    assert found.keys() == {"cat.safetensors", "page.safetensors", "cut.ckpt", "half.safetensors"}
    cat = found["cat.safetensors"]
    content = (workspace / "models/cat.safetensors").read_bytes()
    weights = content[8 + int.from_bytes(content[:8], "little") :]
    assert cat["hash"] == hashlib.sha256(content).hexdigest()[:10], "A1111's and Civitai's AutoV2"
    assert cat["data_hash"] == hashlib.sha256(weights).hexdigest()[:12], "Civitai's AutoV3"
    assert (cat["what"], cat["dtype"], cat["parameters"], cat["size"]) == ("a LoRA", "float32", 16, len(content))
    assert (cat["words"], Path(cat["thumbnail"]).name, cat["problem"]) == (["zwx cat"], "cat.preview.png", "")
    assert found["half.safetensors"]["dtype"] == "float16"
    assert found["page.safetensors"]["what"] == "an HTML page, not a model"
    assert "truncated or damaged" in found["cut.ckpt"]["problem"]


def test_people_read_it_too(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--workspace", str(workspace), "--no-hash"]) == 0
    told = capsys.readouterr().out
    assert "a LoRA  float32  16" in told
    assert "words: zwx cat" in told
    assert "3 models" in told
    assert main(["models", "nowhere", "--workspace", str(workspace)]) == 2
    assert "there is no folder or file" in capsys.readouterr().err


def test_an_empty_workspace_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--workspace", str(tmp_path / "none")]) == 0
    assert "No models lie in" in capsys.readouterr().out
