"""Values as pictures: images, masks and latents in colours.

Images and masks are drawn as they are. Latents have no colours; they are projected to red, green and blue by an affine
map, fitted by least squares to latents and images that nodes of this process' runs gave. Which belong together
needs no telling: such a map explains much of the right image and next to nothing of a wrong one. Until a pair was seen,
the first three principal components are the colours.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from graph_runner.contract import PortType

IMAGE, MASK, LATENT = "b 3 h w", "b 1 h w", "b c h w"
"""Symbolic shapes of wire types (`graph_runner.contract.Wire`)."""
SAMPLES, ELEMENTS = 16, 2**21
"""At most so many samples, and so many numbers, of a batch are drawn and fitted to."""
REMEMBERED = 6
EXPLAINS = 0.3
"""The least share of an image's variance that the projection of its own latent explains."""


class Projections:
    """Affine maps from latents to colours, one for each number of channels: that of the newest pair."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[int, Tensor]]] = {kind: deque(maxlen=REMEMBERED) for kind in (IMAGE, LATENT)}
        self._maps: dict[int, Tensor] = {}

    def see(self, kind: PortType, value: Any) -> None:
        """Take in a value; with an image or latent that was seen before it may make a pair."""
        shape = _shape(kind, value)
        if shape not in self._seen:
            return
        batch, mine = len(value), _some(value)
        best = EXPLAINS
        for size, other in self._seen[LATENT if shape == IMAGE else IMAGE]:
            z, image = (other, mine) if shape == IMAGE else (mine, other)
            (h, w), (height, width) = z.shape[2:], image.shape[2:]
            if batch != size or height % h or height * w != width * h:
                continue
            n = min(len(z), len(image))
            found, explained = _fit(z[:n], F.adaptive_avg_pool2d(image[:n], (h, w)))
            if explained > best:
                best, self._maps[z.shape[1]] = explained, found
        self._seen[shape].append((batch, mine))

    def colours(self, z: Tensor) -> Tensor:
        """Latents (b c h w) as colours (b 3 h w) in [-1, 1]."""
        known = self._maps.get(z.shape[1])
        rows = _rows(z)
        if known is not None:
            colours = rows @ known
        else:
            centred = rows[:, :-1] - rows[:, :-1].mean(0)
            axes = torch.linalg.svd(centred.T @ centred)[0][:, :3]
            colours = F.pad(centred @ axes, (0, 3 - axes.shape[1]))
            colours = colours / (2 * colours.std().clamp(min=1e-12))
        return colours.reshape(len(z), *z.shape[2:], 3).permute(0, 3, 1, 2).clamp(-1, 1)

    def picture(self, kind: PortType, value: Any) -> Image.Image | None:
        """A value as a picture, several samples as tiles; None where it is nothing to look at."""
        shape = _shape(kind, value)
        if not shape:
            return None
        x = _some(value)
        x = x if shape == IMAGE else 2 * x.expand(-1, 3, -1, -1) - 1 if shape == MASK else self.colours(x)
        columns = math.ceil(len(x) ** 0.5)
        x = F.pad(x, (0, 0, 0, 0, 0, 0, 0, -len(x) % columns), value=-1.0)
        b, _, h, w = x.shape
        tiled = x.reshape(b // columns, columns, 3, h, w).permute(0, 3, 1, 4, 2).reshape(-1, columns * w, 3)
        return Image.fromarray(((tiled.clamp(-1, 1) + 1) * 127.5).round().byte().numpy())


def _fit(z: Tensor, image: Tensor) -> tuple[Tensor, float]:
    """The affine map from latents to images of their size with the least squared error, and the share that it explains."""
    inputs, colours = _rows(z), _rows(image)[:, :-1]
    found = torch.linalg.lstsq(inputs, colours).solution
    rest, whole = (colours - inputs @ found).square().sum(), (colours - colours.mean(0)).square().sum()
    return found, 1 - float(rest / whole.clamp(min=1e-12))


def _shape(kind: PortType, value: Any) -> str:
    """The symbolic shape of a value that can be drawn, "" of others."""
    shape = kind.wire.shape if kind.wire is not None and not kind.many else ""
    fits = shape in (IMAGE, MASK, LATENT) and isinstance(value, Tensor) and value.ndim == 4 and value.numel() > 0
    return shape if fits and value.is_floating_point() else ""


def _some(value: Tensor) -> Tensor:
    """The first samples of a batch, on the host; what is not finite as zero."""
    n = max(1, min(SAMPLES, ELEMENTS // value[0].numel()))
    return value[:n].detach().float().cpu().nan_to_num(posinf=0, neginf=0)


def _rows(x: Tensor) -> Tensor:
    """Pixels (b c h w) as rows of channels, and a column of ones for the offset."""
    return F.pad(x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]), (0, 1), value=1.0)
