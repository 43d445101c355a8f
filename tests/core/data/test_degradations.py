"""Low-resolution versions and inpainting masks: sizes, strengths, and that each image's is its own."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from core.data.degradations import Kind, _filter, _gaussian, degrade, jpeg
from core.data.keyed import KeyedRandom
from core.data.masks import random_masks
from core.images import from_pil

PHOTOS = torch.stack([from_pil(Image.fromarray(p[:256, :256])) for p in (data.astronaut(), data.chelsea())])


def test_bicubic_equals_pillow() -> None:
    ours = degrade(PHOTOS, 4, "bicubic", KeyedRandom(np.arange(2)))
    for image, small in zip(PHOTOS, ours, strict=True):
        picture = Image.fromarray(((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())
        theirs = from_pil(picture.resize((64, 64), Image.Resampling.BICUBIC))
        assert (small - theirs).abs().max() <= 2.5 / 127.5  # Pillow rounds after each of its two passes


@pytest.mark.parametrize("kind", ["light", "full"])
@pytest.mark.parametrize("factor", [2, 4])
def test_blind_degradations_are_per_image_and_stay_recognisable(kind: Kind, factor: int) -> None:
    both = degrade(PHOTOS, factor, kind, KeyedRandom("test", np.arange(2)))
    alone = degrade(PHOTOS[1:], factor, kind, KeyedRandom("test", 1))
    assert both.shape == (2, 3, 256 // factor, 256 // factor)
    assert both.abs().max() <= 1
    assert torch.equal(both[1:], alone)
    assert not torch.equal(both[:1], degrade(PHOTOS[:1], factor, kind, KeyedRandom("test", 5)))
    for image, small in zip(degrade(PHOTOS, factor, "bicubic", KeyedRandom(0, np.arange(2))), both, strict=True):
        correlation = np.corrcoef(image.flatten(), small.flatten())[0, 1]
        assert 0.7 < correlation < 0.9999


def test_full_degrades_more_than_light_and_small_images_work() -> None:
    crops = PHOTOS[:, :, 64:128, 64:128].repeat(12, 1, 1, 1)
    random = [KeyedRandom(np.arange(24)) for _ in range(3)]
    plain, light, full = (degrade(crops, 4, k, r) for k, r in zip(("bicubic", "light", "full"), random, strict=True))
    errors = [(other - plain).square().mean().sqrt() for other in (light, full)]
    assert 0.01 < errors[0] < errors[1] < 0.4


def test_the_shifted_kernel_reads_the_middle_of_the_pixels_it_stands_for() -> None:
    ramp = torch.linspace(0, 1, 32).expand(1, 3, 32, 32).contiguous()
    reduced = _filter(ramp, _gaussian(12, np.eye(2), shift=1.5))[:, :, ::4, ::4]
    assert (reduced - torch.nn.functional.avg_pool2d(ramp, 4))[..., 1:-1].abs().max() < 1e-4


def test_jpeg_loses_more_at_lower_quality() -> None:
    images = (PHOTOS + 1) / 2
    errors = [(jpeg(images, quality) - images).abs().mean() for quality in (95, 60, 20)]
    assert 0 < errors[0] < errors[1] < errors[2] < 0.1


def test_sizes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match=r"255 × 256 .* factor 4"):
        degrade(PHOTOS[:, :, :255], 4, "light", KeyedRandom(np.arange(2)))


def test_masks_cover_what_their_style_says_at_any_size() -> None:
    cores = {}
    for style in ("thin", "medium", "thick", "training"):
        coarse = random_masks(64, 64, KeyedRandom(style, np.arange(200)), style)
        fine = random_masks(256, 256, KeyedRandom(style, np.arange(200)), style)
        assert coarse.shape == (200, 1, 64, 64)
        assert set(coarse.unique().tolist()) == {0.0, 1.0}
        assert (coarse.sum((1, 2, 3)) > 0).all()
        assert (coarse.mean() - fine.mean()).abs() < 0.03
        assert 0.15 < fine.mean() < 0.45
        # The same masks, finer: all but the outlines agree, of which fifty thin strokes have many.
        assert (torch.nn.functional.avg_pool2d(fine, 4) - coarse).abs().mean() < 0.1
        core = -torch.nn.functional.max_pool2d(-coarse, 5, 1, 2)  # what is left two pixels inside the outline
        cores[style] = float(core.sum() / coarse.sum())
    assert cores["thin"] < 0.5 * cores["medium"] < 0.5 * cores["thick"]
    one = random_masks(64, 48, KeyedRandom("training", 7))
    assert torch.equal(one, random_masks(64, 48, KeyedRandom("training", np.arange(9)))[7:8])
