"""Checksums in what is saved: every flipped byte is noticed, files of other programs pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from core.checkpoints.descriptions import read_description, write_description
from core.checkpoints.files import CheckpointError
from core.checkpoints.seals import check_seal, check_seals, seal_of, seals, write_sealed

TENSORS = {"a": torch.arange(5.0), "b": torch.ones(2, 3, dtype=torch.bfloat16)}


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    write_sealed(TENSORS, path, {"about": "é", "z": "1"})
    return path


def test_a_sealed_file_is_an_ordinary_one(sealed: Path) -> None:
    assert {name: tensor.tolist() for name, tensor in load_file(sealed).items()} == {
        name: tensor.tolist() for name, tensor in TENSORS.items()
    }
    with safe_open(sealed, "pt") as file:
        assert file.metadata() == {"about": "é", "crc32": seal_of(sealed), "z": "1"}
    check_seal(sealed)


def test_equal_contents_give_equal_files(sealed: Path, tmp_path: Path) -> None:
    write_sealed(dict(reversed(TENSORS.items())), tmp_path / "again.safetensors", {"z": "1", "about": "é"})
    assert (tmp_path / "again.safetensors").read_bytes() == sealed.read_bytes()


def test_every_flipped_byte_is_noticed(sealed: Path) -> None:
    whole = sealed.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    for place in range(8 + length, len(whole)):  # of the tensors; a broken header is no file for anybody
        sealed.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(CheckpointError, match="damaged: its checksum is another"):
            check_seal(sealed)


def test_a_file_of_another_program_passes(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "other.safetensors")
    check_seal(tmp_path / "other.safetensors")
    assert seal_of(tmp_path / "other.safetensors") is None


def test_a_folder_is_held_against_what_was_written(sealed: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.json").write_text("{}")
    wanted = seals(tmp_path)
    assert wanted["model.safetensors"] == seal_of(sealed)
    check_seals(tmp_path, wanted)
    (tmp_path / "texts.json").write_text("{ }")
    with pytest.raises(CheckpointError, match=r"texts\.json is damaged, or belongs to another model"):
        check_seals(tmp_path, wanted)
    sealed.unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        check_seals(tmp_path, wanted)


def test_a_description_vouches_for_itself_and_for_what_lies_beside_it(sealed: Path, tmp_path: Path) -> None:
    path = tmp_path / "description.json"
    write_description(path, {"kind": "unet", "width": 3})
    found = read_description(path)
    assert (found["kind"], found["width"]) == ("unet", 3)
    changed = {**json.loads(path.read_text()), "width": 4}
    path.write_text(json.dumps(changed))
    with pytest.raises(CheckpointError, match="its checksum is another"):
        read_description(path)
    path.unlink()
    write_description(path, {"kind": "unet"})
    sealed.write_bytes(sealed.read_bytes()[:-1])
    write_sealed({"a": torch.zeros(1)}, sealed, {})
    with pytest.raises(CheckpointError, match="belongs to another model"):
        read_description(path)
