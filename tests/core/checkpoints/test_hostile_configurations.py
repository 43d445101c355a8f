"""Configurations made to harm: a line of text may ask for a million blocks, and gets as many as there are weights."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file

from core.checkpoints.compvis_config import read_yaml
from core.checkpoints.diffusers_folder import save_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.load import load_checkpoint
from core.checkpoints.lora import merge_lora, read_lora
from core.checkpoints.model_io import load_model
from core.checkpoints.weights import read_weights
from core.images import ImageError, load_image
from tests.bounds import memory, no_hang
from tests.core.checkpoints import tiny_ldm
from tests.core.checkpoints.tiny_ldm import lora_state, small_unet


@pytest.fixture(scope="module", autouse=True)
def bounded() -> Iterator[None]:
    """At most 2 GiB more than what is in use."""
    tiny_ldm.clip()  # what is imported late is in use by now
    with memory(2):
        yield


CONFIGURED: list[dict[str, Any]] = [
    {"channel_mult": [1] * 100_000},
    {"channel_mult": []},
    {"channel_mult": [0, 1]},
    {"channel_mult": "12"},
    {"num_res_blocks": 10**9},
    {"num_res_blocks": 10**30},
    {"transformer_depth": 10**9, "context_dim": 8},
    {"model_channels": 10**6},
    {"model_channels": 0},
    {"in_channels": -8},
    {"in_channels": 1.5},
    {"num_heads": 3},
    {"num_heads": 0},
    {"num_heads": "two"},
    {"norm_groups": 0},
    {"num_classes": 10**12},
    {"frob": 1},
]


@pytest.mark.parametrize("change", CONFIGURED, ids=lambda change: "-".join(change))
def test_a_configuration_is_followed_as_far_as_the_weights_reach(change: dict[str, Any], tmp_path: Path) -> None:
    model = small_unet()
    described = {"latent_loom": 1, "model": "UNet", "config": model.config | change}
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(model.state_dict(), {"latent_loom": json.dumps(described)}))
    with no_hang(str(change)), pytest.raises(CheckpointError, match="configur") as caught:
        load_model(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("unet", {"layers_per_block": 10**9}),
        ("unet", {"block_out_channels": [32] * 100_000, "down_block_types": ["DownBlock2D"] * 100_000}),
        ("unet", {"block_out_channels": [10**12, 10**12]}),
        ("unet", {"block_out_channels": []}),
        ("unet", {"norm_num_groups": 0}),
        ("unet", {"down_block_types": 7}),
        ("vqvae", {"num_vq_embeddings": 10**12}),
        ("vqvae", {"latent_channels": -8}),
        ("vqvae", {"scaling_factor": "much"}),
        ("scheduler", {"num_train_timesteps": 10**12}),
        ("scheduler", {"trained_betas": [0.5] * 200_000}),
        ("scheduler", {"beta_start": None}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_diffusers_configuration_is_followed_no_further(part: str, change: dict[str, Any], tmp_path: Path) -> None:
    save_diffusers(tiny_ldm.unconditional(), tmp_path / "model")
    file = tmp_path / "model" / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with no_hang(str(change)[:80]), pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "model")
    assert str(tmp_path / "model") in str(caught.value)


@pytest.mark.parametrize("config", [[], 3, None, "x", {"latent_loom": []}, {"latent_loom": 1, "model": ["UNet"]}])
def test_a_description_of_another_form_is_refused(config: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(small_unet().state_dict(), {"latent_loom": json.dumps(config)}))
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_model(path)


@pytest.mark.parametrize(
    "key",
    [
        "model.diffusion_model.output_blocks.999999999999.0.w",
        "model.diffusion_model.input_blocks." + "9" * 5000 + ".0.w",
    ],
)
def test_names_that_count_further_than_there_are_weights_are_refused(key: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    first = "model.diffusion_model.input_blocks.0.0.weight"
    save_file({key: torch.ones(1), first: torch.ones(8, 3, 3, 3)}, path)
    with no_hang(key[:60]), pytest.raises(CheckpointError, match="holds no UNet"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghijklmnopqrstuv", "bcdefghijklmnopqrstuvw", strict=True)), "too many values"),
        ("a: &a {x: 1}\n" + "".join(f"{b}: &{b} {{<<: [*{a}, *{a}]}}\n" for a, b in zip("abcdefghijklmnopqrstuv", "bcdefghijklmnopqrstuvw", strict=True)), "too many values"),
        ("model: &m [*m]", "too many values"),
        ("[" * 20_000, "is not a yaml file"),
        ("model: !!python/object/apply:os.system [touch canary]", "is not a yaml file"),
        ("model: " + "1" * 5000, "is not a yaml file"),
        ("x" * 300_000, "which no model's yaml has"),
        ("model: {params: {unet_config: {params: {}}, first_stage_config: 3}}", "cannot be built"),
        ("model: {}\nlatent_loom: {unet: {model: UNet, config: 3}}", "describes no model"),
        ("model: {}\nlatent_loom: [1]", "describes no model|no checkpoint|cannot"),
    ],
    ids=["aliases", "merges", "circle", "deep", "python", "digits", "long", "types", "part", "list"],
)  # fmt: skip
def test_a_yaml_stands_for_no_more_than_it_says(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    with no_hang(told), pytest.raises(CheckpointError, match=told) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)
    assert not Path("canary").exists()


def test_shards_lie_in_their_folder_and_are_no_lists_of_shards(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    for weight_map, told in [
        ({"w": "../w.safetensors"}, "outside its folder"),
        ({"w": index.name}, "outside its folder"),
        ({"w": 3}, "lists no shards"),
        ([], "lists no shards"),
        ({"w": "\0"}, r"index\.json"),
    ]:
        index.write_text(json.dumps({"weight_map": weight_map}))
        with pytest.raises(CheckpointError, match=told):
            read_weights(index)


@pytest.mark.parametrize(
    "change",
    [
        {"lora_down.weight": torch.ones(1, 1_000_000), "lora_up.weight": torch.ones(1_000_000, 1)},
        {"lora_down.weight": torch.ones(100_000, 16), "lora_up.weight": torch.ones(16, 100_000)},
        {"lora_down.weight": torch.ones(0, 16), "lora_up.weight": torch.ones(16, 0)},
        {"lora_down.weight": torch.tensor(1.0), "lora_up.weight": torch.tensor(1.0)},
        {"alpha": torch.ones(3)},
    ],
    ids=["wide", "rank", "empty", "scalars", "alphas"],
)
def test_a_lora_computes_nothing_larger_than_the_weight(change: dict[str, torch.Tensor], tmp_path: Path) -> None:
    key = "lora_unet_mid_block_attentions_0_to_q."
    path = tmp_path / "lora.safetensors"
    save_file(lora_state() | {key + name: value for name, value in change.items()}, path)
    with no_hang("lora"), pytest.raises(CheckpointError, match=r"lora\.safetensors"):
        merge_lora(small_unet(), read_lora(path))


def test_a_picture_of_ten_billion_pixels_is_refused(tmp_path: Path) -> None:
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    path = tmp_path / "huge.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))
    with pytest.raises(ImageError, match=r"huge\.png.*pixels"):
        load_image(path)
