"""What a training changed, saved as a LoRA and merged again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_ldm import clip, text_unet

from core.checkpoints.lora import merge_lora, read_lora
from core.checkpoints.lora_saving import Naming, difference, write_lora
from core.checkpoints.weights import read_weights

TO_Q = "input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
CONV = "input_blocks.0.0.weight"
TEXT = "transformer.encoder.layers.0.mlp.fc1.weight"


def trained(model: Any, keys: tuple[str, ...], rank: int = 2) -> Any:
    """The model with changes of a rank in these weights, and in a bias."""
    generator = torch.Generator().manual_seed(1)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    for key in keys:
        out, inputs = len(state[key]), state[key][0].numel()
        update = torch.randn(out, rank, generator=generator) @ torch.randn(rank, inputs, generator=generator)
        state[key] += 0.1 * update.reshape(state[key].shape)
    state[keys[0].replace("weight", "bias") if keys[0].replace("weight", "bias") in state else "time_embed.0.bias"] += (
        0.5
    )
    other = type(model)(**model.config).eval()
    other.load_state_dict(state)
    return other


@pytest.mark.parametrize("naming", ["kohya", "diffusers"])
def test_what_is_merged_again_is_what_was_trained(naming: Naming, tmp_path: Path) -> None:
    unet, text = text_unet(16), clip()
    after, text_after = trained(unet, (TO_Q, CONV)), trained(text, (TEXT,))
    changes = difference(unet, after, 2), difference(text, text_after, 2)
    assert max(change.lost for change in changes) < 1e-3
    homeless = write_lora(tmp_path / "l.safetensors", *changes, naming, torch.float32)
    assert homeless == (2 if naming == "diffusers" else 0)
    lora = read_lora(tmp_path / "l.safetensors")
    merged, text_merged = merge_lora(unet, lora), merge_lora(text, lora)
    for found, wanted in ((merged, after), (text_merged, text_after)):
        for key, value in wanted.state_dict().items():
            if naming == "kohya" or not key.endswith("bias"):
                torch.testing.assert_close(found.state_dict()[key], value, rtol=1e-4, atol=1e-4)


def test_diffusers_reads_the_names(tmp_path: Path) -> None:
    """Its converter turns kohya's names into those that we write for it."""
    from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_lora_to_diffusers

    unet, text = text_unet(16), clip()
    changes = difference(unet, trained(unet, (TO_Q,)), 2), difference(text, trained(text, (TEXT,)), 2)
    for naming in ("kohya", "diffusers"):
        write_lora(tmp_path / f"{naming}.safetensors", *changes, naming, torch.float32)
    kohya = {key: value for key, value in read_weights(tmp_path / "kohya.safetensors").items() if ".diff" not in key}
    converted, _ = _convert_non_diffusers_lora_to_diffusers(kohya)
    own = read_weights(tmp_path / "diffusers.safetensors")
    modern = {
        re.sub(r"(?:\.processor(\.to_\w)_lora|\.lora(?:_linear_layer)?)\.(down|up)\.",
               lambda match: f"{match[1] or ''}.lora_{'A' if match[2] == 'down' else 'B'}.", key): value
        for key, value in converted.items()
    }  # fmt: skip
    assert modern.keys() == own.keys()
    assert all(torch.equal(modern[key], own[key]) for key in own)


def test_a_small_rank_says_what_it_leaves_out(tmp_path: Path) -> None:
    unet = text_unet(16)
    change = difference(unet, trained(unet, (TO_Q,), rank=8), 1)
    assert 0.1 < change.lost < 1
    with pytest.raises(ValueError, match="nothing that this file could hold differs"):
        write_lora(tmp_path / "l.safetensors", difference(unet, unet, 4))
    with pytest.raises(ValueError, match="not of the same build"):
        difference(unet, text_unet(32), 4)
