"""What holds for the autoencoders and their codebook, whatever the weights."""

import math

import pytest
import torch
from parity_weights import randomise

from core.models.autoencoder import DiagonalGaussian, KLAutoencoder, VQAutoencoder
from core.models.quantizer import VectorQuantizer, codebook_usage

TINY = {"model_channels": 8, "num_res_blocks": 1, "norm_groups": 4}


def tiny(cls=KLAutoencoder, levels=3, **options):
    extra = {"codes": 16} if cls is VQAutoencoder else {}
    return randomise(cls(**TINY | extra | {"channel_mult": (1,) * levels, "z_channels": 4} | options))


@pytest.fixture
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def noise():
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("levels", [1, 2, 4, 6])
@pytest.mark.parametrize("cls", [KLAutoencoder, VQAutoencoder])
@torch.no_grad()
def test_f_is_a_power_of_two(cls, levels, images):
    model = tiny(cls, levels)
    z = model.encode(images)
    assert model.factor == 2 ** (levels - 1)
    assert z.shape == (2, model.latent_channels, 32 // model.factor, 32 // model.factor)
    assert model.decode(z).shape == images.shape


@pytest.mark.parametrize("cls", [KLAutoencoder, VQAutoencoder])
def test_config_rebuilds_the_model(cls):
    model = tiny(cls, embed_dim=2, attention_factors=(2,), per_channel_scale=True)
    again = cls(**model.config)
    assert again.config == model.config
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}


def test_images_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="multiples of 4"):
        tiny().encode(torch.zeros(1, 3, 30, 32))


def test_gaussian_agrees_with_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    moments = torch.randn(3, 4, 2, 2, generator=generator)
    posterior = DiagonalGaussian.from_moments(moments)
    normal = torch.distributions.Normal(posterior.mean, (0.5 * posterior.logvar).exp())
    kl = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).flatten(1).sum(1)
    torch.testing.assert_close(posterior.kl(), kl)
    draws = posterior.sample(torch.randn(5_000, 3, 2, 2, 2, generator=generator))
    standardised = (draws - posterior.mode()) / normal.stddev
    torch.testing.assert_close(standardised.mean(0), torch.zeros(3, 2, 2, 2), atol=0.06, rtol=0)
    torch.testing.assert_close(standardised.std(0), torch.ones(3, 2, 2, 2), atol=0.05, rtol=0)


def test_log_variance_is_clamped():
    posterior = DiagonalGaussian.from_moments(torch.tensor([0.0, 99.0, -99.0, 99.0]).view(1, 4, 1, 1))
    assert posterior.logvar.flatten().tolist() == [-30, 20]


def test_initial_log_variance_can_be_set(images):
    model = KLAutoencoder(**TINY, channel_mult=(1, 1), z_channels=4, logvar_init=-6.0)
    posterior = model.posterior(images)
    assert abs(posterior.logvar.mean() + 6) < 1
    assert abs(posterior.mean.mean()) < 1


