"""Other people's solvers on our noise: diffusers' schedulers, and k-diffusion's algorithms written out again."""

from itertools import pairwise

import diffusers
import torch

from core.diffusion.schedule import NoiseSchedule

PREDICTION_TYPES = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}


def seeded(seed=0):
    """A source of noise: the same draws for every instance of one seed."""
    generator = torch.Generator().manual_seed(seed)
    return lambda like: torch.randn(like.shape, generator=generator, dtype=like.dtype)


def run_diffusers(name, schedule: NoiseSchedule, denoise, z, steps, *, setup=None, step=None, seed=0, **config):
    """The trajectory of a diffusers scheduler over a denoiser of ours, VP-scaled in and out."""
    scheduler = getattr(diffusers, name)(
        num_train_timesteps=schedule.num_timesteps,
        trained_betas=list(schedule.betas),
        prediction_type=PREDICTION_TYPES[schedule.parametrisation],
        **config,
    )
    scheduler.set_timesteps(steps)
    if setup:
        setup(scheduler)
    options = dict(step or {})
    if options.pop("generator", False):
        options["generator"] = torch.Generator().manual_seed(seed)
    sigma_space = scheduler.init_noise_sigma != 1
    x = z * (scheduler.sigmas[0] ** 2 + 1) ** 0.5 if sigma_space else z
    for t in scheduler.timesteps:
        z = scheduler.scale_model_input(x, t)
        x = scheduler.step(denoise(z, t.repeat(len(z)).float()), t, x, **options).prev_sample
    return x.to(z.dtype)


def run_ipndm(schedule: NoiseSchedule, denoise, z, steps):
    """diffusers' IPNDMScheduler at the levels of trailing timesteps: its betas are their noise, and what it is told v.

    Its last step is replaced by ComfyUI's, which is of first order.
    """
    looks = [schedule.level(round(schedule.num_timesteps * (1 - i / steps)) - 1) for i in range(steps)]
    scheduler = diffusers.IPNDMScheduler(trained_betas=[*(look.noise for look in looks), 0.0])
    scheduler.set_timesteps(steps)
    for look, t in zip(looks, scheduler.timesteps, strict=True):
        at = torch.full((len(z),), float(look.t))
        prediction = denoise(z, at)
        if look is looks[-1]:
            return schedule.to_z0(prediction, z, at)
        z = scheduler.step(schedule.to_velocity(prediction, z, at), t, z).prev_sample
    return z


def karras_sigmas(schedule: NoiseSchedule, denoise, steps):
    """k-diffusion's model, (x, log sigma) -> z0, and its Karras sigmas, in float64."""
    alphas_cumprod = torch.cumprod(1 - torch.tensor(schedule.betas, dtype=torch.float64), 0)
    log_sigmas = ((1 - alphas_cumprod) / alphas_cumprod).sqrt().log()

    def model(x, log_sigma):
        above = int(torch.searchsorted(log_sigmas, log_sigma).clamp(1, len(log_sigmas) - 1))
        low, high = log_sigmas[above - 1], log_sigmas[above]
        t = (above - 1 + (log_sigma - low) / (high - low)).clamp(0, len(log_sigmas) - 1)
        eps = denoise(x / (log_sigma.exp() ** 2 + 1).sqrt(), t.repeat(len(x)))
        return x - log_sigma.exp() * eps

    ends = log_sigmas[[-1, 0]].exp() ** (1 / 7)
    return model, torch.lerp(ends[0], ends[1], torch.linspace(0, 1, steps, dtype=torch.float64)) ** 7


