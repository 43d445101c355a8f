"""Latents too large for one pass: overlapping tiles, each weighted by the distance to its border, blended into one.

Convolutional sampling (Rombach et al. 2022, sections 4.3.2 and D.1) gives images larger than those trained on; where memory does not
hold them, or attention should not span more than it was trained to, latent-diffusion goes tile by tile
(ldm/models/diffusion/ddpm.py, `split_input_params`; scripts' notebook_helpers.py: tiles of 128 at a stride of 64).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import Place
from core.models.denoiser import denoise
from core.models.first_stage import FirstStage


def places(height: int, width: int, kernel: int, stride: int) -> Iterator[Place]:
    """Squares of `kernel` that cover height × width, row by row; the last of a row or column ends at the border.

    A side shorter than `kernel` is covered by one of its own length. Raises ValueError for a stride that leaves gaps.
    """
    if not 1 <= stride <= kernel:
        raise ValueError(f"tiles of {kernel} every {stride} leave gaps; give a stride from 1 to {kernel}")

    def along(side: int) -> list[slice]:
        last = max(side - kernel, 0)
        return [slice(start, start + min(kernel, side)) for start in [*range(0, last, stride), last]]

    return ((y, x) for y in along(height) for x in along(width))


def border_weights(
    height: int, width: int, low: float = 0.01, high: float = 0.5, device: torch.device | None = None
) -> Tensor:
    """(height, width): the distance to the nearest border, as a share of the side, clamped as in latent-diffusion."""
    y, x = (torch.linspace(0, 1, side, device=device) for side in (height, width))
    return torch.minimum(torch.minimum(y, 1 - y)[:, None], torch.minimum(x, 1 - x)).clamp(low, high)


def blend(compute: Callable[[Tensor, Place], Tensor], z: Tensor, kernel: int, stride: int, factor: int = 1) -> Tensor:
    """The weighted mean of what `compute` makes of each tile of z, (b, c, h, w) → (b, c', factor·h, factor·w).

    compute: (tile, its place) → (b, c', factor·h', factor·w').
    """
    total: Tensor | None = None
    share = z.new_zeros(factor * z.shape[2], factor * z.shape[3])
    for place in places(z.shape[2], z.shape[3], kernel, stride):
        made = compute(z[..., place[0], place[1]], place)
        if total is None:
            total = made.new_zeros(len(made), made.shape[1], *share.shape)
        weights = border_weights(made.shape[2], made.shape[3], device=share.device).to(share)
        y, x = (slice(factor * side.start, factor * side.stop) for side in place)
        total[..., y, x] += weights * made
        share[y, x] += weights
    assert total is not None  # there is always a tile
    return total / share


def denoise_tiles(
    model: nn.Module, z: Tensor, t: Tensor, condition: Conditioning | None, kernel: int = 128, stride: int = 64
) -> Tensor:
    """`denoise` tile by tile, z (b, c, h, w) → the prediction (b, c, h, w).

    Each part of the condition says what of it belongs to a tile: channels beside the latent are cut alike, tokens and classes
    serve every tile. Raises as `denoise`, and ValueError for a stride that leaves gaps or channels of another size.
    """
    told = condition or Conditioning()
    size = (z.shape[2], z.shape[3])
    return blend(lambda part, place: denoise(model, part, t, told.cut(place, size)), z, kernel, stride)


def decode_tiles(autoencoder: FirstStage, z: Tensor, kernel: int = 128, stride: int = 64) -> Tensor:
    """`autoencoder.decode` tile by tile. z: (b, c, h, w)."""
    return blend(lambda part, _: autoencoder.decode(part), z, kernel, stride, autoencoder.factor)
