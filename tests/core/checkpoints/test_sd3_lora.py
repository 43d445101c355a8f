"""LoRA files of Stable Diffusion 3's transformer, in diffusers' and kohya's naming: read as the formula has it, saved and read again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_sd3 import CONTEXT, PROJECTIONS, transformer
from torch import Tensor

from core.checkpoints.diffusers_folder import load_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.lora import changes_nothing, merge_lora, read_lora
from core.checkpoints.lora_saving import Naming, difference, write_lora
from core.checkpoints.weights import read_weights, write_weights
from core.conditioning.conditioning import Conditioning
from core.models.denoiser import denoise
from core.models.mmdit import MMDiT

RANK, ALPHA, STRENGTH = 2, 4.0, 0.7
BLOCK = "transformer_blocks.0."
THEIRS = ("attn.to_q", "attn.to_out.0", "attn.add_q_proj", "attn.to_add_out", "ff.net.0.proj", "norm1.linear")
OURS = ("x_block.attn.qkv", "context_block.attn.qkv", "x_block.mlp.fc2")
"""Modules of a block in diffusers, and in Stability's files, whose queries, keys and values are one projection."""


def answer(model: MMDiT) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    z, told, vector = (torch.randn(2, *s, generator=generator) for s in ((16, 8, 8), (5, CONTEXT), (sum(PROJECTIONS),)))
    with torch.no_grad():
        return denoise(model, z, torch.tensor([10.0, 700.0]), Conditioning(context=told, y=vector))


def factors(out: int, into: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(RANK, into, generator=generator) / into**0.5, torch.randn(out, RANK, generator=generator)


@pytest.mark.parametrize("kind", ["3", "3.5"])
def test_diffusers_naming_changes_what_its_transformer_would_have_changed(kind: str, tmp_path: Path) -> None:
    theirs = transformer(kind)
    theirs.save_pretrained(tmp_path / "transformer")
    ours = load_diffusers(tmp_path / "transformer").unet
    assert isinstance(ours, MMDiT)
    before = answer(ours)
    state, whole = {}, theirs.state_dict()
    for seed, module in enumerate(
        [BLOCK + name for name in THEIRS] + ["transformer_blocks.1.norm1_context.linear", "proj_out"]
    ):
        down, up = factors(*whole[f"{module}.weight"].shape, seed)
        state |= {f"transformer.{module}.lora_A.weight": down, f"transformer.{module}.lora_B.weight": up}
        state[f"transformer.{module}.alpha"] = torch.tensor(ALPHA)
        whole[f"{module}.weight"] += STRENGTH * ALPHA / RANK * up @ down
    write_weights(state, tmp_path / "l.safetensors")
    lora = read_lora(tmp_path / "l.safetensors")
    assert lora.base == "Stable Diffusion 3"
    assert changes_nothing(lora, "denoiser") == ""
    theirs.load_state_dict(whole)
    theirs.save_pretrained(tmp_path / "changed")
    wanted = load_diffusers(tmp_path / "changed").unet
    found = answer(merge_lora(ours, lora, STRENGTH))
    torch.testing.assert_close(found, answer(wanted), rtol=0, atol=1e-5)
    assert (found - before).abs().max() > 0.01
    assert torch.equal(answer(ours), before), "the base model stays as it is"


def test_kohyas_naming_is_of_stabilitys_modules(tmp_path: Path) -> None:
    transformer().save_pretrained(tmp_path / "transformer")
    ours = load_diffusers(tmp_path / "transformer").unet
    assert isinstance(ours, MMDiT)
    state, whole = {}, ours.state_dict()
    wanted = {key: value.clone() for key, value in whole.items()}
    for seed, module in enumerate(f"joint_blocks.0.{name}" for name in OURS):
        down, up = factors(*whole[f"{module}.weight"].shape, seed)
        name = f"lora_unet_{module.replace('.', '_')}"
        state |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(ALPHA)}
        wanted[f"{module}.weight"] += ALPHA / RANK * up @ down
    write_weights(state, tmp_path / "l.safetensors")
    merged = merge_lora(ours, read_lora(tmp_path / "l.safetensors")).state_dict()
    assert merged.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(merged[key], value, rtol=0, atol=1e-6)
    write_weights({"lora_unet_joint_blocks_9_x_block_mlp_fc1.diff": torch.ones(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"changes 1 modules that this MMDiT does not have.*Stable Diffusion 3"):
        merge_lora(ours, read_lora(tmp_path / "other.safetensors"))


@pytest.mark.parametrize(
    ("naming", "name"),
    [
        ("kohya", "lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight"),
        ("diffusers", "transformer.transformer_blocks.0.attn.to_q.lora_A.weight"),
    ],
)
def test_what_was_saved_is_read_again(naming: Naming, name: str, tmp_path: Path) -> None:
    transformer().save_pretrained(tmp_path / "transformer")
    before, after = (load_diffusers(tmp_path / "transformer").unet for _ in range(2))
    assert isinstance(before, MMDiT)
    assert isinstance(after, MMDiT)
    weight = after.joint_blocks[0].x_block.attn.qkv.weight  # type: ignore[union-attr]
    with torch.no_grad():
        down, up = factors(*weight.shape, 1)  # type: ignore[misc]
        weight.add_(up @ down)  # type: ignore[operator]
    write_lora(tmp_path / "l.safetensors", difference(before, after, RANK, naming), naming=naming, dtype=torch.float32)
    assert name in read_weights(tmp_path / "l.safetensors")
    found = merge_lora(before, read_lora(tmp_path / "l.safetensors"))
    torch.testing.assert_close(answer(found), answer(after), rtol=0, atol=1e-5)
