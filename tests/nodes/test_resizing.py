"""Maps brought to each other's size."""

from __future__ import annotations

import pytest
import torch

from nodes.resizing import resize, resize_like


def test_a_mask_comes_to_the_size_of_a_latent() -> None:
    mask, latent = torch.zeros(2, 1, 8, 8), torch.zeros(1, 4, 2, 2)
    mask[0, 0, 0, 0] = 1
    share = resize_like(mask, latent, "area")
    assert share.shape == (2, 1, 2, 2)
    assert share[0, 0].tolist() == [[1 / 16, 0], [0, 0]]
    assert not resize_like(mask, latent, "nearest").any(), "the pixel in the middle of each square"


@pytest.mark.parametrize("kind", ["nearest", "bilinear", "bicubic", "area"])
def test_a_flat_map_stays_flat_and_gradients_flow(kind: str) -> None:
    for size in (3, 16):
        x = torch.full((1, 2, 6, 6), 0.5, requires_grad=True)
        larger = resize_like(x, torch.zeros(1, 4, size, size + 1), kind)  # type: ignore[arg-type]
        assert larger.shape == (1, 2, size, size + 1)
        assert torch.allclose(larger, torch.full_like(larger, 0.5), atol=1e-6)
        larger.sum().backward()
        assert x.grad is not None
        assert x.grad.sum().item() == pytest.approx(2 * size * (size + 1), rel=1e-5)


def test_what_has_no_height_is_told() -> None:
    with pytest.raises(ValueError, match="four axes, b c h w"):
        resize_like(torch.zeros(2, 3), torch.zeros(1, 4, 2, 2))


@pytest.mark.parametrize("kind", ["nearest", "bilinear", "bicubic", "area", "lanczos"])
@pytest.mark.parametrize("x", [torch.arange(3), torch.ones(2, 8, 8, dtype=torch.int64)], ids=["labels", "semantic map"])
def test_what_is_no_picture_is_told_whatever_the_kind(x: torch.Tensor, kind: str) -> None:
    with pytest.raises(ValueError, match="four axes, b c h w"):
        resize(x, 4, 4, kind=kind)  # type: ignore[arg-type]
