"""A transformer without some blocks computes with the same weights, and blocks that it lacks are refused."""

from __future__ import annotations

import pytest
import torch

from core.conditioning.conditioning import Conditioning
from core.models.denoiser import denoise
from core.models.mmdit import MMDiT
from core.models.skipped_layers import SkippedLayers


def test_it_is_the_transformer_without_those_blocks() -> None:
    torch.manual_seed(0)
    model = MMDiT(4, 16, 3, 2, 8, 6, max_positions=8).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    skipped = SkippedLayers(model, [1])
    shorter = MMDiT(4, 16, 2, 2, 8, 6, max_positions=8).eval()
    kept = {
        key.replace("joint_blocks.2.", "joint_blocks.1."): value
        for key, value in model.state_dict().items()
        if "joint_blocks.1." not in key
    }
    shorter.load_state_dict(kept)
    z, t = torch.randn(2, 4, 8, 8), torch.tensor([1.0, 900.0])
    condition = Conditioning(context=torch.randn(2, 3, 8), y=torch.randn(2, 6))
    with torch.no_grad():
        assert torch.equal(denoise(skipped, z, t, condition), denoise(shorter, z, t, condition))
        assert not torch.allclose(denoise(model, z, t, condition), denoise(shorter, z, t, condition))
    assert {p.data_ptr() for p in skipped.parameters()} < {p.data_ptr() for p in model.parameters()}
    with pytest.raises(ValueError, match="there is no layer 3: this transformer has 3"):
        SkippedLayers(model, [0, 3])
