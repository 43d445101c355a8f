"""Our own model files: round trips, and what is said of files that cannot be read."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.checkpoints.files import CheckpointError, atomic_file, atomic_folder
from core.checkpoints.model_io import MODELS, build, load_model, save_model
from core.checkpoints.weights import read_weights, write_weights
from core.models.unet import UNet

CLIP = {
    "vocab_size": 9,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
T5 = {"vocab_size": 9, "d_model": 24, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
CONFIGS: dict[str, dict[str, Any]] = {
    "UNet": {"in_channels": 3, "out_channels": 3, "model_channels": 8, "channel_mult": [1, 2], "num_heads": 1},
    "DiT": {"in_channels": 3, "hidden_size": 8, "depth": 1, "num_heads": 2, "sample_size": 4, "num_classes": 5},
    "KLAutoencoder": {"model_channels": 8, "channel_mult": [1, 1], "scale_factor": 0.18215},
    "VQAutoencoder": {"model_channels": 8, "channel_mult": [1, 1], "codes": 16, "revive_after": 3},
    "TinyAutoencoder": {"channels": 4, "encoder_blocks": [1, 1], "decoder_blocks": [1, 1]},
    "NLayerDiscriminator": {"base_channels": 4, "num_layers": 1},
    "ClassEmbedder": {"n_classes": 5, "embed_dim": 4},
    "BERTEmbedder": {"n_embed": 8, "n_layer": 1, "vocab_size": 9},
    "CLIPTextEmbedder": CLIP,
    "SDXLTextEmbedder": {
        "clip_l": CLIP,
        "clip_g": CLIP | {"hidden_size": 16},
        "projection_dim": 6,
        "end": 8,
    },
    "T5TextEmbedder": T5,
    "SD3TextEmbedder": {
        "clip_l": CLIP,
        "clip_g": CLIP,
        "t5": T5,
        "projection_dims": [4, 6],
        "context_dim": 24,
        "end": 8,
    },
    "MMDiT": {
        "in_channels": 4,
        "hidden_size": 8,
        "depth": 2,
        "num_heads": 2,
        "context_dim": 6,
        "vector_dim": 5,
        "max_positions": 4,
        "qk_norm": True,
        "dual_layers": [0],
    },
    "PixArt": {
        "in_channels": 4,
        "hidden_size": 12,
        "depth": 1,
        "num_heads": 2,
        "context_dim": 6,
        "interpolation_scale": 2.0,
        "sizes": True,
    },
    "SpatialRescaler": {"n_stages": 1, "in_channels": 4, "out_channels": 3},
    "HaarDistance": {"levels": 2},
    "NoisyClassifier": {
        "in_channels": 4,
        "num_classes": 5,
        "model_channels": 8,
        "channel_mult": [1, 2],
        "num_res_blocks": 1,
        "num_head_channels": 8,
        "norm_groups": 4,
        "sample_size": 4,
    },
    "Adapter": {"layers": {"input.0": [4, 6], "conv": [4, 6, 3, 3]}, "rank": 2, "alpha": 4.0, "dora": True},
    "LearnedWord": {"count": 2, "dim": 4},
    "ControlNet": {
        "in_channels": 3,
        "model_channels": 8,
        "channel_mult": [1, 2],
        "num_heads": 1,
        "hint_widths": [4, 8],
    },
    "IPAdapter": {
        "image_dim": 6,
        "context_dim": 4,
        "widths": [8, 8],
        "projection": "resampler",
        "hidden_dim": 6,
        "depth": 1,
        "heads": 1,
    },
    "T2IAdapter": {"channels": [8, 16], "num_res_blocks": 1, "downscale_factor": 4},
    "IdentityAutoencoder": {"in_channels": 4, "per_channel_scale": True},
    "ImageEmbedder": {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 8,
        "patch_size": 4,
        "projection_dim": 12,
    },
}


def tiny(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name](**CONFIGS[name])


@pytest.fixture
def unet_file(tmp_path: Path) -> Path:
    save_model(tiny("UNet"), tmp_path / "unet.safetensors")
    return tmp_path / "unet.safetensors"


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("path", ["model.safetensors", "folder"])
def test_every_model_comes_back_as_it_was(name: str, path: str, tmp_path: Path) -> None:
    model = tiny(name)
    save_model(model, tmp_path / path, about={"workflow": {"loom": 1}})
    again, about = load_model(tmp_path / path)
    assert type(again) is type(model)
    assert again.config == model.config
    assert same_weights(again, model)
    assert not again.training
    assert about == {"workflow": {"loom": 1}}
    assert [p.name for p in tmp_path.iterdir()] == [path]
    buffers = dict(model.named_buffers())
    assert all(torch.equal(buffer, buffers[key]) for key, buffer in again.named_buffers())


def test_loading_converts_to_the_asked_dtype_and_saving_keeps_it(tmp_path: Path) -> None:
    save_model(tiny("UNet").bfloat16(), tmp_path / "u")
    assert {p.dtype for p in load_model(tmp_path / "u").model.parameters()} == {torch.float32}
    assert {p.dtype for p in load_model(tmp_path / "u", torch.bfloat16).model.parameters()} == {torch.bfloat16}
    unet = tiny("UNet").bfloat16()
    assert {p.dtype for p in build(UNet, unet.config, unet.state_dict(), "memory").parameters()} == {torch.bfloat16}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def stopped_file() -> None:
        with atomic_file(tmp_path / "a") as temporary:
            temporary.write_text("new")
            raise RuntimeError("stop")

    def stopped_folder() -> None:
        with atomic_folder(tmp_path / "f") as folder:
            (folder / "x").write_text("new")
            raise RuntimeError("stop")

    for write in (stopped_file, stopped_folder):
        with pytest.raises(RuntimeError, match="stop"):
            write()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"
    for name in ("x", "y"):
        with atomic_folder(tmp_path / "f", names=["x", "y"]) as folder:
            (folder / name).write_text("1")
    assert [p.name for p in (tmp_path / "f").iterdir()] == ["y"]


def test_saving_never_deletes_what_is_not_a_models(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/cat.png").write_text("cat")
    with pytest.raises(FileExistsError, match=r"pictures holds cat\.png, which saving there would delete"):
        save_model(tiny("UNet"), tmp_path / "pictures")
    (tmp_path / "notes").write_text("x")
    with pytest.raises(FileExistsError, match="notes is a file"):
        save_model(tiny("UNet"), tmp_path / "notes")
    assert (tmp_path / "pictures/cat.png").read_text() == "cat"
    save_model(tiny("UNet"), tmp_path / "u")
    save_model(tiny("ClassEmbedder"), tmp_path / "u")
    assert load_model(tmp_path / "u").model.config == tiny("ClassEmbedder").config


def test_loading_our_models_imports_no_compiler(tmp_path: Path) -> None:
    """To initialise an embedding on the meta device imports torch._dynamo, a second; a loaded model needs no start."""
    model = MODELS["ClassEmbedder"](10, 8)
    save_model(model, tmp_path / "m.safetensors")
    script = (
        "import sys; from core.checkpoints.model_io import load_model; "
        "load_model(sys.argv[1]); sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", script, tmp_path / "m.safetensors"], check=True, cwd=Path(__file__).parents[3]
    )


def test_an_unknown_model_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="A Linear cannot be saved; the models that can are UNet"):
        save_model(nn.Linear(1, 1), tmp_path / "x")


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.999])
def test_a_truncated_file_is_named(unet_file: Path, keep: float) -> None:
    content = unet_file.read_bytes()
    unet_file.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(CheckpointError, match=r"unet\.safetensors is truncated or damaged .* copy it again"):
        load_model(unet_file)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_truncated_ckpt_is_named(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": tiny("UNet").state_dict()}, path, _use_new_zipfile_serialization=not legacy)
    assert read_weights(path).keys() == tiny("UNet").state_dict().keys()
    content = path.read_bytes()
    for keep in (0.05, 0.5, 0.99):
        path.write_bytes(content[: int(len(content) * keep)])
        with pytest.raises(CheckpointError, match=r"model\.ckpt is truncated or damaged.* copy it again"):
            read_weights(path)


class Exploit:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("echo owned",)


@pytest.mark.parametrize("how", ["torch", "legacy", "plain pickle"])
def test_a_pickle_with_code_is_refused_and_named(tmp_path: Path, how: str) -> None:
    path, content = tmp_path / "evil.ckpt", {"state_dict": {"w": torch.zeros(1)}, "x": Exploit()}
    if how == "plain pickle":
        path.write_bytes(pickle.dumps(content["x"]))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    message = r"evil\.ckpt is a pickle that would run code on loading \((posix|nt)\.system\), so it was not loaded"
    if how == "plain pickle":
        message = r"evil\.ckpt is a pickle that torch\.save did not write, so it was not loaded; get the model as"
    with pytest.raises(CheckpointError, match=message):
        read_weights(path)


def test_published_callbacks_are_harmless(tmp_path: Path) -> None:
    """The paper's .ckpt files hold a trainer's callback class as a key, and numpy numbers; a stand-in writes one."""
    import sys
    import types

    import numpy as np

    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    callback = type("ModelCheckpoint", (), {"__module__": module.__name__})
    module.ModelCheckpoint = callback
    names = ["pytorch_lightning", "pytorch_lightning.callbacks", module.__name__]
    sys.modules.update(dict.fromkeys(names, module))
    try:
        content = {"callbacks": {callback: {"best": np.float64(0.5)}}, "state_dict": {"w": torch.ones(2)}}
        torch.save(content, tmp_path / "published.ckpt")
    finally:
        for name in names:
            del sys.modules[name]
    assert read_weights(tmp_path / "published.ckpt")["w"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            "Git LFS pointer, not the file itself; run `git lfs pull`",
        ),
        (b"<html>not found</html>", "is an HTML page, not a model; the download gave this in the model's place"),
        (b"", "is an empty file; download it again"),
        (b"\x01\x02\x03", "neither a safetensors nor a PyTorch file"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_weights(tmp_path / "m.safetensors")


def test_a_missing_file_and_a_missing_shard_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors does not exist; check the path"):
        load_model(tmp_path / "nothing.safetensors")
    write_weights({"a": torch.ones(1)}, tmp_path / "m-1.safetensors")
    index = tmp_path / "m.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"m-2\.safetensors is missing, one of the 2 shards .* download it into"):
        read_weights(index)
    write_weights({"b": torch.ones(2)}, tmp_path / "m-2.safetensors")
    assert read_weights(index).keys() == {"a", "b"}
    index.write_text(json.dumps({"weight_map": {"a": "../m-1.safetensors"}}))
    with pytest.raises(CheckpointError, match="outside its folder"):
        read_weights(index)


def test_a_wrong_architecture_is_named(tmp_path: Path) -> None:
    unet = tiny("UNet")
    save_model(unet, tmp_path / "u")
    config = json.loads((tmp_path / "u/config.json").read_text())
    config["config"]["model_channels"] = 16
    (tmp_path / "u/config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"u/config\.json: it is damaged.* on purpose, delete its line crc32"):
        load_model(tmp_path / "u")
    del config["crc32"]
    (tmp_path / "u/config.json").write_text(json.dumps(config))
    wanted = r"u/model\.safetensors does not fit the architecture of the configured UNet: .* instead of .* and \d+ more"
    with pytest.raises(CheckpointError, match=wanted):
        load_model(tmp_path / "u")
    config["config"]["colour"] = "red"
    (tmp_path / "u/config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"no UNet can be built from its configuration: .*colour"):
        load_model(tmp_path / "u")


def test_a_file_cannot_name_a_class_of_its_choice(tmp_path: Path) -> None:
    for name, message in (("os.system", "which is none of UNet"), ("Module", "which is none of UNet")):
        header = {"latent_loom": 1, "model": name, "config": {}}
        write_weights({"a": torch.ones(1)}, tmp_path / "m.safetensors", {"latent_loom": json.dumps(header)})
        with pytest.raises(CheckpointError, match=message):
            load_model(tmp_path / "m.safetensors")


def test_another_programs_file_and_a_later_version_are_named(tmp_path: Path) -> None:
    write_weights({"a": torch.ones(1)}, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="was not written by save_model"):
        load_model(tmp_path / "m.safetensors")
    write_weights({"a": torch.ones(1)}, tmp_path / "m.safetensors", {"latent_loom": '{"latent_loom": 99}'})
    with pytest.raises(CheckpointError, match="is of version 99"):
        load_model(tmp_path / "m.safetensors")


def test_parts_of_one_tensor_are_saved_apart(tmp_path: Path) -> None:
    fused = torch.arange(6.0).view(3, 2)
    write_weights({"q": fused[0], "k": fused[1], "all": fused}, tmp_path / "m.safetensors")
    again = read_weights(tmp_path / "m.safetensors")
    assert again["k"].tolist() == [2, 3]
    assert torch.equal(again["all"], fused)


def test_tiny_configs_cover_every_model() -> None:
    assert CONFIGS.keys() == MODELS.keys()
    assert isinstance(tiny("UNet"), UNet)
