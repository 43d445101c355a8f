"""Trained adapters in the namings that other programs load: read by them and by us, they do what they did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_ldm import clip, text_unet, unconditional
from torch import Tensor

from core.checkpoints.adapter_saving import Naming, Trained, write_adapter
from core.checkpoints.diffusers_folder import save_diffusers
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.lora import merge_lora, read_lora
from core.checkpoints.weights import read_weights
from core.conditioning.conditioning import Conditioning
from core.models.adapter import Adapter, adapter_for, merged, with_adapter

PATTERNS = ["*attn*", "*proj_in", "input_blocks.0.0", "*ff.net.0.proj"]


def trained(adapter: Adapter) -> Adapter:
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return adapter.eval()


@pytest.mark.parametrize("naming", ["kohya", "diffusers", "peft"])
@pytest.mark.parametrize("options", [{"alpha": 5.0}, {"alpha": 2.0, "stabilised": True}, {"dora": True}])
@torch.no_grad()
def test_our_loader_gives_what_was_trained(naming: Naming, options: dict[str, float], tmp_path: Path) -> None:
    unet, text = text_unet(16), clip()
    halves = [
        Trained(unet, trained(adapter_for(unet, PATTERNS, rank=3, **options))),
        Trained(text, trained(adapter_for(text, ["*self_attn*", "*fc1"], rank=2, **options))),
    ]
    path = tmp_path / ("lora" if naming == "peft" else "lora.safetensors")
    write_adapter(path, halves, naming, torch.float32)
    lora = read_lora(path)
    for half in halves:
        found, wanted = merge_lora(half.model, lora).state_dict(), merged(half.model, half.adapter).state_dict()
        for key, value in wanted.items():
            torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_diffusers_unet_with_the_files_factors_is_ours_with_the_adapter(tmp_path: Path) -> None:
    """W + B A by the module paths in the file, as diffusers' loader puts layers there; scale and names are the file's own."""
    from diffusers import UNet2DConditionModel

    unet = text_unet(16)
    adapter = trained(adapter_for(unet, PATTERNS, rank=3, alpha=5.0))
    write_adapter(tmp_path / "l.safetensors", [Trained(unet, adapter)], "diffusers", torch.float32)
    save_diffusers(LatentDiffusion(unet), tmp_path / "f")
    theirs = UNet2DConditionModel.from_pretrained(tmp_path / "f/unet").eval()
    state = read_weights(tmp_path / "l.safetensors")
    for key, up in state.items():
        if key.endswith("lora_B.weight"):
            down = state[key.replace("lora_B", "lora_A")]
            weight = theirs.get_submodule(key.removeprefix("unet.").removesuffix(".lora_B.weight")).weight
            weight += (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
    z, t, context = torch.randn(2, 4, 8, 8), torch.tensor([5, 500]), torch.randn(2, 7, 16)
    wanted: Tensor = with_adapter(unet, adapter)(z, t, Conditioning(context))
    found = theirs(z, t, context).sample
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * max(1.0, float(wanted.abs().max())))


def test_diffusers_converter_reads_kohyas_naming(tmp_path: Path) -> None:
    from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_lora_to_diffusers

    unet, text = text_unet(16), clip()
    halves = [
        Trained(unet, trained(adapter_for(unet, ["*attn2*"], rank=2, alpha=4.0))),
        Trained(text, trained(adapter_for(text, ["*q_proj"], rank=2, alpha=4.0))),
    ]
    write_adapter(tmp_path / "k.safetensors", halves, "kohya", torch.float32)
    converted, alphas = _convert_non_diffusers_lora_to_diffusers(dict(read_weights(tmp_path / "k.safetensors")))
    ups = [value for key, value in converted.items() if key.endswith(("up.weight", "lora_B.weight"))]
    assert len(ups) == sum(len(half.adapter.layers) for half in halves)
    assert {float(alpha) for alpha in alphas.values()} == {4.0}
    mine = [factors.up for half in halves for _, factors in half.adapter.factors()]
    assert all(any(torch.equal(up, each) for each in mine) for up in ups)


@torch.no_grad()
def test_one_layer_of_ours_that_is_three_of_theirs(tmp_path: Path) -> None:
    """The fused query, key and value of attention without a context."""
    unet = unconditional().unet
    adapter = trained(adapter_for(unet, ["*qkv", "*proj_out"], rank=2))
    write_adapter(tmp_path / "l.safetensors", [Trained(unet, adapter)], "kohya", torch.float32)
    found = merge_lora(unet, read_lora(tmp_path / "l.safetensors")).state_dict()
    for key, value in merged(unet, adapter).state_dict().items():
        torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-6)


def test_pefts_settings_and_what_does_not_fit(tmp_path: Path) -> None:
    unet = text_unet(16)
    adapter = adapter_for(unet, ["*attn2.to_k"], rank=4, alpha=2.0, stabilised=True, dora=True)
    write_adapter(tmp_path / "p", [Trained(unet, adapter)], "peft")
    config = json.loads((tmp_path / "p/unet/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"], config["use_dora"]) == (4, 2.0, True, True)
    assert all(path.endswith("attn2.to_k") for path in config["target_modules"])
    with pytest.raises(ValueError, match="wire the model that it was trained for"):
        write_adapter(tmp_path / "x.safetensors", [Trained(text_unet(24), adapter)])
    assert not (tmp_path / "x.safetensors").exists()
