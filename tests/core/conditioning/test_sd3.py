"""Stable Diffusion 3's text encoders, and T5: their widths, what is emphasised, and what a file's weights tell of them."""

from __future__ import annotations

import pytest
import torch

from core.checkpoints.sd3_file import detect_mmdit, detect_t5
from core.conditioning.parts import Context, Vector
from core.conditioning.published import SD3_TOKENS, random_condition
from core.conditioning.sd3 import SD3TextEmbedder
from core.conditioning.t5 import T5TextEmbedder
from core.conditioning.text_condition import emphasised, text_condition
from core.models.mmdit import MMDIT, MMDiT

CLIP = {"vocab_size": 50, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
T5 = {"vocab_size": 20, "d_model": 24, "d_kv": 4, "d_ff": 12, "num_layers": 2, "num_heads": 3}


def encoder(t5: bool = True) -> SD3TextEmbedder:
    torch.manual_seed(0)
    shape = {"projection_dims": (5, 6), "context_dim": 24, "t5_length": 9, "end": 49, "pads": (49, 0)}
    return SD3TextEmbedder(CLIP, CLIP, T5 if t5 else None, **shape).eval()


def tokens(more: int = 4) -> torch.Tensor:
    clip = torch.full((2, 77), 49)
    clip[:, 0], clip[0, 1:3] = 48, torch.tensor([7, 8])
    return torch.cat([clip, torch.randint(0, 20, (2, more), generator=torch.Generator().manual_seed(1))], dim=1)


@torch.no_grad()
def test_the_context_is_clips_beside_each_other_and_then_t5s() -> None:
    model = encoder()
    context, vector = model(tokens(), pooled=True)
    assert context.shape == (2, 77 + 4, 24)
    assert vector.shape == (2, 11)
    assert not context[:, :77, 16:].any()
    assert model.t5 is not None
    assert torch.equal(context[:, 77:], model.t5(tokens()[:, 77:]))
    assert torch.equal(model(tokens()), context)
    without = encoder(t5=False)
    assert without(tokens(0)).shape == (2, 77 + 9, 24)
    assert without(tokens()).shape == (2, 77 + 4, 24)
    assert not without(tokens())[:, 77:].any()


@torch.no_grad()
def test_a_weight_emphasises_the_tokens_of_both() -> None:
    model = encoder()
    told, null = text_condition(model, tokens()), text_condition(model, tokens().flip(0))
    weights = torch.ones(2, 77 + 4)
    weights[:, 1], weights[:, 78] = 0.0, 2.0
    found = emphasised(told, null, weights)[Context].tokens
    a, b = told[Context].tokens, null[Context].tokens
    torch.testing.assert_close(found[:, 1], b[:, 1])
    torch.testing.assert_close(found[:, 78], 2 * a[:, 78] - b[:, 78])
    torch.testing.assert_close(found[:, 2:78], a[:, 2:78])
    fewer = emphasised(told, null, weights[:, :77])[Context].tokens
    torch.testing.assert_close(fewer[:, 77:], a[:, 77:])
    torch.testing.assert_close(fewer[:, :77], found[:, :77])


def test_weights_tell_how_they_are_built() -> None:
    with torch.device("meta"):
        published = T5TextEmbedder()
        transformers = {name: MMDiT(**MMDIT[name]) for name in MMDIT}
    assert sum(parameter.numel() for parameter in published.parameters()) == 4_762_310_656
    state = {key.removeprefix("transformer."): value for key, value in published.state_dict().items()}
    assert published.config | detect_t5(state) == published.config
    for name, each in transformers.items():
        found = detect_mmdit(each.state_dict())
        dual = MMDIT[name].get("dual_layers", 0)
        assert each.config | found == each.config | {"dual_layers": list(range(dual))}, name


class Numbers:
    randn = staticmethod(torch.randn)

    @staticmethod
    def randint(high: int, *shape: int) -> torch.Tensor:
        return torch.randint(high, shape)


@pytest.mark.parametrize("name", MMDIT)
def test_a_preset_is_told_what_it_takes(name: str) -> None:
    told = random_condition(name, 1, 8, Numbers())
    assert told[Context].tokens.shape == (1, SD3_TOKENS, 4096)
    assert told[Vector].values.shape == (1, 2048)
