"""Low-rank adapters: the model itself at first, its own weights alone at the end, and the formulas of LoRA and DoRA in between."""

from __future__ import annotations

import copy
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.layerwise import narrowed
from core.models.adapter import Adapter, adapter_for, merged, with_adapter
from core.models.denoiser import denoise
from core.models.dit import DiT
from core.models.graft import is_grafted

sys.path.append(str(Path(__file__).parents[1] / "checkpoints"))
from tiny_ldm import clip, randomise, text_unet

PATTERNS = ["*attn*", "input_blocks.0.0", "*proj_in", "*skip_connection"]


def given() -> tuple[Tensor, Tensor, Conditioning]:
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(2, 4, 8, 8, generator=generator)
    return z, torch.tensor([10, 700]), Conditioning(context=torch.randn(2, 5, 16, generator=generator))


def trained(adapter: Adapter) -> Adapter:
    """With factors as a training might leave them."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return adapter


@pytest.mark.parametrize("options", [{}, {"alpha": 3.0, "stabilised": True}, {"dora": True}, {"dropout": 0.5}])
@torch.no_grad()
def test_it_is_the_model_at_first_and_the_merged_one_at_the_end(options: dict[str, Any]) -> None:
    unet = text_unet(16)
    before = copy.deepcopy(unet.state_dict())
    adapter = adapter_for(unet, PATTERNS, rank=3, **options).eval()
    adapted = with_adapter(unet, adapter)
    assert torch.equal(denoise(adapted, *given()), denoise(unet, *given()))
    assert torch.equal(denoise(merged(unet, adapter), *given()), denoise(unet, *given())) or options.get("dora")
    plain = denoise(unet, *given())
    trained(adapter)
    for strength in (1.0, -0.5):
        wanted = denoise(with_adapter(unet, adapter, strength), *given())
        assert (wanted - plain).abs().max() > 0.01
        torch.testing.assert_close(denoise(merged(unet, adapter, strength), *given()), wanted, rtol=1e-4, atol=1e-4)
    assert torch.equal(denoise(unet, *given()), plain), "who has the model without has it without"
    assert all(torch.equal(unet.state_dict()[key], value) for key, value in before.items())
    assert with_adapter(unet, adapter) is adapted, "made once"


def test_it_is_lora_and_dora_by_their_formulas() -> None:
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(6, 5), nn.Conv2d(4, 3, 3, padding=1, stride=2))
    x, image = torch.randn(7, 6), torch.randn(2, 4, 8, 8)
    for stabilised, dora in ((False, False), (True, False), (False, True)):
        adapter = trained(adapter_for(layer, ["*"], rank=2, alpha=6.0, stabilised=stabilised, dora=dora))
        scale = 6 / math.sqrt(2) if stabilised else 3.0
        adapted = with_adapter(layer, adapter)
        for path, into in (("0", x), ("1", image)):
            factors = adapter.get_submodule(path)
            weight = layer[int(path)].weight
            new = weight + scale * (factors.up @ factors.down.flatten(1)).reshape(weight.shape)
            if dora:
                new = new * (factors.lengths / new.flatten(1).norm(dim=1)).reshape(-1, *[1] * (weight.dim() - 1))
            bias = layer[int(path)].bias
            wanted = F.linear(into, new, bias) if path == "0" else F.conv2d(into, new, bias, stride=2, padding=1)
            torch.testing.assert_close(adapted[int(path)](into), wanted, rtol=1e-4, atol=1e-5)


def test_only_the_adapter_takes_gradients_and_its_mode_is_its_own() -> None:
    unet = text_unet(16).requires_grad_(False)
    adapter = adapter_for(unet, ["*attn2*"], rank=2, dropout=0.5).train()
    adapted = with_adapter(unet, adapter)
    adapted.eval().requires_grad_(False)  # as a graph has its models on wires
    denoise(adapted, *given()).square().mean().backward()
    assert all(parameter.grad is not None for name, parameter in adapter.named_parameters() if name.endswith("up"))
    assert all(parameter.grad is None for parameter in unet.parameters())
    assert adapter.training
    assert not unet.training
    torch.manual_seed(1)
    trained(adapter)
    assert not torch.equal(denoise(adapted, *given()), denoise(adapted, *given())), "what goes in is dropped at random"
    adapter.eval()
    assert torch.equal(denoise(adapted, *given()), denoise(adapted, *given()))


@torch.no_grad()
def test_several_add_up_and_each_can_be_left_out() -> None:
    unet = text_unet(16)
    one = trained(adapter_for(unet, ["*attn2*"], rank=2))
    two = trained(adapter_for(unet, ["*attn*"], rank=3, dora=True))
    both = with_adapter(with_adapter(unet, one, 0.5), two)
    wanted = denoise(merged(merged(unet, one, 0.5), two), *given())
    torch.testing.assert_close(denoise(both, *given()), wanted, rtol=1e-4, atol=1e-4)
    alone = denoise(with_adapter(unet, one, 0.5), *given())
    torch.testing.assert_close(denoise(merged(unet, one, 0.5), *given()), alone, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_any_model_and_any_precision_of_its_weights() -> None:
    text, tokens = clip(), torch.arange(10)[None]
    adapter = adapter_for(text, ["*self_attn*", "*fc1"], rank=2)
    assert torch.equal(with_adapter(text, adapter)(tokens), text(tokens))
    trained(adapter)
    torch.testing.assert_close(with_adapter(text, adapter)(tokens), merged(text, adapter)(tokens), rtol=1e-4, atol=1e-4)
    dit = randomise(DiT(4, hidden_size=32, depth=2, num_heads=2, patch_size=2, sample_size=8))
    assert with_adapter(dit, adapter_for(dit, ["*attn*"])).takes == dit.takes
    for dtype in (torch.bfloat16, torch.float8_e4m3fn):
        small = narrowed(text_unet(16), dtype)
        fresh = adapter_for(small, ["*attn*"], rank=2, dora=True)
        assert torch.equal(denoise(with_adapter(small, fresh), *given()), denoise(small, *given()))
        assert merged(small, fresh).input_blocks[0][0].weight.dtype == dtype
    with torch.autocast("cpu", torch.bfloat16):
        unet = text_unet(16)
        fresh = adapter_for(unet, PATTERNS, rank=2)
        assert torch.equal(denoise(with_adapter(unet, fresh), *given()), denoise(unet, *given()))


def test_a_copy_is_a_copy_and_rebuilds_from_its_configuration() -> None:
    unet = text_unet(16)
    adapter = trained(adapter_for(unet, ["*attn1*"], rank=2, dora=True))
    adapted = with_adapter(unet, adapter)
    assert is_grafted(adapted)
    other = copy.deepcopy(adapter)
    with torch.no_grad():
        next(other.parameters()).zero_()
    assert not torch.equal(next(adapter.parameters()), next(other.parameters()))
    assert with_adapter(unet, other) is not adapted
    again = Adapter(**adapter.config)
    again.load_state_dict(adapter.state_dict())
    frozen = copy.deepcopy(adapted)
    wanted = denoise(adapted, *given())
    with torch.no_grad():
        next(adapter.parameters()).zero_()
    assert torch.equal(denoise(frozen, *given()), wanted)
    assert torch.equal(denoise(with_adapter(unet, again), *given()), wanted)


def test_what_does_not_fit_is_named() -> None:
    unet = text_unet(16)
    with pytest.raises(ValueError, match=r"matches '\*attnn\*'; there are "):
        adapter_for(unet, ["*attnn*"])
    with pytest.raises(ValueError, match="no pattern"):
        adapter_for(unet, [])
    with pytest.raises(ValueError, match=r"attn2\.to_k is 32×16 there, and the UNet has 32×24"):
        with_adapter(text_unet(24), adapter_for(unet, ["*attn2*"]))
    with pytest.raises(ValueError, match="has no such layer"):
        merged(clip(), adapter_for(unet, ["*attn2*"]))
