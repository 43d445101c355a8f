"""What holds for every noise process: its levels, what is predicted and trained on, and files; and what each is by its paper."""

import json
import math

import pytest
import torch
from solver_oracles import seeded
from torch._subclasses.fake_tensor import FakeTensorMode
from toy_denoisers import SHAPE, gaussian

from core.diffusion import guidance, kinds
from core.diffusion.edm import EDM
from core.diffusion.flow import RectifiedFlow
from core.diffusion.langevin import score
from core.diffusion.process import EXPLODING, PRESERVING, STRAIGHT
from core.diffusion.schedule import PARAMETRISATIONS, NoiseSchedule
from core.losses.diffusion import diffusion_loss, weights
from tests.outside.package.loom_outside.cosine_flow import CosineFlow

BETAS = [NoiseSchedule.linear(parametrisation=each) for each in PARAMETRISATIONS]
FLOWS = [RectifiedFlow(), RectifiedFlow(shift=3.0, density="logit_normal"), RectifiedFlow(parametrisation="x0")]
EDMS = [EDM(), EDM(sigma_data=0.5)]
PROCESSES = [*BETAS, *FLOWS, *EDMS, CosineFlow()]
kinds.PROCESSES.add(CosineFlow)  # as the scan of its package does
every_process = pytest.mark.parametrize("process", PROCESSES, ids=lambda each: f"{type(each).__name__}-{each.predicts}")

Z0, NOISE = seeded(1)(torch.empty(2, *SHAPE, dtype=torch.float64))


def some(process, n=2):
    """Timesteps from little to much noise, as numbers."""
    return [process.timestep_at(share) for share in torch.linspace(0.1, 0.9, n).tolist()]


def draws(process, count=20_000):
    return process.timesteps(torch.rand(count, generator=torch.Generator().manual_seed(0)))


@every_process
def test_numbers_and_tensors_give_the_same_level(process):
    t = some(process)
    z = process.add_noise(Z0, NOISE, torch.tensor(t, dtype=torch.float64))
    for i, number in enumerate(t):
        level = process.level(number)
        torch.testing.assert_close(z[i], level.signal * Z0[i] + level.noise * NOISE[i])
        torch.testing.assert_close(process.add_noise(Z0[i], NOISE[i], number), z[i])
        assert level.sigma == pytest.approx(level.noise / level.signal)
        assert process.sigma(torch.tensor([number], dtype=torch.float64)).item() == pytest.approx(level.sigma)
        assert process.snr(number) == pytest.approx(level.sigma**-2)


@every_process
def test_levels_are_found_by_sigma(process):
    for t in some(process, 5):
        level = process.level(t)
        assert process.level_at(level.sigma) == pytest.approx(tuple(level))
        assert process.scale(level.sigma) == pytest.approx(level[1:3])
    clean = process.level_at(0.0)
    assert clean.noise == clean.sigma == 0
    assert clean.signal > 0


@every_process
def test_more_of_the_way_is_more_noise(process):
    shares = torch.linspace(process.least, 1, 30).tolist()
    sigmas = [process.level(process.timestep_at(share)).sigma for share in shares]
    assert sigmas == sorted(sigmas)
    assert sigmas[0] > 0
    assert process.timestep_at(1) == pytest.approx(process.last)


@every_process
def test_the_target_of_noised_latents_reads_back_as_z0_and_noise(process):
    for t in (some(process)[1], torch.tensor(some(process), dtype=torch.float64)):
        z, prediction = process.add_noise(Z0, NOISE, t), process.target(Z0, NOISE, t)
        torch.testing.assert_close(process.to_z0(prediction, z, t), Z0)
        torch.testing.assert_close(process.to_eps(prediction, z, t), NOISE)
        torch.testing.assert_close(process.from_z0(Z0, z, t), prediction)


