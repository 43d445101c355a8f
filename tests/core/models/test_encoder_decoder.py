"""The convolutional encoder and decoder: sizes, where attention is, what a position can see."""

from __future__ import annotations

import pytest
import torch

from core.models.encoder_decoder import AttnBlock, Decoder, Encoder, Level, PaddedDownsample, ResnetBlock

SMALL = {"model_channels": 8, "num_res_blocks": 1, "norm_groups": 4}


@pytest.mark.parametrize("channel_mult", [(1,), (1, 2), (1, 2, 2)])
def test_sizes_halve_at_each_level_but_the_last(channel_mult: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    f = 2 ** (len(channel_mult) - 1)
    encoder = Encoder(3, 6, channel_mult=channel_mult, **SMALL)  # type: ignore[arg-type]
    decoder = Decoder(6, 3, channel_mult=channel_mult, **SMALL)  # type: ignore[arg-type]
    features = encoder(torch.zeros(2, 3, 4 * f, 8 * f))
    assert features.shape == (2, 6, 4, 8)
    assert decoder(features).shape == (2, 3, 4 * f, 8 * f)


def test_attention_is_where_its_factor_says() -> None:
    encoder = Encoder(3, 6, channel_mult=(1, 2, 2), attention_factors=(2,), mid_attention=False, **SMALL)  # type: ignore[arg-type]
    levels = [level for level in encoder.down if isinstance(level, Level)]
    assert [len(level.attn) for level in levels] == [0, 1, 0]
    assert not any(isinstance(part, AttnBlock) for part in encoder.mid.modules())


def test_the_decoder_has_one_residual_block_more_a_level() -> None:
    decoder = Decoder(6, 3, channel_mult=(1, 2), **SMALL)  # type: ignore[arg-type]
    assert [len(level.block) for level in decoder.up if isinstance(level, Level)] == [2, 2]


def test_downsampling_is_padded_on_the_right_and_at_the_bottom() -> None:
    """A pixel at the left edge reaches no output before the first one; taps start at the even pixels."""
    down = PaddedDownsample(1)
    torch.nn.init.ones_(down.conv.weight)
    torch.nn.init.zeros_(down.conv.bias)
    x = torch.arange(16.0).view(1, 1, 4, 4)
    padded = torch.zeros(5, 5)
    padded[:4, :4] = x[0, 0]
    expected = torch.stack([torch.stack([padded[i : i + 3, j : j + 3].sum() for j in (0, 2)]) for i in (0, 2)])
    assert torch.equal(down(x)[0, 0], expected)


def test_a_shortcut_changes_the_width_only_where_it_must() -> None:
    assert isinstance(ResnetBlock(8, 8, 0.0, 4).nin_shortcut, torch.nn.Identity)
    assert ResnetBlock(8, 12, 0.0, 4)(torch.zeros(1, 8, 3, 3)).shape == (1, 12, 3, 3)


def test_attention_over_positions_keeps_them_apart() -> None:
    torch.manual_seed(0)
    block, x = AttnBlock(8, 4), torch.randn(1, 8, 3, 5)
    torch.testing.assert_close(block(x.flip(2)).flip(2), block(x))
    torch.testing.assert_close(block(x.transpose(2, 3)).transpose(2, 3), block(x))
