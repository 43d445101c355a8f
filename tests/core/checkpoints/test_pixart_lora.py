"""LoRA files of PixArt's transformer: read as the formula has it, saved in two namings and read again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_pixart import transformer

from core.checkpoints.diffusers_folder import load_diffusers
from core.checkpoints.lora import merge_lora, read_lora
from core.checkpoints.lora_saving import Naming, difference, write_lora
from core.checkpoints.weights import write_weights
from core.models.pixart import PixArt

RANK, ALPHA, STRENGTH = 2, 4.0, 0.7
TABLE = "scale_shift_table"
MODULES = (
    "transformer_blocks.0.attn1.to_q",
    "transformer_blocks.0.attn1.to_v",
    "transformer_blocks.0.attn2.to_k",
    "transformer_blocks.0.ff.net.0.proj",
    "proj_out",
)


def loaded(folder: Path) -> PixArt:
    model = load_diffusers(folder).unet
    assert isinstance(model, PixArt)
    return model


@pytest.mark.parametrize("prefix", ["transformer.", "base_model.model."])
def test_a_file_changes_what_diffusers_transformer_would_have_changed(prefix: str, tmp_path: Path) -> None:
    theirs = transformer()
    theirs.save_pretrained(tmp_path / "transformer")
    state, whole = {}, theirs.state_dict()
    for seed, module in enumerate(MODULES):
        generator = torch.Generator().manual_seed(seed)
        out, into = whole[f"{module}.weight"].shape
        down, up = torch.randn(RANK, into, generator=generator), torch.randn(out, RANK, generator=generator)
        state |= {f"{prefix}{module}.lora_A.weight": down, f"{prefix}{module}.lora_B.weight": up}
        state[f"{prefix}{module}.alpha"] = torch.tensor(ALPHA)
        whole[f"{module}.weight"] += STRENGTH * ALPHA / RANK * up @ down
    write_weights(state, tmp_path / "l.safetensors")
    theirs.load_state_dict(whole)
    theirs.save_pretrained(tmp_path / "changed")
    merged = merge_lora(loaded(tmp_path / "transformer"), read_lora(tmp_path / "l.safetensors"), STRENGTH)
    for key, value in loaded(tmp_path / "changed").state_dict().items():
        torch.testing.assert_close(merged.state_dict()[key], value, rtol=0, atol=1e-5)


@pytest.mark.parametrize("naming", ["kohya", "diffusers"])
def test_what_a_training_changed_is_read_as_it_was_saved(naming: Naming, tmp_path: Path) -> None:
    transformer().save_pretrained(tmp_path / "transformer")
    before, after = loaded(tmp_path / "transformer"), loaded(tmp_path / "transformer")
    with torch.no_grad():
        for name, weight in after.named_parameters():
            if name.endswith("qkv.weight"):
                weight += torch.outer(torch.linspace(-1, 1, len(weight)), torch.linspace(0, 1, weight[0].numel()))
            elif name.endswith(TABLE):
                weight += 1
    change = difference(before, after, 4, naming)
    tables = {name for name, _ in after.named_parameters() if name.endswith(TABLE)}
    assert len(change.unplaced) == len(tables) == 3
    assert write_lora(tmp_path / "l.safetensors", change, naming=naming, dtype=torch.float32) == 0
    merged = merge_lora(before, read_lora(tmp_path / "l.safetensors")).state_dict()
    for key, value in after.state_dict().items():
        if key in tables:
            assert torch.equal(merged[key], before.state_dict()[key])
        else:
            torch.testing.assert_close(merged[key], value, rtol=0, atol=1e-5)


def test_a_kind_of_ones_own_is_merged_into_as_what_it_is(tmp_path: Path) -> None:
    class Own(PixArt):
        """Another package's."""

    transformer().save_pretrained(tmp_path / "transformer")
    model = loaded(tmp_path / "transformer")
    own = Own(**model.config)
    write_weights(
        {"lora_unet_proj_out.diff": torch.ones(model.state_dict()["final_layer.linear.weight"].shape)},
        tmp_path / "l.safetensors",
    )
    merged = merge_lora(own, read_lora(tmp_path / "l.safetensors"))
    torch.testing.assert_close(merged.final_layer.linear.weight, own.final_layer.linear.weight + 1)
