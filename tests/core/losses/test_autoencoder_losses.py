"""The first stage's losses against numbers worked out by hand and against the reference's formulas."""

import math

import pytest
import torch
from torch import nn

from core.losses.autoencoder import (
    adaptive_weight,
    discriminator_gate,
    generator_loss,
    gradient_loss,
    hinge_loss,
    kl_loss,
    reconstruction_nll,
    vanilla_loss,
)
from core.models.autoencoder import DiagonalGaussian

IMAGES = torch.zeros(2, 3, 4, 4)
OFF = torch.stack([torch.full((3, 4, 4), 0.5), torch.full((3, 4, 4), -1.0)])  # errors .5 and 1 everywhere
PIXELS = 3 * 4 * 4


def test_sum_counts_every_pixel_of_an_image_and_mean_counts_one():
    assert reconstruction_nll(OFF, IMAGES).item() == pytest.approx(0.75 * PIXELS)
    assert reconstruction_nll(OFF, IMAGES, reduction="mean").item() == pytest.approx(0.75)
    assert reconstruction_nll(OFF, IMAGES, pixel="l2", reduction="mean").item() == pytest.approx(0.625)


def test_perceptual_distance_is_spread_over_the_pixels():
    distance = torch.tensor([0.2, 0.4])
    assert reconstruction_nll(OFF, IMAGES, distance, 2.0).item() == pytest.approx((0.75 + 2 * 0.3) * PIXELS)
    assert reconstruction_nll(OFF, IMAGES, distance, 2.0, reduction="mean").item() == pytest.approx(0.75 + 2 * 0.3)


def test_logvar_scales_the_error_and_is_paid_for():
    value = reconstruction_nll(OFF, IMAGES, reduction="mean", logvar=1.5)
    assert value.item() == pytest.approx(0.75 * math.exp(-1.5) + 1.5)


def test_gradient_loss_sees_edges_and_no_brightness():
    edge = torch.zeros(1, 1, 4, 4)
    edge[..., 2:] = 1.0
    assert gradient_loss(edge + 0.3, edge).item() == pytest.approx(0, abs=1e-6)
    assert gradient_loss(torch.zeros_like(edge), edge).item() == pytest.approx(1 / 3)
    assert gradient_loss(torch.zeros_like(edge), edge.mT).item() == pytest.approx(1 / 3)


def test_kl_is_summed_over_the_latent_and_averaged_over_the_batch():
    posterior = DiagonalGaussian(torch.ones(2, 4, 2, 2), torch.zeros(2, 4, 2, 2))
    assert kl_loss(posterior).item() == pytest.approx(0.5 * 16)


def test_gan_losses():
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-3.0, 1.0])
    assert generator_loss(fake).item() == pytest.approx(1.0)
    assert hinge_loss(real, fake).item() == pytest.approx(0.5 * (0.5 + 1.0))
    wanted = nn.functional.binary_cross_entropy_with_logits(real, torch.ones(2))
    wanted += nn.functional.binary_cross_entropy_with_logits(fake, torch.zeros(2))
    assert vanilla_loss(real, fake).item() == pytest.approx(0.5 * wanted.item())
    assert [discriminator_gate(step, 5) for step in (0, 4, 5, 6)] == [0, 0, 1, 1]


class TestAdaptiveWeight:
    def test_makes_the_adversarial_gradient_as_large_as_the_other(self):
        weight = torch.tensor([3.0, 4.0], requires_grad=True)
        nll, g_loss = 10 * (weight**2).sum() / 2, (weight * torch.tensor([0.0, 2.0])).sum()
        value = adaptive_weight(nll, g_loss, weight, disc_weight=0.5)
        assert value.item() == pytest.approx(0.5 * 50 / (2 + 1e-4))
        assert not value.requires_grad
        (nll + value * g_loss).backward()  # both graphs are still there
        assert weight.grad.tolist() == pytest.approx([30, 40 + 2 * value.item()])

    def test_is_clamped_before_it_is_weighted(self):
        weight = torch.ones(1, requires_grad=True)
        assert adaptive_weight(1e6 * weight.sum(), 0 * weight.sum(), weight, 0.5).item() == pytest.approx(0.5 * 1e4)

    def test_is_zero_without_gradients(self):
        weight = torch.ones(1, requires_grad=True)
        with torch.no_grad():
            assert adaptive_weight(weight.sum(), weight.sum(), weight).item() == 0
