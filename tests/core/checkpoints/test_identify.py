"""Files are called what they are: in a refusal, and when they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from foreign_files import write_foreign_files
from tiny_ldm import EVERY_KIND, lora_state

from core.checkpoints.compvis import save_compvis
from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import identify
from core.checkpoints.load import load_checkpoint, save_checkpoint
from core.checkpoints.lora import read_lora
from core.checkpoints.weights import write_weights


def test_every_foreign_file_is_refused_by_its_name(tmp_path: Path) -> None:
    for path, words in write_foreign_files(tmp_path).items():
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(path)
        said = str(caught.value)
        assert str(path) in said, said
        assert words in said, said


def test_every_foreign_file_but_a_lora_is_no_lora(tmp_path: Path) -> None:
    for path, words in write_foreign_files(tmp_path).items():
        if path.is_dir() or words.partition(" for ")[0] in ("a LoRA", "a LoHa", "a LoKr"):
            continue
        with pytest.raises(CheckpointError) as caught:
            read_lora(path)
        assert words in str(caught.value), str(caught.value)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_what_can_be_loaded_is_said_to_be(kind: str, tmp_path: Path) -> None:
    save_compvis(EVERY_KIND[kind](), tmp_path / "m.safetensors")
    save_compvis(EVERY_KIND[kind](), tmp_path / "m.ckpt")
    save_checkpoint(EVERY_KIND[kind](), tmp_path / "folder")
    for name in ("m.safetensors", "m.ckpt", "folder"):
        known = identify(tmp_path / name)
        assert known is not None
        assert known.use == "checkpoint", known


def test_a_lora_is_said_to_be_one_and_to_be_merged(tmp_path: Path) -> None:
    write_weights(lora_state(), tmp_path / "l.safetensors")
    known = identify(tmp_path / "l.safetensors")
    assert known is not None
    assert known.of("l") == "l is a LoRA; load its base model and merge it into that"


def test_what_nobody_knows_is_not_guessed(tmp_path: Path) -> None:
    write_weights({"classifier.weight": lora_state()["lora_unet_mid_block_attentions_0_to_q.alpha"]}, tmp_path / "x.pt")
    assert identify(tmp_path / "x.pt") is None
