"""The first stage: images to latents and back, and the losses that train it (Rombach et al. 2022, appendix G)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field

from core.data.loader import Batches
from core.data.reconstructions import Reconstructions
from core.diffusion import tiles
from core.losses import autoencoder as losses
from core.models.autoencoder import KLAutoencoder
from core.models.perceptual import haar_distance
from core.numbers import finite
from graph_runner.context import Device, Processes, Rng
from graph_runner.contract import node
from nodes.diffusion import FirstRow
from nodes.wires import (
    Autoencoder,
    Dataset,
    Discriminator,
    Image,
    Latent,
    Logits,
    Loss,
    PerceptualNet,
    Posterior,
    Scalar,
)

StepNumber = Annotated[int, Field(ge=0)]


@node(category="first stage", words=("vae encode", "img2img"))
def encode(autoencoder: Autoencoder, images: Image) -> Latent:
    """Images to latents: the mode of the posterior, scaled for the diffusion model."""
    return autoencoder.encode(images)


@node(category="first stage", lighter="decode_tiles", words=("vae decode",))
def decode(autoencoder: Autoencoder, z: Latent) -> Image:
    """Latents to images. Latents or images that are no numbers are refused."""
    return finite(autoencoder.decode(finite(z, "the latents")), "the decoded images")


@node(category="first stage", words=("vae decode tiled",))
def decode_tiles(
    autoencoder: Autoencoder,
    z: Latent,
    kernel: Annotated[int, Field(ge=1, le=4096)] = 128,
    stride: Annotated[int, Field(ge=1, le=4096)] = 64,
) -> Image:
    """Latents to images, tile by tile: for those that are larger than memory.

    kernel: height and width of a tile of the latent.
    stride: from one tile to the next, at most the kernel.
    """
    return finite(tiles.decode_tiles(autoencoder, finite(z, "the latents"), kernel, stride), "the decoded images")


@node(category="first stage", words=("vae",))
def posterior(autoencoder: Autoencoder, images: Image) -> Posterior:
    """The Gaussian over latents that a KL autoencoder's encoder gives."""
    if not isinstance(autoencoder, KLAutoencoder):
        raise ValueError(f"a {type(autoencoder).__name__} has no posterior; wire a KL autoencoder, or use encode")
    return autoencoder.posterior(images)


@node(category="first stage", version=2, words=("vae encode",))
def sample_posterior(autoencoder: Autoencoder, posterior: Posterior, rng: Rng, first_row: FirstRow = 0) -> Latent:
    """A latent drawn from the posterior, scaled for the diffusion model.

    first_row: the sample of a larger batch that the posterior begins with, counted from 0.
    """
    return autoencoder.to_z(posterior.sample(rng.from_row(first_row).randn_like(posterior.mean)))


