"""What is known of a model's file without loading it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from foreign_files import write_foreign_files
from tiny_ldm import lora_state, stable_diffusion

from core.checkpoints import card as card_module
from core.checkpoints import identify as identify_module
from core.checkpoints.card import card
from core.checkpoints.compvis import save_compvis
from core.checkpoints.diffusers_folder import describes_weights, save_diffusers
from core.checkpoints.listing import read_listing
from core.checkpoints.weights import write_weights


def test_every_foreign_file_is_named_and_none_is_fatal(tmp_path: Path) -> None:
    for path, words in write_foreign_files(tmp_path).items():
        found = card(path)
        if found is None:
            assert path.suffix not in (".safetensors", ".ckpt", ".pt", ".gguf", ".onnx")
            continue
        assert found.identity is not None, path
        assert words in found.identity.name or words in found.problem, (path, found.identity)


def test_what_can_be_used_has_no_problem(tmp_path: Path) -> None:
    model = stable_diffusion()
    save_compvis(model, tmp_path / "m.safetensors")
    save_diffusers(model, tmp_path / "folder")
    for name in ("m.safetensors", "folder/unet"):
        found = card(tmp_path / name)
        assert found is not None
        assert found.problem == ""
    (tmp_path / "folder/model_index.json").write_text(
        json.dumps({"_class_name": "FluxPipeline", "text_encoder_2": ["transformers", "T5EncoderModel"]})
    )  # fmt: skip
    assert "several text encoders" in card(tmp_path / "folder").problem


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    write_weights({"x": torch.zeros(400)}, tmp_path / "cut.safetensors")
    whole = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:20])
    assert "truncated or damaged" in card(tmp_path / "cut.safetensors").problem
    assert card(tmp_path / "notes.txt") is None
    assert card(tmp_path) is None


@pytest.mark.parametrize("told", [3, {"a": 1}, [["x"]], [None], True])
def test_a_configuration_that_names_no_class_is_no_model(told: object, tmp_path: Path) -> None:
    for name in ("_class_name", "architectures"):
        (tmp_path / "config.json").write_text(json.dumps({name: told}))
        assert card(tmp_path) is None
        write_weights({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
        assert describes_weights(tmp_path / "model.safetensors") is None


def test_a_file_is_listed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed: list[Path] = []
    for module in (card_module, identify_module):
        monkeypatch.setattr(module, "read_listing", lambda path: listed.append(path) or read_listing(path))
    write_weights(lora_state(), tmp_path / "l.safetensors")
    assert card(tmp_path / "l.safetensors").listing == read_listing(tmp_path / "l.safetensors")
    assert listed == [tmp_path / "l.safetensors"]


def test_the_words_that_call_an_adapter_up(tmp_path: Path) -> None:
    """From the header as kohya and modelspec write it, and from Civitai's and A1111's file beside it."""
    write_weights(lora_state(), tmp_path / "k.safetensors", {"ss_tag_frequency": json.dumps({"10_sks dog": {"a": 3}})})
    write_weights(lora_state(), tmp_path / "s.safetensors", {"modelspec.trigger_phrase": "sks, dog"})
    write_weights(lora_state(), tmp_path / "c.safetensors")
    (tmp_path / "c.civitai.info").write_text(json.dumps({"trainedWords": ["zwx cat", "zwx"]}))
    write_weights(lora_state(), tmp_path / "a.safetensors")
    (tmp_path / "a.json").write_text(json.dumps({"activation text": "neon"}))
    write_weights(lora_state(), tmp_path / "b.safetensors", {"ss_tag_frequency": "no json"})
    (tmp_path / "b.json").write_text("no json either")
    found = {name: card(tmp_path / f"{name}.safetensors").words for name in "kscab"}
    assert found == {"k": ("sks dog",), "s": ("sks", "dog"), "c": ("zwx cat", "zwx"), "a": ("neon",), "b": ()}
