"""Model files that accident has changed: read, or refused in a sentence that names the file, within bounds."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core.checkpoints.compvis import save_compvis
from core.checkpoints.diffusers_folder import save_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.load import load_checkpoint, save_checkpoint
from core.checkpoints.lora import merge_lora, read_lora
from core.checkpoints.model_io import save_model
from core.checkpoints.weights import read_weights
from core.conditioning.tokenizer import TextTokenizer, train_wordpiece
from core.images import ImageError, load_image, save_png
from tests import mutations
from tests.bounds import memory, no_hang
from tests.core.checkpoints import tiny_ldm
from tests.core.checkpoints.tiny_ldm import lora_state, small_unet
from tests.effort import cases


@pytest.fixture(scope="module", autouse=True)
def bounded() -> Iterator[None]:
    """At most 2 GiB more than what is in use."""
    tiny_ldm.clip()  # what is imported late is in use by now
    with memory(2):
        yield


def write_ckpt(folder: Path, legacy: bool) -> Path:
    save_compvis(tiny_ldm.class_conditional(), folder / "plain.safetensors")
    content = {"state_dict": read_weights(folder / "plain.safetensors"), "epoch": 3}
    torch.save(content, folder / "model.ckpt", _use_new_zipfile_serialization=not legacy)
    (folder / "plain.yaml").rename(folder / "model.yaml")
    (folder / "plain.safetensors").unlink()
    return folder / "model.ckpt"


def write_bin(folder: Path) -> Path:
    save_diffusers(LatentDiffusion(autoencoder=tiny_ldm.vq(levels=2)), folder / "model")
    part = folder / "model" / "vae"
    weights = part / "diffusion_pytorch_model.safetensors"
    torch.save(read_weights(weights), weights.with_suffix(".bin"))
    weights.unlink()
    return part


def write_tokenizer(folder: Path) -> Path:
    train_wordpiece(["a red circle", "a blue square"], 64, 12).save(folder / "tokenizer")
    return folder / "tokenizer"


def write(kind: str, folder: Path) -> Path:
    """Write the file or folder of a kind, and give what its reader is given."""
    match kind:
        case "safetensors":
            save_model(small_unet(), folder / "model.safetensors", {"title": "x"})
            return folder / "model.safetensors"
        case "folder":
            save_checkpoint(tiny_ldm.class_conditional(), folder / "model")
            return folder / "model"
        case "compvis":
            save_compvis(LatentDiffusion(autoencoder=tiny_ldm.kl()), folder / "model.safetensors")
            (folder / "model.yaml").unlink()  # the architecture is read from names and shapes
            return folder / "model.safetensors"
        case "ckpt" | "legacy ckpt":
            return write_ckpt(folder, legacy=kind != "ckpt")
        case "diffusers":
            save_diffusers(tiny_ldm.unconditional(), folder / "model")
            return folder / "model"
        case "bin":
            return write_bin(folder)
        case "lora":
            save_file(lora_state(), folder / "lora.safetensors", {"lora_adapter_metadata": '{"unet.lora_alpha": 2}'})
            return folder / "lora.safetensors"
        case "tokenizer":
            return write_tokenizer(folder)
        case _:
            save_png(folder / "picture.png", torch.zeros(3, 8, 8), {"workflow": "{}"})
            return folder / "picture.png"


READERS: dict[str, Callable[[Path], object]] = {
    "lora": lambda path: merge_lora(small_unet(), read_lora(path)),
    "tokenizer": lambda path: TextTokenizer.load(path)(["a red circle"]),
    "picture": load_image,
}
KINDS = ("safetensors", "folder", "compvis", "ckpt", "legacy ckpt", "diffusers", "bin", *READERS)
REFUSALS = (CheckpointError, ImageError)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """The folder of each kind, and what in it its reader is given."""
    found = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind.replace(" ", "_"))
        path = write(kind, folder)
        READERS.get(kind, load_checkpoint)(path)  # as it is, it is read
        found[kind] = folder, path.relative_to(folder).as_posix()
    return found


def change(file: Path, random: Random) -> None:
    """Change a file as its format allows: its header, its index, or any of its bytes."""
    data = file.read_bytes()
    structured = random.random() < 0.7
    if structured and file.suffix == ".json":
        changed = mutations.text(mutations.document(json.loads(data), random))
    elif structured and file.suffix == ".safetensors":
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        described = header.get("__metadata__", {}).get("latent_loom")
        if described and random.random() < 0.7:
            header["__metadata__"]["latent_loom"] = json.dumps(mutations.document(json.loads(described), random))
        else:
            header = mutations.document(header, random)
        text = mutations.text(header)
        changed = struct.pack("<Q", len(text)) + text + data[8 + length :]
    elif structured and zipfile.is_zipfile(io.BytesIO(data)):
        changed = repacked(data, random)
    else:
        changed = mutations.bytes_of(data, random)
    file.write_bytes(changed)


def repacked(data: bytes, random: Random) -> bytes:
    """A zip archive with one of its entries changed, renamed, packed or left out."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w") as new:
        names = old.namelist()
        index = next(name for name in names if name.endswith("data.pkl"))
        chosen = random.choice([index, index, random.choice(names)])
        for name in names:
            content, how = old.read(name), random.randrange(6) if name == chosen else -1
            if how == 0:
                continue
            renamed = f"../{name}" if how == 1 else name
            content = mutations.bytes_of(content, random) if how >= 3 else content
            new.writestr(renamed, content, zipfile.ZIP_DEFLATED if how == 2 else zipfile.ZIP_STORED)
    return packed.getvalue()


def refusal(read: Callable[[Path], object], path: Path, kinds: Any) -> str | None:
    """The sentence in which a reader refuses a file; None where it reads it. Other errors go on."""
    try:
        read(path)
    except kinds as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_changed_files_are_read_or_refused(kind: str, originals: dict[str, tuple[Path, str]], tmp_path: Path) -> None:
    original, name = originals[kind]
    read = READERS.get(kind, load_checkpoint)
    refused = 0
    for number in range(cases(20, 250)):
        random, folder = Random(f"{kind} {number}"), tmp_path / str(number)
        shutil.copytree(original, folder)
        change(random.choice(sorted(file for file in folder.rglob("*") if file.is_file())), random)
        with no_hang(f"{kind} {number}"):
            told = refusal(read, folder / name, ValueError if kind == "tokenizer" else REFUSALS)
        assert told is None or str(folder) in told, f"{kind} {number}: the file is not named: {told}"
        assert told is None or len(told) < 3000, f"{kind} {number}: a message is for people"
        refused += told is not None
        shutil.rmtree(folder)
    assert refused, "some of the changes are told"
