"""Regional prompts against ComfyUI's rules written out cell by cell."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.conditioning.conditioning import Conditioning
from core.diffusion.regions import area, denoise_area, joined
from core.models.denoiser import Takes


class Told(torch.nn.Module):
    """Adds what the condition says, and the number of cells that it sees."""

    takes = Takes(4, may=(type(Conditioning(torch.zeros(1, 1, 1)).parts["context"]),))

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        told = 0 if condition.context is None else condition.context.mean()
        return z * 2 + told + t.reshape(-1, 1, 1, 1) + z.shape[2] * z.shape[3]


def test_a_rectangle_is_a_latent_of_its_own() -> None:
    z, t = torch.randn(2, 4, 24, 40), torch.tensor([3.0, 5.0])
    told = Conditioning(torch.full((1, 2, 3), 7.0))
    place = area((24, 40), 8, 16, 16, 20, "cells")
    prediction, weight = denoise_area(Told(), z, t, told, place)
    inside = z[:, :, 8:24, 16:36]
    torch.testing.assert_close(prediction[:, :, 8:24, 16:36], inside * 2 + 7 + t.reshape(2, 1, 1, 1) + 16 * 20)
    assert prediction[:, :, :8].abs().sum() == prediction[..., :16].abs().sum() == prediction[..., 36:].abs().sum() == 0
    for y in range(24):
        for x in range(40):
            wanted = 0.0
            if y >= 8 and 16 <= x < 36:
                wanted = min((y - 8 + 1) / 4, 1) * min((x - 16 + 1) / 5, 1) * min((35 - x + 1) / 5, 1)
            assert weight[1, 0, y, x].item() == pytest.approx(wanted)


def test_shares_and_borders() -> None:
    assert area((64, 96), 0.5, 0.25, 0.5, 0.5) == (slice(32, 64), slice(24, 72))
    assert area((64, 96), 0, 0, 2, 0.001) == (slice(0, 64), slice(0, 1))
    assert area((64, 96), 60, 90, 64, 64, "cells") == (slice(60, 64), slice(90, 96))
    with pytest.raises(ValueError, match="an area of 8 cells from cell 64 on lies outside of a latent of 64"):
        area((64, 96), 64, 0, 8, 8, "cells")


def test_regions_are_joined_by_their_masks() -> None:
    a, b = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    half = torch.zeros(1, 1, 8, 8)
    half[..., :4] = 1
    everywhere = torch.ones(2, 1, 8, 8)
    made = joined([a, b], [half, everywhere], [3.0, 1.0])
    torch.testing.assert_close(made[..., :4], (3 * a + b)[..., :4] / 4)
    torch.testing.assert_close(made[..., 4:], b[..., 4:])
    assert joined([a], [half], [1.0])[..., 4:].abs().sum() == 0
    large = half.repeat_interleave(8, 2).repeat_interleave(8, 3)
    torch.testing.assert_close(joined([a, b], [large, everywhere], [3.0, 1.0]), made)
    with pytest.raises(ValueError, match="2 predictions, 1 masks and 2 strengths"):
        joined([a, b], [half], [1, 1])
    with pytest.raises(ValueError, match="wire predictions of one latent"):
        joined([a, b[:1]], [half, half], [1, 1])