@every_process
def test_timesteps_are_drawn_within_the_process(process):
    """At 0, the smallest number that there is to draw, and just below 1, the largest, they are numbers too."""
    t = draws(process)
    assert t.shape == (20_000,)
    edges = process.timesteps(torch.tensor([0.0, 1 - 2**-24]))
    for drawn in (t, edges):
        assert drawn.isfinite().all()
        assert all(rate.isfinite().all() for rate in process.rates(drawn, like=drawn.float()))


@every_process
def test_half_precision_keeps_its_dtype_and_any_device_its_tensors(process):
    t = process.timesteps(torch.tensor([0.3, 0.8]))
    z0, noise = Z0.bfloat16(), NOISE.bfloat16()
    for result in (process.add_noise(z0, noise, t), process.target(z0, noise, t), process.to_z0(noise, z0, t)):
        assert result.dtype == torch.bfloat16
    meta = torch.empty(SHAPE, device="meta")
    assert process.add_noise(meta, meta, t.to("meta")).device.type == "meta"
    number = some(process)[0]
    with FakeTensorMode():
        fake = torch.randn(SHAPE)
        assert process.add_noise(fake, fake, process.timesteps(torch.rand(2))).shape == SHAPE
        assert process.level(number).sigma > 0


@every_process
def test_a_process_comes_back_from_json(process):
    again = kinds.from_dict(json.loads(json.dumps(process.to_dict())))
    assert again == process
    assert hash(again) == hash(process)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"process": "Nobody's"}, "no noise process is called .*RectifiedFlow.*Name the package"),
        ({"process": ["EDM"]}, "no noise process is called"),
        ({"process": "EDM", "sigma": 3}, "the fields of a EDM are sigma_min"),
        (RectifiedFlow().to_dict() | {"shift": "3"}, "no value for it"),
        (RectifiedFlow().to_dict() | {"mean": 10**400}, "no value for it"),
        (RectifiedFlow().to_dict() | {"shift": math.inf}, "above 0"),
        (EDM().to_dict() | {"p_mean": math.nan}, "p_mean a number"),
        (NoiseSchedule.linear(2).to_dict() | {"betas": ["a", "b"]}, "no value for it"),
        ("betas", "not as str"),
        ({}, "betas, parametrisation, not none"),
    ],
)
def test_what_is_no_process_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        kinds.from_dict(data)


def test_a_kind_is_found_once_its_package_was_scanned_and_not_for_being_imported():
    class Unseen(RectifiedFlow):
        pass

    with pytest.raises(ValueError, match="no noise process is called 'Unseen'"):
        kinds.from_dict(Unseen().to_dict())
    assert vars(Unseen)["__listed_in__"] is kinds.PROCESSES, "where a scan lists it"


@every_process
def test_steering_changes_eps_alike(process):
    z, prediction, grad = Z0, NOISE, seeded(3)(Z0)
    for t in (some(process)[0], torch.tensor(some(process), dtype=torch.float64)):
        _, noise = process.rates(t, like=z)
        before = process.to_eps(prediction, z, t)
        after = process.to_eps(guidance.steer(prediction, grad, t, process, scale=3.0), z, t)
        torch.testing.assert_close(after, before - 3 * noise * grad)


@pytest.mark.parametrize("process", [*FLOWS, BETAS[1].with_zero_terminal_snr("v"), CosineFlow()], ids=str)
def test_steering_does_nothing_in_pure_noise(process):
    z = NOISE.float()
    for t in (process.last, torch.full((2,), float(process.last))):
        steered = guidance.steer(z, z, t, process)
        assert steered.isfinite().all()
        torch.testing.assert_close(steered, z, atol=1e-4, rtol=0)


@every_process
def test_the_score_is_the_gradient_of_the_log_density(process):
    for t in some(process):
        level = process.level(t)
        exact = (0.7 * level.signal - Z0) / (level.signal**2 * 0.25 + level.noise**2)
        prediction = gaussian(process)(Z0, torch.full((2,), t, dtype=torch.float64))
        torch.testing.assert_close(score(prediction, Z0, t, process), exact)


