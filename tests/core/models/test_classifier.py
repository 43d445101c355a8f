"""The classifier of noisy latents: guided-diffusion's half of a UNet, by names and by numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from core.checkpoints.model_io import load_model, save_model
from core.models.classifier import NoisyClassifier

SHAPE = {"in_channels": 3, "num_classes": 10, "model_channels": 32, "channel_mult": (1, 2), "num_res_blocks": 1}
SHAPE |= {"attention_factors": (2,), "num_head_channels": 16, "sample_size": 16}
LATENTS = torch.linspace(-2, 2, 2 * 3 * 16 * 16).sin().reshape(2, 3, 16, 16)
TIMES = torch.tensor([10, 700])


def numbers(model: nn.Module) -> None:
    """The same weights in every model of the same names and shapes."""
    for n, (_, value) in enumerate(sorted(model.state_dict().items())):
        wave = torch.arange(value.numel(), dtype=torch.float32).add(n).mul(1.7).sin()
        value.copy_(
            wave.reshape(value.shape) * 2 / max(value[0].numel(), 1) ** 0.5 if value.ndim > 1 else 0.5 + 0.3 * wave
        )


# Recorded from openai/guided-diffusion's EncoderUNetModel (pool "attention" and "adaptive") with these weights.
THEIRS = {
    "attention": [[1.9902583, 1.3659017, -1.8322822, 1.4539648], [2.1144659, 0.9841474, -1.6485987, 1.6876172]],
    "average": [[0.7119983, 1.8744071, -0.9641464, 0.2452541], [0.6850283, 1.9086370, -0.9647824, 0.2115373]],
}


@pytest.mark.parametrize("pool", THEIRS)
def test_it_computes_what_guided_diffusion_s_does(pool: str) -> None:
    model = NoisyClassifier(**SHAPE, pool=pool).eval()
    numbers(model)
    with torch.no_grad():
        found = model(LATENTS, TIMES)[:, :4]
    assert torch.allclose(found, torch.tensor(THEIRS[pool]), rtol=1e-4, atol=2e-5)


def test_its_names_are_guided_diffusion_s() -> None:
    names = list(NoisyClassifier(**SHAPE).state_dict())
    assert {"time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.1.qkv.weight"} <= set(names)
    assert [name for name in names if name.startswith("out.")] == [
        *("out.0.weight", "out.0.bias", "out.2.positional_embedding"),
        *("out.2.qkv_proj.weight", "out.2.qkv_proj.bias", "out.2.c_proj.weight", "out.2.c_proj.bias"),
    ]
    average = [name for name in NoisyClassifier(**SHAPE, pool="average").state_dict() if name.startswith("out.")]
    assert average == ["out.0.weight", "out.0.bias", "out.3.weight", "out.3.bias"]


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    model = NoisyClassifier(**SHAPE).eval()
    numbers(model)
    save_model(model, tmp_path / "classifier.safetensors")
    loaded = load_model(tmp_path / "classifier.safetensors").model
    assert isinstance(loaded, NoisyClassifier)
    with torch.no_grad():
        assert torch.equal(loaded(LATENTS, TIMES), model(LATENTS, TIMES))


def test_average_pooling_takes_any_size_and_attention_says_which() -> None:
    average = NoisyClassifier(**SHAPE, pool="average")
    assert average(torch.zeros(1, 3, 8, 24), torch.zeros(1)).shape == (1, 10)
    with pytest.raises(ValueError, match="places for 64 positions, not for 16"):
        NoisyClassifier(**SHAPE)(torch.zeros(1, 3, 8, 8), torch.zeros(1))
    with pytest.raises(ValueError, match="multiples of 2"):
        average(torch.zeros(1, 3, 7, 8), torch.zeros(1))
    with pytest.raises(ValueError, match=r"takes \(b, 3, h, w\)"):
        average(torch.zeros(1, 4, 8, 8), torch.zeros(1))
    with pytest.raises(ValueError, match="sample_size 15 must be a multiple of 2"):
        NoisyClassifier(**SHAPE | {"sample_size": 15})
