"""Losses of the first stage (Rombach et al. 2022, appendix G), as in CompVis' LPIPSWithDiscriminator and its VQ twin.

Per step, with `d = adaptive_weight(nll, g, autoencoder.last_layer, disc_weight)`:

    KL:  reconstruction_nll(…, reduction="sum")  + kl_weight · kl_loss(posterior)      + d · gate · g
    VQ:  reconstruction_nll(…, reduction="mean") + codebook_weight · quantized.loss    + d · gate · g

where g = generator_loss(discriminator(reconstruction)), gate = discriminator_gate(step, disc_start), and the
discriminator minimises gate · hinge_loss(discriminator(images), discriminator(reconstruction.detach())). The published
weights are in core/models/presets.py; kl_weight 1e-6 and the adaptive weight belong to the sums of the one and the
means of the other.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from core.models.autoencoder import DiagonalGaussian
from core.precision import in_float32

LARGEST_SCALE = 2.0**16


def reconstruction_nll(
    reconstruction: Tensor,
    images: Tensor,
    perceptual: Tensor | None = None,
    perceptual_weight: float = 1.0,
    pixel: Literal["l1", "l2"] = "l1",
    reduction: Literal["sum", "mean"] = "sum",
    logvar: float = 0.0,
) -> Tensor:
    """Pixel and perceptual error as a negative log likelihood, a scalar.

    reconstruction, images: (b, c, h, w). perceptual: their perceptual distance (b,), which counts once for every
        component of an image.
    reduction: "sum" over each image, then mean over the batch (KL); or "mean" over everything (VQ).
    logvar: error · exp(−logvar) + logvar; the reference declares it trainable, and never trains it.
    """
    error = (reconstruction - images).abs() if pixel == "l1" else (reconstruction - images).square()
    if perceptual is not None:
        error = error + perceptual_weight * perceptual[:, None, None, None]
    if logvar:
        error = error * torch.tensor(-logvar).exp() + logvar
    return error.sum() / len(error) if reduction == "sum" else error.mean()


def gradient_loss(reconstruction: Tensor, images: Tensor) -> Tensor:
    """Mean absolute error of the differences between neighbouring pixels, down and across: a cheap loss for edges.

    reconstruction, images: (b, c, h, w). Gives a scalar.
    """
    error = reconstruction - images
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def kl_loss(posterior: DiagonalGaussian) -> Tensor:
    """KL divergence to the standard normal, summed over each latent, mean over the batch."""
    return posterior.kl().mean()


def generator_loss(fake: Tensor) -> Tensor:
    """−mean of the discriminator's logits (b, 1, h, w) for reconstructions, for hinge and vanilla discriminators alike."""
    return -fake.float().mean()


def hinge_loss(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's hinge loss on its logits (b, 1, h, w) for images and for (detached) reconstructions."""
    return 0.5 * (F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean())


def vanilla_loss(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's cross-entropy on its logits (b, 1, h, w) for images and for (detached) reconstructions."""
    return 0.5 * (F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean())


def discriminator_gate(step: int, start: int) -> float:
    """The reference's `disc_factor`: 0 before step `start`, then 1. It gates the losses, not the adaptive weight."""
    return float(step >= start)


def adaptive_weight(
    nll: Tensor,
    g_loss: Tensor,
    last_layer: Tensor,
    disc_weight: float = 1.0,
    mean: Callable[[list[Tensor]], list[Tensor]] = list,
) -> Tensor:
    """The factor that makes the adversarial gradient at the last layer as large as the reconstruction's, a scalar.

    disc_weight · clamp(‖∂nll/∂w‖ / (‖∂g_loss/∂w‖ + 1e-4), 0, 1e4), w = `last_layer`; perceptual and pixel error are
    both in `nll`. The graphs of both losses are kept for the backward pass. Without gradients (validation) it is 0. `mean` averages
    the gradients over several processes, so that all take one ratio (in the reference each takes its own). Both are taken
    outside of autocast, and scaled up where float16 carried them.
    """
    if not (nll.requires_grad and g_loss.requires_grad):
        return torch.zeros_like(nll)
    scale = LARGEST_SCALE if _carried_in_float16(last_layer) else 1.0
    nll_gradient, g_gradient = mean([_gradient(loss, last_layer, scale) for loss in (nll, g_loss)])
    ratio = nll_gradient.norm() / (g_gradient.norm() + 1e-4)
    weight: Tensor = disc_weight * ratio.clamp(0, 1e4).detach()
    return weight


def _carried_in_float16(weight: Tensor) -> bool:
    kind = weight.device.type
    autocast = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.float16
    return autocast or weight.dtype == torch.float16


@in_float32
def _gradient(loss: Tensor, weight: Tensor, scale: float) -> Tensor:
    """∂loss/∂weight in float32. float16 loses what is below 6e-8, so it is carried times `scale`, or less if that overflows."""
    while True:
        (gradient,) = torch.autograd.grad(loss, weight, torch.full_like(loss, scale), retain_graph=True)
        if scale == 1 or bool(gradient.isfinite().all()):
            return gradient.float() / scale
        scale /= 16
