"""FreeU: a UNet's backbone features louder and its skip connections smoother, without training (Si et al. 2023, equations 4 to 8).

On the way up a UNet joins two things: what comes from below (the backbone), which denoises, and the skip connection, which brings
details back. A part of the first is scaled by b, the lowest frequencies of the second by s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.models.blocks import ResBlock
from core.models.graft import Views
from core.models.unet import UNet

Version = Literal["2", "1"]
Stages = Literal["by width", "by level"]

LOWEST = 1
"""How many frequencies on each side of the middle are scaled: the authors' threshold."""


class FreeU(nn.Module):
    """A denoiser that computes with a UNet's own weights, its features scaled where skip connections meet them.

    backbone, skip: b and s of the first and of the second stage. version: 2 scales by the features' own mean, so that b counts most
    where there is most; 1 by b everywhere. stages: "by width" takes the blocks where features are four and two times as wide as the
    first (the authors' code, ComfyUI), "by level" those of the two lowest levels (diffusers).

    Raises ValueError for a UNet that has no such blocks.
    """

    def __init__(
        self,
        unet: UNet,
        backbone: tuple[float, float],
        skip: tuple[float, float],
        version: Version = "2",
        stages: Stages = "by width",
    ) -> None:
        super().__init__()
        chosen = {i: (stage, width) for i, stage, width in _blocks(unet, stages)}
        if not chosen:
            raise ValueError(
                "no block of this UNet is four or two times as wide as its first on the way up; take the stages by level"
            )

        def graft(shell: UNet) -> None:
            for i, (stage, width) in chosen.items():
                change = partial(_joined, width=width, b=backbone[stage], s=skip[stage], version=version)
                shell.output_blocks[i].register_forward_pre_hook(change)

        self.takes = unet.takes
        self.unet = Views().once(unet, "freeu", graft)

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning | None = None) -> Tensor:
        """Predict as the UNet does, z (b, c, h, w) at timesteps t (b,) → z's shape."""
        return cast(Tensor, self.unet(z, t, condition))


def _blocks(unet: UNet, stages: Stages) -> Iterator[tuple[int, int, int]]:
    """The blocks on the way up that are changed: their number, their stage (0 or 1), and the channels that come from below."""
    from_below: list[int] = []
    for block in (unet.middle_block, *unet.output_blocks):
        residual = [layer for layer in cast("Iterable[nn.Module]", block) if isinstance(layer, ResBlock)][-1]
        from_below.append(cast(nn.Conv2d, residual.out_layers[-1]).out_channels)
    del from_below[-1]
    a_level = len(from_below) // len(unet.feature_blocks)
    for i, width in enumerate(from_below):
        if stages == "by level":
            stage = i // a_level
        else:
            stage = {4 * unet.model_channels: 0, 2 * unet.model_channels: 1}.get(width, 2)
        if stage < 2:
            yield i, stage, width


def _joined(
    block: nn.Module,  # noqa: ARG001 - as hooks are called
    given: tuple[Any, ...],
    width: int,
    b: float,
    s: float,
    version: Version,
) -> tuple[Any, ...]:
    """What a block on the way up is given: features from below (b, width, h, w) and behind them the skip connection's."""
    x, *others = given
    return torch.cat([louder(x[:, :width], b, version), smoother(x[:, width:], s)], dim=1), *others


def louder(h: Tensor, b: float, version: Version = "2") -> Tensor:
    """The first half of the channels of h (b, c, h, w), scaled by b; in version 2 by 1 + (b − 1) · the mean over channels, from 0 to 1."""
    half = h.shape[1] // 2
    if version == "1":
        return torch.cat([h[:, :half] * b, h[:, half:]], dim=1)
    mean = h.mean(1, keepdim=True)
    low, high = mean.amin((2, 3), keepdim=True), mean.amax((2, 3), keepdim=True)
    share = (mean - low) / (high - low).clamp_min(torch.finfo(mean.dtype).tiny)
    return torch.cat([h[:, :half] * ((b - 1) * share + 1), h[:, half:]], dim=1)


def smoother(skip: Tensor, s: float) -> Tensor:
    """A skip connection (b, c, h, w) whose lowest frequencies are scaled by s."""
    height, width = skip.shape[-2:]
    spectrum = torch.fft.fftshift(torch.fft.fft2(skip.float()), dim=(-2, -1))
    scale = torch.ones(height, width, device=skip.device)
    y, x = height // 2, width // 2
    scale[max(y - LOWEST, 0) : y + LOWEST, max(x - LOWEST, 0) : x + LOWEST] = s
    smooth: Tensor = torch.fft.ifft2(torch.fft.ifftshift(spectrum * scale, dim=(-2, -1))).real.to(skip.dtype)
    return smooth
