"""Conditions on the image plane."""

from __future__ import annotations

import pytest
import torch

from core.conditioning.inpainting import composite, inpainting_channels, masked_image
from core.conditioning.spatial import SpatialRescaler, depth_channels, low_resolution_channels, one_hot_map


def test_rescaler_keeps_compvis_names_and_averages_by_halves() -> None:
    rescaler = SpatialRescaler(n_stages=2, in_channels=182, out_channels=3)
    assert {name: tuple(p.shape) for name, p in rescaler.named_parameters()} == {
        "channel_mapper.weight": (3, 182, 1, 1)
    }
    labels = torch.randint(182, (2, 16, 16), generator=torch.Generator().manual_seed(0))
    channels = rescaler(one_hot_map(labels, 182))
    assert channels.shape == (2, 3, 4, 4)
    # Bilinear halving is the mean of each 2 × 2 block, twice: the mean of each 4 × 4 block.
    block = one_hot_map(labels, 182)[0, :, :4, :4].mean((1, 2))
    wanted = rescaler.channel_mapper.weight[:, :, 0, 0] @ block
    assert torch.allclose(channels[0, :, 0, 0], wanted, atol=1e-6)


def test_rescaler_without_a_mapping_has_no_parameters() -> None:
    rescaler = SpatialRescaler(**SpatialRescaler(n_stages=1).config)
    assert not list(rescaler.parameters())
    assert rescaler(torch.ones(1, 3, 4, 4)).shape == (1, 3, 2, 2)


def test_one_hot_map_leaves_ignored_pixels_empty() -> None:
    encoded = one_hot_map(torch.tensor([[[0, 2], [1, 255]]]), 3)
    assert encoded.shape == (1, 3, 2, 2)
    assert encoded.argmax(1).tolist() == [[[0, 2], [1, 0]]]
    assert encoded.sum(1).tolist() == [[[1, 1], [1, 0]]]


def test_low_resolution_image_is_passed_raw_or_resized() -> None:
    image = torch.rand(1, 3, 8, 8) * 2 - 1
    assert low_resolution_channels(image, (8, 8)) is image
    resized = low_resolution_channels(image, (4, 6))
    assert resized.shape == (1, 3, 4, 6)
    assert resized.abs().max() <= 1


@pytest.mark.parametrize(
    ("convention", "hole", "order"), [("ldm", -1.0, ["latent", "mask"]), ("sd", 0.0, ["mask", "latent"])]
)
def test_inpainting_conventions(convention: str, hole: float, order: list[str]) -> None:
    image, mask = torch.full((1, 3, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)
    mask[..., :2, :] = 1
    blanked = masked_image(image, mask, convention)
    assert blanked[0, 0, :, 0].tolist() == [hole, hole, 0.5, 0.5]
    latent = torch.randn(1, 3, 2, 2)
    channels = inpainting_channels(latent, mask, convention)
    parts = dict(zip(order, channels.split([1, 3] if order[0] == "mask" else [3, 1], dim=1), strict=True))
    assert torch.equal(parts["latent"], latent)
    low = -1.0 if convention == "ldm" else 0.0
    assert parts["mask"][0, 0].tolist() == [[1, 1], [low, low]]


def test_composite_keeps_known_pixels_to_the_bit() -> None:
    image, filling, mask = torch.randn(1, 3, 2, 2), torch.randn(1, 3, 2, 2), torch.tensor([[[[1.0, 0.0], [0.0, 0.5]]]])
    result = composite(image, filling, mask)
    assert torch.equal(result[..., 0, 1], image[..., 0, 1])
    assert torch.allclose(result[..., 0, 0], filling[..., 0, 0], atol=1e-6)
    assert torch.allclose(result[..., 1, 1], (image + filling)[..., 1, 1] / 2, atol=1e-6)


def test_depth_is_between_its_nearest_and_its_farthest() -> None:
    depth = (
        torch.arange(64.0).reshape(1, 1, 8, 8).expand(2, 3, 8, 8) * torch.tensor([1.0, 7.0])[:, None, None, None] + 5
    )
    found = depth_channels(depth, (4, 4))
    assert found.shape == (2, 1, 4, 4)
    torch.testing.assert_close(found[0], found[1])  # whatever its range
    assert (found.amin().item(), found.amax().item()) == (-1, 1)
    assert (found.flatten(1).diff() > 0).all(), "nearer is larger"
    assert torch.equal(depth_channels(torch.ones(1, 3, 8, 8), (4, 4)), torch.zeros(1, 1, 4, 4))
