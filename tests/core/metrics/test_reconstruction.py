"""PSNR and SSIM, image by image."""

import math

import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import structural_similarity

from core.metrics.reconstruction import psnr, ssim

PHOTOS = (
    torch.from_numpy(np.stack([data.astronaut()[:96, :80], data.coffee()[:96, :80]])).permute(0, 3, 1, 2) / 127.5 - 1
)


def test_psnr_is_of_each_image_in_decibels() -> None:
    off = PHOTOS + torch.tensor([0.02, 0.2])[:, None, None, None]
    # The peak is 2: 20 · log10(2 / error).
    assert torch.allclose(psnr(off, PHOTOS), torch.tensor([40.0, 20.0]), atol=1e-3)
    assert psnr(PHOTOS, PHOTOS).tolist() == [math.inf, math.inf]


def test_ssim_equals_scikit_image() -> None:
    noise = torch.zeros_like(PHOTOS)
    noise[:, :, 15:-15, 15:-15] = 0.1 * torch.randn(2, 3, 66, 50, generator=torch.Generator().manual_seed(0))
    noisy = (PHOTOS + noise).clamp(-1, 1)
    for image, original, value in zip(noisy / 2 + 0.5, PHOTOS / 2 + 0.5, ssim(noisy, PHOTOS), strict=True):
        theirs = structural_similarity(
            image.numpy(), original.numpy(), channel_axis=0, data_range=1.0, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        )  # fmt: skip
        # scikit-image leaves out five pixels at each border, where there is no noise here and the similarity is 1.
        assert value == pytest.approx(1 - (1 - theirs) * (86 * 70) / (96 * 80), abs=1e-5)
    assert torch.allclose(ssim(PHOTOS, PHOTOS), torch.ones(2))
    assert ssim(PHOTOS[:1], PHOTOS[:1]).shape == (1,)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        psnr(PHOTOS, PHOTOS[:1])
    with pytest.raises(ValueError, match="11 pixels"):
        ssim(PHOTOS[..., :8], PHOTOS[..., :8])