@every_process
def test_a_threshold_leaves_small_estimates_alone(process):
    t = some(process)[1]
    z0 = 0.9 * torch.tanh(Z0)
    prediction = process.from_z0(z0, NOISE, t)
    torch.testing.assert_close(guidance.dynamic_threshold(prediction, NOISE, t, process), prediction)


@every_process
def test_min_snr_weighs_one_error_of_z0_alike(process):
    """An error of z0 costs min(SNR, 5) times its square, whatever is predicted and however z is scaled."""
    t = torch.tensor(some(process), dtype=torch.float64)
    z, wrong = process.add_noise(Z0, NOISE, t), Z0 + 0.1 * seeded(5)(Z0)
    loss = diffusion_loss(process.from_z0(wrong, z, t), Z0, NOISE, t, process, weighting="min_snr")
    each = (wrong - Z0).square().flatten(1).mean(1)
    torch.testing.assert_close(loss, (process.snr(t).clamp(max=5) * each).mean(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("process", [*FLOWS, *EDMS, CosineFlow()], ids=str)
def test_weights_by_timestep_want_betas(process):
    with pytest.raises(ValueError, match=f"which {type(process).__name__} has not: choose 'none' or 'min_snr'"):
        weights(torch.tensor([1.0]), process, "elbo")


def test_a_process_may_weigh_its_own_loss():
    class Late(RectifiedFlow):
        def weights(self, t):
            return t / 1000

    t = torch.tensor([0.0, 500.0])
    prediction = Z0 + 1
    plain = (prediction - RectifiedFlow().target(Z0, NOISE, t)).square().flatten(1).mean(1)
    torch.testing.assert_close(diffusion_loss(prediction, Z0, NOISE, t, Late()), plain[1] / 4, check_dtype=False)
    torch.testing.assert_close(weights(t, Late(), "none"), torch.tensor([0, 0.5]))


# --- rectified flow -----------------------------------------------------------------------------------------------------


def test_a_flow_is_straight_and_its_velocity_the_slope():
    flow = RectifiedFlow()
    for u in (0.0, 0.25, 1.0):
        z = flow.add_noise(Z0, NOISE, 1000 * u)
        torch.testing.assert_close(z, (1 - u) * Z0 + u * NOISE)
        torch.testing.assert_close(flow.target(Z0, NOISE, 1000 * u), NOISE - Z0)
    assert math.isinf(flow.level(1000).sigma)


def test_timesteps_of_a_flow_are_uniform_or_logit_normal_and_shifted():
    """20,000 draws: statistical errors of .007 of a standard deviation, .005 of its estimate."""
    uniform = draws(RectifiedFlow()) / 1000
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.015)
    assert uniform.std().item() == pytest.approx(1 / math.sqrt(12), abs=0.01)
    logit = torch.logit(draws(RectifiedFlow(density="logit_normal", mean=0.4, std=1.3)) / 1000)
    assert logit.mean().item() == pytest.approx(0.4, abs=0.06)
    assert logit.std().item() == pytest.approx(1.3, abs=0.05)
    shifted = draws(RectifiedFlow(shift=3.0)) / 1000
    torch.testing.assert_close(shifted, 3 * uniform / (1 + 2 * uniform))


def test_what_a_flow_cannot_predict_is_refused():
    for impossible in ("eps", "v"):
        with pytest.raises(ValueError, match="velocity or x0"):
            RectifiedFlow(parametrisation=impossible)
    with pytest.raises(ValueError, match="above 0"):
        RectifiedFlow(shift=0)
    with pytest.raises(ValueError, match="'uniform' or 'logit_normal'"):
        RectifiedFlow(density="normal")


# --- EDM ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [0.5, 1.0])
def test_edm_is_preconditioned_as_in_the_paper(data):
    """Karras et al. 2022, table 1: D(x) = c_skip x + c_out F(c_in x; c_noise), and the loss λ(σ) |D − z0|²."""
    edm = EDM(sigma_data=data)
    sigma = torch.tensor([0.02, 7.0], dtype=torch.float64)
    s = sigma.reshape(2, 1, 1, 1)
    x = Z0 + s * NOISE
    c_skip, c_out = data**2 / (s**2 + data**2), s * data / (s**2 + data**2).sqrt()
    t = sigma.log() / 4  # c_noise
    torch.testing.assert_close(edm.add_noise(Z0, NOISE, t), x / (s**2 + data**2).sqrt())
    f = seeded(4)(Z0)
    d = c_skip * x + c_out * f
    torch.testing.assert_close(edm.to_z0(f, edm.add_noise(Z0, NOISE, t), t), d)
    weight = (s**2 + data**2) / (s * data) ** 2
    torch.testing.assert_close(diffusion_loss(f, Z0, NOISE, t, edm), (weight * (d - Z0).square()).mean())


def test_edm_trains_at_log_normal_sigmas_and_keeps_unit_variance():
    edm = EDM(sigma_data=0.5)
    log_sigma = 4 * draws(edm)
    assert log_sigma.mean().item() == pytest.approx(-1.2, abs=0.05)
    assert log_sigma.std().item() == pytest.approx(1.2, abs=0.04)
    z0, noise = 0.5 * seeded(1)(torch.empty(50_000)), seeded(2)(torch.empty(50_000))
    for sigma in (0.01, 1.0, 50.0):
        t = math.log(sigma) / 4
        assert edm.add_noise(z0, noise, t).std().item() == pytest.approx(1, abs=0.02)
        assert edm.target(z0, noise, t).std().item() == pytest.approx(1, abs=0.02)


def test_edm_with_unit_data_predicts_minus_v():
    edm, betas = EDM(), NoiseSchedule.linear(parametrisation="v")
    sigma = betas.level(400).sigma
    torch.testing.assert_close(edm.target(Z0, NOISE, math.log(sigma) / 4), -betas.target(Z0, NOISE, 400))


@pytest.mark.parametrize("wrong", [{"sigma_min": 0}, {"sigma_min": 90.0}, {"sigma_data": 0}, {"p_std": -1.0}])
def test_impossible_settings_of_edm_are_refused(wrong):
    with pytest.raises(ValueError, match=r"sigma_min|above 0"):
        EDM(**wrong)


# --- scales of z --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coordinates", [PRESERVING, EXPLODING, STRAIGHT])
def test_coordinates_invert_and_keep_sigma(coordinates):
    for sigma in (0.0, 0.03, 1.0, 300.0):
        signal, noise = coordinates.rates(sigma)
        assert noise / signal == pytest.approx(sigma)
        assert coordinates.sigma(noise) == pytest.approx(sigma, rel=1e-9)
    assert PRESERVING.rates(math.inf) == STRAIGHT.rates(math.inf) == (0, 1)


def test_the_table_of_betas_reads_as_it_always_did():
    """To the bit, as its formulas were before there were other processes: trained models and caches rest on them."""
    z, p = (x.float() for x in (Z0, NOISE))
    for schedule in BETAS:
        for t in (400, torch.tensor([3, 999]), torch.tensor([1.5, 998.25])):
            signal, noise = schedule.rates(t, like=z)
            z0, eps, target, back = {
                "eps": lambda s, n: ((z - n * p) / s, p, p, (p - s * z) / n),
                "x0": lambda s, n: (p, (z - s * p) / n, z, z),
                "v": lambda s, n: (s * z - n * p, s * p + n * z, s * p - n * z, (s * p - z) / n),
            }[schedule.parametrisation](signal, noise)
            assert torch.equal(schedule.to_z0(p, z, t), z0)
            assert torch.equal(schedule.to_eps(p, z, t), eps)
            assert torch.equal(schedule.target(z, p, t), target)
            assert torch.equal(schedule.from_z0(z, p, t), back)
