"""The scale of an autoencoder's latents as diffusers' configurations say it, and the convolutions that newer ones leave out.

Stable Diffusion has one number, z = scale · latent; Stable Diffusion 3 and Flux take a shift off before, z = scale · (latent − shift);
others have a mean and a deviation for each channel, z = scale · (latent − mean) / std. The last is the general case, and
`Autoencoder(per_channel_scale=True)` is that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from core.checkpoints.model_io import build
from core.models.first_stage import FirstStage

State = dict[str, Tensor]
Stage = TypeVar("Stage", bound=FirstStage)


class Scale(NamedTuple):
    """The published scale of a model's latents, z = factor · (latent − shift), and how many channels they have."""

    channels: int
    factor: float
    shift: float = 0.0


PUBLISHED = {
    "Stable Diffusion 1 and 2": Scale(4, 0.18215),
    "Stable Diffusion XL": Scale(4, 0.13025),
    "Stable Diffusion 3": Scale(16, 1.5305, 0.0609),
    "Flux": Scale(16, 0.3611, 0.1159),
}
"""From the `config.json` of each model's autoencoder."""


def is_per_channel(theirs: Mapping[str, Any]) -> bool:
    """Whether one number is not enough: there is a shift, or a mean and a deviation for each channel."""
    channels = (theirs.get("latents_mean"), theirs.get("latents_std"))
    return bool(theirs.get("shift_factor")) or channels != (None, None)


def scale_buffers(theirs: Mapping[str, Any], channels: int, scale: float) -> State:
    """`scale_factor`, and `shift_factor` where there is one, as the buffers of an autoencoder. Raises ValueError for lists of
    another length than the latent has channels."""
    if not is_per_channel(theirs):
        return {"scale_factor": torch.tensor(scale)}
    if (theirs.get("latents_mean") is None) != (theirs.get("latents_std") is None):
        raise ValueError("there are latents_mean without latents_std, or the other way round")
    mean = torch.full((channels,), float(theirs.get("shift_factor") or 0.0))
    deviation = torch.ones(channels)
    if theirs.get("latents_mean") is not None:
        mean = torch.tensor(theirs["latents_mean"], dtype=torch.float32).flatten()
        deviation = torch.tensor(theirs["latents_std"], dtype=torch.float32).flatten()
    if len(mean) != channels or len(deviation) != channels:
        raise ValueError(f"latents_mean or latents_std are not of the {channels} channels of the latent")
    return {"scale_factor": (scale / deviation)[:, None, None], "shift_factor": mean[:, None, None]}


def one_scale(state: Mapping[str, Tensor]) -> tuple[float | None, float | None]:
    """The scale and the shift (None for none) of an autoencoder's buffers as numbers; (None, None) where channels differ."""
    shift = state.get("shift_factor")
    numbers = [each.flatten() for each in (state["scale_factor"], shift) if each is not None]
    if any(not torch.equal(each, each[:1].expand_as(each)) for each in numbers):
        return None, None
    factor, *rest = (float(f"{each[0].item():.7g}") for each in numbers)
    return factor, rest[0] if rest else None


def with_quant_convs(state: Mapping[str, Tensor], z_channels: int, moments: int = 2) -> State:
    """With `quant_conv` and `post_quant_conv` that change nothing, where an autoencoder was made without (`use_quant_conv`)."""
    like = next(iter(state.values()), torch.zeros(()))
    whole = dict(state)
    for name, channels in (("quant_conv", moments * z_channels), ("post_quant_conv", z_channels)):
        if f"{name}.weight" not in whole:
            whole[f"{name}.weight"] = torch.eye(channels, dtype=like.dtype)[..., None, None]
            whole[f"{name}.bias"] = torch.zeros(channels, dtype=like.dtype)
    return whole


def with_scale(model: Stage, factor: Tensor, shift: Tensor | None = None) -> Stage:
    """A copy of a first stage with another scale of its latents, and the same weights.

    factor: () or (c, 1, 1). shift: the same, or None for none. Raises ValueError where they have other channels than the latent.
    """
    several = shift is not None or factor.dim() > 0
    for each in (factor, shift):
        if each is not None and each.numel() not in (1, model.latent_channels):
            raise ValueError(f"a scale of {each.numel()} channels does not fit a latent of {model.latent_channels}")
    state = {key: value for key, value in model.state_dict().items() if key not in ("scale_factor", "shift_factor")}
    like = model.scale_factor
    if several:
        whole = torch.zeros(model.latent_channels, 1, 1, dtype=like.dtype, device=like.device)
        state |= {
            "scale_factor": whole + factor.to(like),
            "shift_factor": whole + (0 if shift is None else shift.to(like)),
        }
    else:
        state["scale_factor"] = factor.to(like).clone()
    config = model.config | {"per_channel_scale": several}
    return build(type(model), config, state, "the autoencoder", trusted=True).requires_grad_(False)
