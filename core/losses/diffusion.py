"""The denoiser's training objective (Rombach et al. 2022, eq. 1 and 2) and its weightings."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from core.diffusion.process import Process
from core.diffusion.schedule import NoiseSchedule

Norm = Literal["l1", "l2"]
Weighting = Literal["none", "min_snr", "elbo"]


def diffusion_loss(
    prediction: Tensor,
    z0: Tensor,
    noise: Tensor,
    t: Tensor,
    process: Process,
    norm: Norm = "l2",
    weighting: Weighting = "none",
    gamma: float = 5.0,
) -> Tensor:
    """The mean distance of a prediction at z_t = process.add_noise(z0, noise, t) from process.target. A scalar.

    prediction, z0, noise: (b, …); t: (b,). norm: "l2" is Ho et al. 2020's simple loss; some published
    LDMs use "l1". weighting, gamma: see `weights`.
    """
    error = prediction - process.target(z0, noise, t)
    match norm:
        case "l2":
            distance = error.square()
        case "l1":
            distance = error.abs()
        case _:
            raise ValueError(f"norm must be 'l1' or 'l2', not {norm!r}")
    each = distance.flatten(1).mean(1)
    weight = process.weights(t) if weighting == "none" else weights(t, process, weighting, gamma)
    return each.mean() if weight is None else (weight * each).mean()


def weights(t: Tensor, process: Process, weighting: Weighting, gamma: float = 5.0) -> Tensor:
    """The weight of each sample's loss. t: (b,) timesteps; returns (b,) float32.

    "none": the process' own (1, the simple loss, with betas; and so for the F of EDM and the velocity of a flow). "min_snr":
    min(SNR, gamma) of the loss on z0 (Hang et al. 2023). "elbo": the variational bound's, ½(SNR(t−1) − SNR(t)) of the squared
    loss on z0 (Kingma et al. 2021; latent-diffusion's lvlb_weights), the first timestep taking the second's weight as there;
    ValueError where there are no whole timesteps. Both are converted to what the process' network predicts.
    """
    if weighting == "none":
        own = process.weights(t)
        return torch.ones(t.shape, device=t.device) if own is None else own
    match weighting:
        case "min_snr":
            on_z0 = torch.as_tensor(process.snr(t)).clamp(max=gamma)
        case "elbo":
            if not isinstance(process, NoiseSchedule):
                raise ValueError(
                    f"the weighting 'elbo' counts the timesteps of a schedule of betas, which {type(process).__name__} has not:"
                    " choose 'none' or 'min_snr'"
                )
            t = t.clamp(min=1)
            on_z0 = (torch.as_tensor(process.snr(t - 1)) - torch.as_tensor(process.snr(t))) / 2
        case _:
            raise ValueError(f"weighting must be 'none', 'min_snr' or 'elbo', not {weighting!r}")
    return on_z0 / torch.as_tensor(process.predicts.gain(*process.rates(t, like=t)))


def offset_noise(noise: Tensor, offset: Tensor, strength: float = 0.1) -> Tensor:
    """Noise with a shift of each channel's mean, so that training sees changes of overall brightness (Guttenberg 2023).

    noise: (b, c, h, w); offset: (b, c, 1, 1), both already drawn, standard normal.
    """
    return noise + strength * offset
