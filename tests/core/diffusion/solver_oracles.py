"""Other people's solvers on our noise: diffusers' schedulers, and k-diffusion's algorithms written out again."""

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
