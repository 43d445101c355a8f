"""The first stage's nodes, called as the functions that they are."""

from __future__ import annotations

import pytest
import torch

from core.data.shapes import Shapes
from core.models.autoencoder import KLAutoencoder
from core.models.discriminator import NLayerDiscriminator
from core.models.identity_autoencoder import IdentityAutoencoder
from graph_runner.context import Processes, Rng
from nodes import first_stage
from nodes.vq import vq_autoencoder, vq_reconstruct

SMALL = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 4}


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture
def kl() -> KLAutoencoder:
    torch.manual_seed(0)
    return KLAutoencoder(**SMALL).eval()  # type: ignore[arg-type]


@pytest.fixture
def images() -> torch.Tensor:
    return Shapes(resolution=16, size=6).get_batch(range(4))["images"]


def test_a_latent_is_the_posteriors_mode_and_scaled(kl: KLAutoencoder, images: torch.Tensor) -> None:
    kl.scale_factor.fill_(0.5)
    gaussian = first_stage.posterior(kl, images)
    torch.testing.assert_close(first_stage.encode(kl, images), 0.5 * gaussian.mean)


def test_a_posteriors_sample_is_alone_as_in_its_batch(kl: KLAutoencoder, images: torch.Tensor) -> None:
    whole = first_stage.sample_posterior(kl, first_stage.posterior(kl, images), Rng(3))
    alone = first_stage.sample_posterior(kl, first_stage.posterior(kl, images[2:3]), Rng(3), first_row=2)
    torch.testing.assert_close(alone, whole[2:3])
    assert not torch.equal(whole, first_stage.encode(kl, images))


def test_what_is_no_number_is_refused_before_and_after_decoding(kl: KLAutoencoder) -> None:
    z = randn(1, 4, 4, 4)
    with pytest.raises(FloatingPointError, match="the latents"):
        first_stage.decode(kl, z / 0)
    torch.nn.init.constant_(kl.last_layer, torch.inf)
    with torch.no_grad(), pytest.raises(FloatingPointError, match="the decoded images"):
        first_stage.decode(kl, z)


def test_one_tile_is_the_whole(kl: KLAutoencoder) -> None:
    z = randn(1, 4, 4, 4)
    torch.testing.assert_close(first_stage.decode_tiles(kl, z, kernel=8, stride=4), first_stage.decode(kl, z))


def test_rescaled_latents_have_unit_deviation(kl: KLAutoencoder) -> None:
    data = Shapes(resolution=16, size=64)
    first_stage.rescale_latents(kl, data, Rng(1), torch.device("cpu"), samples=64)
    z = first_stage.sample_posterior(kl, first_stage.posterior(kl, data.get_batch(range(64))["images"]), Rng(2))
    assert abs(float(z.detach().std()) - 1) < 0.1


def test_a_vq_autoencoder_has_no_posterior_and_another_no_codebook(kl: KLAutoencoder, images: torch.Tensor) -> None:
    torch.manual_seed(0)
    vq = vq_autoencoder(Rng(0), **SMALL, codes=16)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a VQAutoencoder has no posterior; wire a KL autoencoder"):
        first_stage.posterior(vq, images)
    with pytest.raises(ValueError, match="a KLAutoencoder has no codebook; wire a VQ autoencoder"):
        vq_reconstruct(kl, images, Processes())
    given = vq_reconstruct(vq, images, Processes())
    assert given.image.shape == images.shape
    assert 1 / 16 <= float(given.used) <= 1
    assert 1 <= float(given.perplexity.detach()) <= 16


def test_perfect_reconstructions_cost_nothing_and_all_parts_count(images: torch.Tensor) -> None:
    assert float(first_stage.reconstruction_loss(images, images)) == 0
    other = images.flip(0)
    pixels = first_stage.reconstruction_loss(other, images, perceptual_weight=0, reduction="mean")
    torch.testing.assert_close(pixels, (other - images).abs().mean())
    both = first_stage.reconstruction_loss(other, images, reduction="mean")
    edges = first_stage.reconstruction_loss(other, images, gradient_weight=1, reduction="mean")
    assert pixels < both < edges


def test_the_discriminators_game(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    critic = NLayerDiscriminator(base_channels=8, num_layers=1)
    real, fake = first_stage.discriminate(critic, images), first_stage.discriminate(critic, -images)
    torch.testing.assert_close(first_stage.generator_loss(fake), -fake.mean())
    for kind, at_rest in (("hinge", 1.0), ("vanilla", 2 * 0.6931 / 2)):
        undecided = torch.zeros(2, 1, 3, 3)
        loss = first_stage.discriminator_loss(undecided, undecided, kind)  # type: ignore[arg-type]
        assert float(loss) == pytest.approx(at_rest, abs=1e-3)
        better = first_stage.discriminator_loss(undecided + 1, undecided - 1, kind)  # type: ignore[arg-type]
        assert better < loss
    assert real.shape == fake.shape


def test_the_adaptive_weight_makes_both_gradients_equal(kl: KLAutoencoder, images: torch.Tensor) -> None:
    image = kl.decode(kl.encode(images))
    nll, generator = image.square().mean(), 3 * image.mean()
    weight = first_stage.adaptive_weight(nll, generator, kl, Processes())
    norms = [
        torch.autograd.grad(loss, kl.last_layer, retain_graph=True)[0].norm() for loss in (nll, weight * generator)
    ]
    torch.testing.assert_close(norms[0], norms[1], rtol=1e-2, atol=0)
    assert float(first_stage.adaptive_weight(nll, generator, kl, Processes(), step=1, start=2)) == 0


def test_where_nothing_trains_there_are_no_gradients_to_weigh() -> None:
    loss = torch.zeros((), requires_grad=True)
    for start in (0, 2):  # at once, not when the training comes to it
        with pytest.raises(ValueError, match=r"IdentityAutoencoder has no last layer .* leave adaptive_weight out"):
            first_stage.adaptive_weight(loss, loss, IdentityAutoencoder(), Processes(), step=1, start=start)


def test_sums_of_losses() -> None:
    two, three = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0)
    assert float(first_stage.add_losses([two, three]).detach()) == 5
    assert float(first_stage.add_losses([two, three], [1, 0.5]).detach()) == 3.5
    with pytest.raises(ValueError, match="1 weights for 2 losses"):
        first_stage.add_losses([two, three], [1])
    assert not first_stage.scale_loss(two, torch.tensor(0.0)).requires_grad
    assert not first_stage.delay_loss(two, step=1, start=2).requires_grad
    assert first_stage.delay_loss(two, step=2, start=2) is two