def run_dpmpp_2s_ancestral(schedule: NoiseSchedule, denoise, z, steps, seed=0):
    """k-diffusion's sample_dpmpp_2s_ancestral on Karras sigmas, in float64, written from its definition."""
    model, sigmas = karras_sigmas(schedule, denoise, steps)
    draw = seeded(seed)
    x = z.double() * (sigmas[0] ** 2 + 1).sqrt()
    for sigma, following in pairwise(sigmas):
        variance = following**2 * (sigma**2 - following**2) / sigma**2
        down = (following**2 - variance).sqrt()
        lam, lam_down = -sigma.log(), -down.log()
        lam_middle = (lam + lam_down) / 2
        first = model(x, -lam)
        halfway = (lam - lam_middle).exp() * x - torch.expm1(lam - lam_middle) * first
        second = model(halfway, -lam_middle)
        x = (lam - lam_down).exp() * x - torch.expm1(lam - lam_down) * second
        x = x + variance.sqrt() * draw(z).double()
    return model(x, sigmas[-1].log()).to(z.dtype)


def run_dpmpp_3m_sde(schedule: NoiseSchedule, denoise, z, steps, seed=0):
    """k-diffusion's sample_dpmpp_3m_sde with eta 1 on Karras sigmas, in float64, written from its definition."""
    model, sigmas = karras_sigmas(schedule, denoise, steps)
    draw = seeded(seed)
    x = z.double() * (sigmas[0] ** 2 + 1).sqrt()
    estimates, reaches = [], []
    for sigma, following in pairwise(sigmas):
        now = model(x, sigma.log())
        h = sigma.log() - following.log()
        decay = torch.exp(-2 * h)
        x = decay * x + (1 - decay) * now
        bend = (decay - 1) / (2 * h) + 1
        if len(estimates) >= 2:
            r0, r1 = reaches[-1] / h, reaches[-2] / h
            near, far = (now - estimates[-1]) / r0, (estimates[-1] - estimates[-2]) / r1
            x = x + bend * (near + (near - far) * r0 / (r0 + r1)) - (bend / (2 * h) - 0.5) * (near - far) / (r0 + r1)
        elif estimates:
            x = x + bend * (now - estimates[-1]) / (reaches[-1] / h)
        x = x + following * (1 - torch.exp(-2 * h)).sqrt() * draw(z).double()
        estimates.append(now)
        reaches.append(h)
    return model(x, sigmas[-1].log()).to(z.dtype)


class BrownianHalves:
    """Noise for diffusers' DPMSolverSDE: a Brownian motion's unit increments over half a step, then over all of it."""

    def __init__(self, like, seed=0):
        self.like, self.draw, self.half = like, seeded(seed), None

    def __call__(self, sigma, sigma_to):
        sigma, sigma_to = float(sigma), float(sigma_to)
        unit = self.draw(self.like)
        if self.half is None:
            self.half = (sigma_to, (sigma - sigma_to) ** 0.5 * unit)
            return unit
        (middle, increment), self.half = self.half, None
        return (increment + (middle - sigma_to) ** 0.5 * unit) / (sigma - sigma_to) ** 0.5


def run_churned(kind, schedule: NoiseSchedule, denoise, z, steps, s_churn, s_tmin, s_tmax, s_noise, seed=0):
    """k-diffusion's sample_euler, sample_heun or sample_dpm_2 on Karras sigmas, in float64, written from algorithm 2."""
    model, sigmas = karras_sigmas(schedule, denoise, steps)
    draw = seeded(seed)
    x = z.double() * (sigmas[0] ** 2 + 1).sqrt()
    for sigma, following in pairwise([*sigmas, torch.zeros((), dtype=torch.float64)]):
        gamma = min(s_churn / steps, 2**0.5 - 1) if s_tmin <= sigma <= s_tmax else 0.0
        hat = sigma * (1 + gamma)
        if gamma > 0:
            x = x + (hat**2 - sigma**2).sqrt() * s_noise * draw(z).double()
        slope = (x - model(x, hat.log())) / hat
        if following > 0 and kind == "heun":
            ahead = x + (following - hat) * slope
            slope = (slope + (ahead - model(ahead, following.log())) / following) / 2
        elif following > 0 and kind == "dpm2":
            middle = (hat * following).sqrt()
            halfway = x + (middle - hat) * slope
            slope = (halfway - model(halfway, middle.log())) / middle
        x = x + (following - hat) * slope
    return x.to(z.dtype)
