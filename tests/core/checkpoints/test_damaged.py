"""Damaged models and encoded data sets: an error that names the file, and never a wrong value."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.checkpoints.compvis import save_compvis
from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.load import load_checkpoint, save_checkpoint
from core.checkpoints.model_io import load_model, save_model
from core.checkpoints.weights import read_metadata, read_weights, write_weights
from core.conditioning.classes import ClassEmbedder
from core.data.latents import LatentData
from core.diffusion.schedule import NoiseSchedule
from core.models.autoencoder import KLAutoencoder
from tests import damages
from tests.effort import cases


def autoencoder() -> KLAutoencoder:
    return KLAutoencoder(
        model_channels=4, channel_mult=[1], num_res_blocks=1, z_channels=2, norm_groups=2, mid_attention=False
    )


def whole(seed: int) -> LatentDiffusion:
    torch.manual_seed(seed)
    return LatentDiffusion(None, autoencoder(), ClassEmbedder(3, 4), None, NoiseSchedule.linear(20 + seed))


def content_of_model(model: nn.Module) -> list[Any]:
    return [type(model).__name__, model.config, dict(model.state_dict())]


def content_of_whole(path: Path) -> list[Any]:
    model = load_checkpoint(path)
    assert model.autoencoder is not None
    assert model.conditioner is not None
    return [*content_of_model(model.autoencoder), *content_of_model(model.conditioner), model.schedule]


def content_of_data(path: Path) -> list[Any]:
    data = LatentData.load(path)
    return [dict(data.fields), data.std, data.classes]


def encoded(seed: int) -> LatentData:
    latents = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(seed))
    return LatentData({"latents": latents, "captions": ["a", "b", str(seed)]}, latents.abs(), ["round", "square"])


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def attempted(load: Callable[[], Any]) -> tuple[Any, str]:
    """What is loaded, or else the error for people."""
    try:
        return load(), ""
    except ValueError as error:
        return None, str(error)


def save_file(path: Path, seed: int) -> None:
    torch.manual_seed(seed)
    save_model(ClassEmbedder(3, 4), path / "model.safetensors", {"workflow": seed})


def load_file(path: Path) -> list[Any]:
    return content_of_model(load_model(path / "model.safetensors").model)


def save_folder(path: Path, seed: int) -> None:
    torch.manual_seed(seed)
    save_model(ClassEmbedder(3, 4), path, {"workflow": seed})


KINDS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], list[Any]]]] = {
    "a model's file": (save_file, load_file),
    "a model's folder": (save_folder, lambda path: content_of_model(load_model(path).model)),
    "a whole model": (lambda path, seed: save_checkpoint(whole(seed), path), content_of_whole),
    "an encoded data set": (lambda path, seed: encoded(seed).save(path), content_of_data),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_damaged_is_named_and_never_silently_wrong(tmp_path: Path, kind: str) -> None:
    save, load = KINDS[kind]
    chance = random.Random(kind)
    for seed in (0, 1):
        save(tmp_path / f"whole{seed}", seed)
    right = load(tmp_path / "whole0")
    assert not same(right, load(tmp_path / "whole1"))
    refused = 0
    for _ in range(cases(80, 800)):
        for seed in (0, 1):
            shutil.rmtree(tmp_path / f"{seed}", ignore_errors=True)
            shutil.copytree(tmp_path / f"whole{seed}", tmp_path / f"{seed}")
        file = chance.choice(sorted((tmp_path / "0").iterdir()))
        other = tmp_path / "1" / file.name
        if kind == "a model's file":  # a file of another name is another model, not damage
            shutil.copy(file, other)
        done = damages.any_damage(chance, file, other)
        found, told = attempted(lambda: load(tmp_path / "0"))
        assert str(tmp_path / "0") in told or same(found, right), f"{done}: {told or 'silently wrong'}"
        refused += bool(told)
    assert refused > cases(60, 600)


def test_what_carries_no_checksum_is_read(tmp_path: Path) -> None:
    """Files of version 0.1, and of other programs."""
    save_checkpoint(whole(0), tmp_path / "m")
    right = content_of_whole(tmp_path / "m")
    described = tmp_path / "m" / "latent_diffusion.json"
    content = json.loads(described.read_text())
    described.write_text(json.dumps({name: content[name] for name in content if name not in ("crc32", "files")}))
    for file in (tmp_path / "m").glob("*.safetensors"):
        file.write_bytes(file.read_bytes().replace(b'"crc32"', b'"other"'))
    assert same(content_of_whole(tmp_path / "m"), right)


def test_a_part_that_is_gone_is_missed(tmp_path: Path) -> None:
    save_checkpoint(whole(0), tmp_path / "m")
    (tmp_path / "m" / "conditioner.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"m/conditioner\.safetensors is missing, a part of what was saved"):
        load_checkpoint(tmp_path / "m")


@pytest.mark.parametrize("text", ["plain", '"crc32":"00000000"', "ü\u2028\x7f\n\t\x01\\", '{"crc32": "12345678"}'])
def test_checksums_stand_in_every_file_whatever_its_texts_are(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {"crc32": torch.ones(3), "ü": torch.zeros(0), "": torch.ones(2, dtype=torch.bfloat16)}
    write_weights(tensors, path, {"a": text, "z": text})
    assert same(read_weights(path), tensors)
    assert {name: value for name, value in read_metadata(path).items() if name != "crc32"} == {"a": text, "z": text}
    first = path.read_bytes()
    write_weights(tensors, path, {"z": text, "a": text})
    assert path.read_bytes() == first, "equal content, equal files"
    for at in range(len(first)):
        damages.flip(path, at)
        found, told = attempted(lambda: read_weights(path))
        assert str(path) in told or same(found, tensors), f"byte {at}: {told or 'silently wrong'}"
        path.write_bytes(first)


def test_exports_for_other_programs_carry_them_too(tmp_path: Path) -> None:
    save_compvis(LatentDiffusion(autoencoder=autoencoder()), tmp_path / "ae.safetensors")
    damages.flip(tmp_path / "ae.safetensors", -5)
    with pytest.raises(CheckpointError, match=r"ae\.safetensors is damaged: its checksum is another"):
        load_checkpoint(tmp_path / "ae.safetensors")
