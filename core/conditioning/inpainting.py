"""Inpainting: the image with a hole, encoded, and the hole's mask, as channels beside the latent.

Two conventions are in use. "ldm" is the paper's model (CompVis scripts/inpaint.py): the hole is -1 (black), the mask
is in {-1, 1} and follows the image's latent, which its first stage leaves unscaled. "sd" is Stable Diffusion's
inpainting models (diffusers `StableDiffusionInpaintPipeline`): the hole is 0 (grey), the mask is in {0, 1} and comes
first. In both, and everywhere here, a mask of 1 is the part to fill.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Convention = Literal["ldm", "sd"]


def masked_image(image: Tensor, mask: Tensor, convention: Convention = "ldm") -> Tensor:
    """The image with its hole blanked, to be encoded by the first stage.

    image: (b, c, h, w) in [-1, 1]; mask: (b, 1, h, w), at least .5 where the image is to be filled.
    """
    hole = -1.0 if convention == "ldm" else 0.0
    return torch.where(mask >= 0.5, torch.full_like(image, hole), image)


def inpainting_channels(masked_latent: Tensor, mask: Tensor, convention: Convention = "ldm") -> Tensor:
    """Channels to concatenate, (b, c+1, h, w), from the masked image's latent (b, c, h, w) and the mask.

    mask: (b, 1, f·h, f·w), of the image; it is brought to the latent's size by nearest neighbours.
    """
    filled = F.interpolate((mask >= 0.5).to(masked_latent.dtype), size=masked_latent.shape[2:], mode="nearest")
    if convention == "ldm":
        return torch.cat([masked_latent, filled * 2 - 1], dim=1)
    return torch.cat([filled, masked_latent], dim=1)


def composite(image: Tensor, filling: Tensor, mask: Tensor) -> Tensor:
    """The known pixels of `image` and, where the mask is 1, those of `filling`; a soft mask blends.

    image, filling: (b, c, h, w); mask: (b, 1, h, w).
    """
    return image + mask * (filling - image)
