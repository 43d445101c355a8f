"""The denoiser's training objective (Rombach et al. 2022, eq. 1 and 2) and its weightings."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from core.diffusion.schedule import NoiseSchedule

Norm = Literal["l1", "l2"]
Weighting = Literal["none", "min_snr", "elbo"]


def diffusion_loss(
    prediction: Tensor,
    z0: Tensor,
    noise: Tensor,
    t: Tensor,
    schedule: NoiseSchedule,
    norm: Norm = "l2",
    weighting: Weighting = "none",
    gamma: float = 5.0,
) -> Tensor:
    """The mean distance of a prediction at z_t = schedule.add_noise(z0, noise, t) from schedule.target. A scalar.

    prediction, z0, noise: (b, …); t: (b,) whole timesteps. norm: "l2" is Ho et al. 2020's simple loss; some published
    LDMs use "l1". weighting, gamma: see `weights`.
    """
    error = prediction - schedule.target(z0, noise, t)
    match norm:
        case "l2":
            distance = error.square()
        case "l1":
            distance = error.abs()
        case _:
            raise ValueError(f"norm must be 'l1' or 'l2', not {norm!r}")
    each = distance.flatten(1).mean(1)
    return each.mean() if weighting == "none" else (weights(t, schedule, weighting, gamma) * each).mean()


def weights(t: Tensor, schedule: NoiseSchedule, weighting: Weighting, gamma: float = 5.0) -> Tensor:
    """The weight of each sample's loss. t: (b,) whole timesteps; returns (b,) float32.

    "none": 1, the simple loss. "min_snr": min(SNR, gamma) of the loss on z0 (Hang et al. 2023). "elbo": the variational
    bound's, ½(SNR(t−1) − SNR(t)) of the squared loss on z0 (Kingma et al. 2021; latent-diffusion's lvlb_weights), the
    first timestep taking the second's weight as there. Both are converted to what the schedule's network predicts.
    """
    if weighting == "none":
        return torch.ones(t.shape, device=t.device)
    snr = torch.as_tensor(schedule.snr(t))
    match weighting:
        case "min_snr":
            on_z0 = snr.clamp(max=gamma)
        case "elbo":
            later = t.clamp(min=1)
            before, snr = torch.as_tensor(schedule.snr(later - 1)), torch.as_tensor(schedule.snr(later))
            on_z0 = (before - snr) / 2
        case _:
            raise ValueError(f"weighting must be 'none', 'min_snr' or 'elbo', not {weighting!r}")
    # The same error measured on z0 is 1/SNR times that on eps, and 1/(SNR + 1) times that on v.
    match schedule.parametrisation:
        case "eps":
            return on_z0 / snr
        case "v":
            return on_z0 / (snr + 1)
        case "x0":
            return on_z0


def uniform_timesteps(uniform: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Whole timesteps, each as likely as any other, from numbers already drawn uniformly from [0, 1). (b,) int64."""
    total = schedule.num_timesteps
    return (uniform * total).long().clamp(max=total - 1)


def offset_noise(noise: Tensor, offset: Tensor, strength: float = 0.1) -> Tensor:
    """Noise with a shift of each channel's mean, so that training sees changes of overall brightness (Guttenberg 2023).

    noise: (b, c, h, w); offset: (b, c, 1, 1), both already drawn, standard normal.
    """
    return noise + strength * offset
