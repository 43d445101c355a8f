"""What is known of a model's file without loading it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from foreign_files import write_foreign_files
from tiny_ldm import lora_state, stable_diffusion

from core.checkpoints.card import card
from core.checkpoints.compvis import save_compvis
from core.checkpoints.diffusers_folder import save_diffusers
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