@pytest.mark.parametrize("per_channel_scale", [False, True])
@pytest.mark.parametrize("cls", [KLAutoencoder, VQAutoencoder])
@torch.no_grad()
def test_measured_scale_gives_unit_variance_and_changes_no_image(cls, per_channel_scale, images, noise):
    model = tiny(cls, per_channel_scale=per_channel_scale)
    before = model.decode(model.encode(images, noise))
    factor = model.measure_scale(images, noise)
    z = model.encode(images, noise)
    if per_channel_scale:
        torch.testing.assert_close(z.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
        torch.testing.assert_close(z.std(dim=(0, 2, 3)), torch.ones(4))
    else:
        torch.testing.assert_close(z.std(), torch.tensor(1.0))
    torch.testing.assert_close(model.decode(z), before, atol=1e-5, rtol=0)
    assert "scale_factor" in model.state_dict()
    torch.testing.assert_close(model.measure_scale(images, noise), factor.clone())  # not measured on top of itself


@torch.no_grad()
def test_kl_encodes_a_sample_with_noise_and_the_mode_without(images, noise):
    model = tiny(scale_factor=0.5)
    posterior = model.posterior(images)
    torch.testing.assert_close(model.encode(images), posterior.mean * 0.5)
    torch.testing.assert_close(model.encode(images, noise), posterior.sample(noise) * 0.5)
    torch.testing.assert_close(model(images, noise).reconstruction, model.decode(model.encode(images, noise)))


@torch.no_grad()
def test_vq_encodes_before_and_decodes_after_quantisation(images):
    model = tiny(VQAutoencoder, scale_factor=3.0)
    z = model.encode(images)
    quantized = model.quantize(z / 3)
    assert (quantized.z_q - z / 3).abs().max() > 0.1
    image = model.decode(z)
    torch.testing.assert_close(image, model(images).reconstruction)
    torch.testing.assert_close(image, model.decode_indices(quantized.indices))
    torch.testing.assert_close(image, model.decode(3 * quantized.z_q, quantize=False))
    assert (image - model.decode(z, quantize=False)).abs().max() > 1e-2


def test_gradients_reach_everything_the_losses_should_train(images, noise):
    kl = tiny().train()
    reconstruction, posterior = kl(images, noise)
    (reconstruction.abs().mean() + posterior.kl().mean()).backward()
    vq = tiny(VQAutoencoder).train()
    reconstruction, quantized = vq(images)
    (reconstruction.abs().mean() + quantized.loss).backward()
    for model in (kl, vq):
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


class TestQuantizer:
    def test_nearest_code_straight_through_gradient_and_loss(self):
        quantizer = VectorQuantizer(2, 2, beta=0.25)
        quantizer.embedding.weight.data = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        z = (
            torch.tensor([0.9, 0.8, 0.1, 0.3]).view(1, 2, 2, 1).requires_grad_()
        )  # two positions: (0.9, 0.1), (0.8, 0.3)
        quantized = quantizer(z)
        assert quantized.indices.tolist() == [[[0], [1]]]
        assert quantized.z_q.flatten().tolist() == pytest.approx([0, 1, 0, 1])
        (quantized.z_q * torch.arange(4.0).view(1, 2, 2, 1)).sum().backward()
        assert z.grad.flatten().tolist() == [0, 1, 2, 3]
        assert quantizer.embedding.weight.grad is None
        mean_square = (0.9**2 + 0.1**2 + 0.2**2 + 0.7**2) / 4
        assert quantized.loss.item() == pytest.approx(1.25 * mean_square)

    @pytest.mark.parametrize(("legacy", "to_codes", "to_z"), [(False, 1.0, 0.25), (True, 0.25, 1.0)])
    def test_legacy_puts_beta_on_the_codebook(self, legacy, to_codes, to_z):
        quantizer = VectorQuantizer(1, 1, beta=0.25, legacy=legacy)
        quantizer.embedding.weight.data.zero_()
        z = torch.full((1, 1, 1, 1), 2.0, requires_grad=True)
        quantizer(z).loss.backward()
        assert quantizer.embedding.weight.grad.item() == pytest.approx(-2 * 2 * to_codes)
        assert z.grad.item() == pytest.approx(2 * 2 * to_z)

    def test_search_in_parts_finds_the_same_codes(self, monkeypatch):
        quantizer = VectorQuantizer(50, 3)
        vectors = torch.randn(101, 3, generator=torch.Generator().manual_seed(0)) / 50
        wanted = torch.cdist(vectors, quantizer.embedding.weight).argmin(dim=1)
        assert torch.equal(quantizer.nearest(vectors), wanted)
        monkeypatch.setattr("core.models.quantizer.SCORE_ELEMENTS", 7 * 50)
        assert torch.equal(quantizer.nearest(vectors), wanted)

    def test_dead_codes_come_back_to_life(self):
        torch.manual_seed(0)
        quantizer = VectorQuantizer(32, 2, revive_after=3).train()
        with torch.no_grad():
            quantizer.embedding.weight[0] = 5.0
            quantizer.embedding.weight[1:] = 100.0
        z = torch.randn(4, 2, 8, 8) + 5
        usage = [codebook_usage(quantizer(z).indices, 32).used.item() * 32 for _ in range(12)]
        assert usage[:3] == [1, 1, 1]
        assert usage[-1] >= 24
        assert quantizer.embedding.weight[0].tolist() == [5.0, 5.0]

    def test_revival_resumes_to_the_bit_and_rests_in_eval_mode(self):
        z = torch.randn(6, 1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
        whole = VectorQuantizer(8, 2, revive_after=2).train()
        parts = VectorQuantizer(8, 2, revive_after=2).train()
        parts.load_state_dict(whole.state_dict())
        torch.manual_seed(1)
        for batch in z[:3]:
            whole(batch)
        torch.manual_seed(1)
        for batch in z[:3]:
            parts(batch)
        resumed = VectorQuantizer(8, 2, revive_after=2).train()
        resumed.load_state_dict(parts.state_dict())
        state = torch.get_rng_state()
        for model in (whole, resumed):
            torch.set_rng_state(state)
            for batch in z[3:]:
                model(batch)
        assert all(
            torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
        )
        before = {key: tensor.clone() for key, tensor in whole.state_dict().items()}
        for batch in z:
            whole.eval()(batch)
        assert all(torch.equal(before[key], tensor) for key, tensor in whole.state_dict().items())

    def test_usage_and_perplexity(self):
        even = codebook_usage(torch.arange(8).view(2, 2, 2), 16)
        assert even.used.item() == 0.5
        assert even.perplexity.item() == pytest.approx(8)
        skewed = codebook_usage(torch.tensor([0, 0, 0, 1]), 2)
        assert skewed.perplexity.item() == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))


@pytest.mark.parametrize("levels", [2, 3, 4])
@pytest.mark.parametrize("cls", [KLAutoencoder, VQAutoencoder])
def test_a_few_steps_of_training_learn_a_batch(cls, levels, images):
    torch.manual_seed(0)
    options = {"logvar_init": -6.0} if cls is KLAutoencoder else {"codes": 32, "revive_after": 2}
    model = cls(**TINY, channel_mult=(1,) * levels, z_channels=8, **options).train()
    target = torch.nn.functional.interpolate(images[..., :2, :2], size=16)  # one colour for each 8×8 block
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0)
    for _ in range(40):
        reconstruction, middle = model(target)
        error = (reconstruction - target).abs().mean()
        bottleneck = 1e-6 * middle.kl().mean() if isinstance(middle, DiagonalGaussian) else middle.loss
        optimizer.zero_grad()
        (error + bottleneck).backward()
        optimizer.step()
    mean_colour = (target - target.mean(dim=(0, 2, 3), keepdim=True)).abs().mean()
    assert error < 0.7 * mean_colour
