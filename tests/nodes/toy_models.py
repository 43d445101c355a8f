"""Models as if trained: published ones begin as the identity, which would make a test of sampling blind."""

from __future__ import annotations

import torch

from graph_runner.context import Rng
from graph_runner.contract import node
from nodes.wires import Latent, Prediction, Schedule, Timestep, UNet


@node(category="toy", mutates=("model",))
def awakened_unet(model: UNet, rng: Rng) -> UNet:
    """A UNet whose zero-initialised layers are given random weights."""
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.copy_(0.02 * rng.randn(*parameter.shape))
    return model


@node(category="toy")
def gaussian_denoiser(z: Latent, t: Timestep, schedule: Schedule) -> Prediction:
    """The exact prediction where clean latents are normal with deviation ½."""
    signal, noise = schedule.rates(t, z)
    return schedule.from_z0(0.25 * signal * z / (0.25 * signal**2 + noise**2), z, t)


@node(category="toy")
def sample_half(z: Latent) -> Latent:
    """Latents of half the deviation."""
    return z / 2