@node(category="first stage", mutates=("autoencoder",), version=2)
def rescale_latents(
    autoencoder: Autoencoder, data: Dataset, rng: Rng, device: Device, samples: Annotated[int, Field(ge=2)] = 512
) -> Autoencoder:
    """Measure the latents' deviation once and scale them to unit variance (Rombach et al. 2022, section 4.3.2, D.1).

    autoencoder: trained.
    data: the images that it was trained on.
    samples: how many images to measure on.
    """
    batch = Batches(data, min(samples, len(data)), rng.seed).batch(0)["images"].to(device)
    noise = None
    if isinstance(autoencoder, KLAutoencoder):
        noise = rng.randn(
            len(batch), autoencoder.latent_channels, *(side // autoencoder.factor for side in batch.shape[2:])
        )
    finite(autoencoder.measure_scale(batch, noise), "the latents' scale")
    return autoencoder


@node(category="first stage", formerly=("reconstructions",))
def reconstruct_dataset(autoencoder: Autoencoder, data: Dataset) -> Dataset:
    """A data set as the first stage gives it back, made when asked for: its features' distance to the data's is rFID.

    data: images.
    """
    return Reconstructions(autoencoder, data)


@node(category="first stage losses")
def reconstruction_loss(
    a: Image,
    b: Image,
    network: PerceptualNet | None = None,
    perceptual_weight: Annotated[float, Field(ge=0)] = 1.0,
    gradient_weight: Annotated[float, Field(ge=0)] = 0.0,
    pixel: Literal["l1", "l2"] = "l1",
    reduction: Literal["sum", "mean"] = "sum",
) -> Loss:
    """Pixel error and perceptual distance, as a negative log likelihood (CompVis' LPIPSWithDiscriminator).

    Without a network, the perceptual distance compares Haar wavelet details, and needs no downloaded weights.

    a: the reconstruction.
    b: the image.
    network: measures the perceptual distance, such as lpips_network.
    perceptual_weight: of the perceptual distance, which counts once for every pixel.
    gradient_weight: of the error between neighbouring pixels' differences, which sharpens edges cheaply.
    pixel: absolute or squared error.
    reduction: summed over each image (the KL autoencoder's convention, to which the KL weight 1e-6 belongs) or the mean.
    """
    measure = network or haar_distance(a.device)
    perceptual = measure(a, b) if perceptual_weight else None
    loss = losses.reconstruction_nll(a, b, perceptual, perceptual_weight, pixel, reduction)
    if gradient_weight:
        share = a[0].numel() if reduction == "sum" else 1
        loss = loss + gradient_weight * share * losses.gradient_loss(a, b)
    return loss


@node(category="first stage losses")
def kl_loss(posterior: Posterior) -> Loss:
    """The KL divergence of the posterior to a standard normal, summed over each latent, mean over the batch."""
    return losses.kl_loss(posterior)


@node(category="first stage losses")
def discriminate(discriminator: Discriminator, images: Image) -> Logits:
    """What the discriminator thinks of each patch."""
    return discriminator(images)


@node(category="first stage losses")
def generator_loss(fake: Logits) -> Loss:
    """What makes reconstructions look real: −mean of the discriminator's logits.

    fake: logits of reconstructions.
    """
    return losses.generator_loss(fake)


@node(category="first stage losses")
def discriminator_loss(real: Logits, fake: Logits, kind: Literal["hinge", "vanilla"] = "hinge") -> Loss:
    """What makes the discriminator tell images from reconstructions.

    real: logits of images.
    fake: logits of reconstructions.
    kind: hinge, or cross-entropy.
    """
    return losses.hinge_loss(real, fake) if kind == "hinge" else losses.vanilla_loss(real, fake)


@node(category="first stage losses")
def adaptive_weight(
    nll: Loss,
    generator: Loss,
    autoencoder: Autoencoder,
    processes: Processes,
    step: StepNumber = 0,
    start: StepNumber = 0,
) -> Scalar:
    """The factor that makes the adversarial gradient at the decoder's last layer as large as the reconstruction's.

    ‖∇nll‖ / (‖∇generator‖ + 1e-4), clamped to [0, 1e4] (Esser et al. 2021, eq. 7); 0 before `start`.

    nll: the reconstruction loss.
    generator: the generator loss.
    autoencoder: whose last layer is looked at.
    step: the training step.
    start: the step at which the adversarial loss begins.
    """
    last_layer = (
        autoencoder.last_layer
    )  # which some first stages lack: to be known before the training comes to `start`
    if step < start:
        return torch.zeros((), dtype=nll.dtype)  # not on nll's device, so that `scale_loss` may look at it
    return losses.adaptive_weight(nll, generator, last_layer, mean=processes.mean)


@node(category="losses")
def add_losses(losses: list[Loss], weights: list[float] = []) -> Loss:  # noqa: B006
    """The weighted sum of losses.

    losses: what to add.
    weights: a factor for each; none for all 1.
    """
    if weights and len(weights) != len(losses):
        raise ValueError(f"{len(weights)} weights for {len(losses)} losses; give one for each, or none")
    factors = weights or [1.0] * len(losses)
    return torch.stack([factor * loss for factor, loss in zip(factors, losses, strict=True)]).sum()


@node(category="losses")
def scale_loss(loss: Loss, weight: Scalar) -> Loss:
    """A loss times a number that is computed; a weight of 0 takes the loss out of the graph.

    loss: what to scale.
    weight: the factor.
    """
    if weight.device.type == "cpu" and not bool(weight):  # to look at one elsewhere would wait for it in each step
        return torch.zeros_like(loss)
    return loss * weight


@node(category="losses", formerly=("start_at",))
def delay_loss(loss: Loss, step: StepNumber, start: StepNumber = 0) -> Loss:
    """A loss that counts only from a step on; before, it carries no gradient, and its models stay as they are.

    loss: what to hold back.
    step: the training step.
    start: the first step at which it counts.
    """
    return loss if step >= start else torch.zeros_like(loss)
