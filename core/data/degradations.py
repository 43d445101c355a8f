"""How a sharp image becomes the low-resolution one that super-resolution starts from.

"bicubic" is the paper's (Rombach et al. 2022, sec. 4.4): antialiased bicubic reduction. "light" and "full" are the
blind degradations of BSRGAN (Zhang et al. 2021) as CompVis trained with them, ldm/modules/image_degradation/
bsrgan_light.py and bsrgan.py, `degradation_bsrgan_variant`: blurs, two reductions, noise and JPEG in random order, then
JPEG again.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from PIL import Image
from torch import Tensor

from core.data.keyed import KeyedRandom

Kind = Literal["bicubic", "light", "full"]
_Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Strength:
    blurs: int
    blur_scale: float  # of the widths that the factor calls for
    blur_radius: tuple[int, int]  # of the kernel, in pixels
    resize_share: float  # else a shifted Gaussian and every factor-th pixel
    noise: tuple[int, int]  # standard deviation, of 255
    quality: tuple[int, int]  # of JPEGs


_STRENGTHS = {
    "light": _Strength(1, 0.25, (2, 6), 0.8, (1, 2), (80, 95)),
    "full": _Strength(2, 1.0, (3, 12), 0.75, (2, 25), (30, 95)),
}


def degrade(images: Tensor, factor: int, kind: Kind, random: KeyedRandom) -> Tensor:
    """Low-resolution versions (b, 3, h / factor, w / factor) of images (b, 3, h, w), both in [-1, 1].

    random: one row an image; "bicubic" draws nothing. The work is done on the CPU; no gradient passes.

    Raises ValueError where the height or width is no multiple of the factor.
    """
    if factor < 1 or images.shape[2] % factor or images.shape[3] % factor:
        raise ValueError(f"degrade: {images.shape[2]} × {images.shape[3]} pixels are no multiple of factor {factor}.")
    with torch.no_grad():
        if kind == "bicubic":
            return _resize(images, images.shape[2] // factor, images.shape[3] // factor, "antialiased").clamp(-1, 1)
        strength = _STRENGTHS[kind]
        sharp = (images.float().cpu() + 1) / 2
        pairs = zip(sharp, random.generators(), strict=True)
        return (torch.cat([_degrade(x[None], factor, strength, rng) for x, rng in pairs]) * 2 - 1).to(images)


def _degrade(x: Tensor, factor: int, strength: _Strength, rng: np.random.Generator) -> Tensor:
    """One image (1, 3, h, w) in [0, 1]."""
    height, width = x.shape[2] // factor, x.shape[3] // factor
    if factor == 4 and rng.random() < 0.25:
        way = "antialiased" if rng.random() < 0.5 else _any_way(rng)
        x, factor = _resize(x, x.shape[2] // 2, x.shape[3] // 2, way), 2
    reductions: list[_Step] = [
        partial(_reduce, factor=factor, resize_share=strength.resize_share, rng=rng),
        lambda x: _resize(x, height, width, _any_way(rng)),
    ]
    others: list[_Step] = [partial(_blur, factor=factor, strength=strength, rng=rng) for _ in range(strength.blurs)]
    others.append(partial(_add_noise, strength=strength, rng=rng))
    others.append(lambda x: jpeg(x, _quality(strength, rng)) if rng.random() < 0.9 else x)
    # In any order, but that of the two reductions.
    places = set(rng.choice(len(others) + 2, 2, replace=False).tolist())
    rng.shuffle(others)
    for place in range(len(others) + len(places)):
        x = (reductions if place in places else others).pop(0)(x).clamp(0, 1)
    return jpeg(x, _quality(strength, rng))


def _any_way(rng: np.random.Generator) -> str:
    return str(rng.choice(["bilinear", "bicubic", "area"]))


def _quality(strength: _Strength, rng: np.random.Generator) -> int:
    return int(rng.integers(*strength.quality, endpoint=True))


def _resize(x: Tensor, height: int, width: int, way: str) -> Tensor:
    if way == "antialiased":
        return F.interpolate(x, (height, width), mode="bicubic", antialias=True)
    return F.interpolate(x, (height, width), mode=way, align_corners=None if way == "area" else False)


def _reduce(x: Tensor, factor: int, resize_share: float, rng: np.random.Generator) -> Tensor:
    """The first reduction: to any size between the whole and half of the wanted one, or exactly `factor` times."""
    if rng.random() < resize_share:
        ratio = rng.uniform(1, 2 * factor)
        return _resize(x, max(1, int(x.shape[2] / ratio)), max(1, int(x.shape[3] / ratio)), _any_way(rng))
    variance = rng.uniform(0.1, 0.6 * factor) ** 2
    kernel = _gaussian(12, np.eye(2) * variance, shift=(factor - 1) / 2)  # on the middle of the pixels it stands for
    return _filter(x, kernel)[:, :, ::factor, ::factor]


def _blur(x: Tensor, factor: int, strength: _Strength, rng: np.random.Generator) -> Tensor:
    """A Gaussian, round or, half of the time, elliptic."""
    radius = int(rng.integers(*strength.blur_radius, endpoint=True))
    if rng.random() < 0.5:
        variances = rng.uniform(0, strength.blur_scale * (4 + factor), size=2)
        angle = rng.uniform(0, np.pi)
        axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        covariance = axes @ np.diag(variances) @ axes.T
    else:
        covariance = np.eye(2) * rng.uniform(0, strength.blur_scale * (2 + 0.2 * factor)) ** 2
    return _filter(x, _gaussian(radius, covariance))


def _gaussian(radius: int, covariance: np.ndarray, shift: float = 0.0) -> np.ndarray:
    """Normalised kernel of 2 · radius + 1 pixels a side; `shift` moves its centre right and down."""
    steps = np.arange(-radius, radius + 1) - shift
    offsets = np.stack(np.meshgrid(steps, steps), axis=-1)
    inverse = np.linalg.inv(covariance + 1e-3 * np.eye(2))  # no width at all is a single pixel
    exponent = -0.5 * np.einsum("hwi,ij,hwj->hw", offsets, inverse, offsets)
    kernel: np.ndarray = np.exp(exponent - exponent.max())
    kernel /= kernel.sum()
    return kernel


def _filter(x: Tensor, kernel: np.ndarray) -> Tensor:
    """Correlate every channel with the kernel; the image goes on mirrored beyond its border."""
    radius = len(kernel) // 2
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (radius, radius), (radius, radius)), mode="reflect")
    weight = torch.from_numpy(kernel.astype(np.float32)).expand(3, 1, -1, -1)
    return F.conv2d(torch.from_numpy(padded), weight, groups=3)


def _add_noise(x: Tensor, strength: _Strength, rng: np.random.Generator) -> Tensor:
    """Gaussian noise: independent in each channel (.4), the same in all (.4), or correlated between them (.2)."""
    _, channels, height, width = x.shape
    least, most = strength.noise
    deviation, kind = rng.integers(least, most, endpoint=True) / 255, rng.random()
    noise: np.ndarray = rng.standard_normal((channels, height, width), dtype=np.float32)
    if kind < 0.4:
        noise = noise[:1] * deviation
    elif kind < 0.8:
        noise = noise * deviation
    else:
        basis, _ = np.linalg.qr(rng.random((channels, channels)))
        values, vectors = np.linalg.eigh(np.abs(basis.T @ np.diag(rng.random(channels)) @ basis))
        noise = np.einsum("ij,jhw->ihw", vectors * np.sqrt(values.clip(0)), noise) * (most / 255)
    return x + torch.from_numpy(noise.astype(np.float32))


def jpeg(x: Tensor, quality: int) -> Tensor:
    """Images (b, 3, h, w) in [0, 1] after JPEG compression of quality 1 to 95."""
    decoded = []
    for image in rearrange((x.clamp(0, 1) * 255).round().to(torch.uint8), "b c h w -> b h w c").numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, format="JPEG", quality=quality)
        decoded.append(np.asarray(Image.open(file), dtype=np.float32) / 255)
    return rearrange(torch.from_numpy(np.stack(decoded)), "b h w c -> b c h w")
