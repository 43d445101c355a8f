"""Reconstructions against their originals, image by image; values outside [-1, 1] are clipped first."""

from __future__ import annotations

from torch import Tensor

from core.numbers import finite
from core.precision import in_float32


def psnr(images: Tensor, originals: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, (b,); both (b, c, h, w) in [-1, 1]. Equal images give inf.

    A set's figure is the mean over its images, as in Rombach et al. 2022, table 8.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio  # a second to import

    _check(images, originals)
    ratio: Tensor = peak_signal_noise_ratio(
        images.float(), originals.float(), data_range=(-1.0, 1.0), reduction="none", dim=(1, 2, 3)
    )
    return ratio


@in_float32
def ssim(images: Tensor, originals: Tensor) -> Tensor:
    """Structural similarity of each image, (b,), at most 1; both (b, c, h, w) in [-1, 1], at least 11 pixels a side.

    With the Gaussian window of Wang et al. 2004 (standard deviation 1.5, 11 pixels), on values brought to [0, 1], where
    their luminance term is defined, and averaged over the whole image, borders mirrored.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    _check(images, originals)
    if min(images.shape[2:]) < 11:
        raise ValueError(f"ssim: images need at least 11 pixels a side, not {tuple(images.shape[2:])}.")
    similarity = structural_similarity_index_measure(
        (images.float() + 1) / 2, (originals.float() + 1) / 2, data_range=(0.0, 1.0), reduction="none"
    )
    assert isinstance(similarity, Tensor)  # it is a tuple only where the contrast or the map is asked for
    return similarity.reshape(len(images))


def _check(images: Tensor, originals: Tensor) -> None:
    if images.shape != originals.shape:
        raise ValueError(f"Images {tuple(images.shape)} and originals {tuple(originals.shape)} differ in shape.")
    finite(images, "the images")
    finite(originals, "the originals")
