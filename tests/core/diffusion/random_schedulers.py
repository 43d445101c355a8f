"""Random configurations of diffusers' schedulers, and how far sampling by them is from diffusers'."""

from __future__ import annotations

import inspect
import random
from dataclasses import replace
from typing import Any, Literal

import diffusers
import torch
from scheduler_parity import NOISE, SD, configuration, theirs
from solver_oracles import BrownianHalves, seeded
from toy_denoisers import two_modes

from core.checkpoints.diffusers_scheduler import schedule_from_diffusers
from core.diffusion.levels import Levels
from core.diffusion.process import SIGMA_LIMIT
from core.diffusion.schedulers import SCHEDULERS as KNOWN
from core.diffusion.schedulers import stored

SCHEDULERS = (
    *(name.removesuffix("Scheduler") for name in KNOWN),
    "IPNDM",
    "CosineDPMSolverMultistep",
    "ScoreSdeVe",
    "UnCLIP",
)
ALLOWED = 3e-4
"""The largest difference of one element, in the largest value there is where that is above 1: diffusers computes with float32's sigmas."""

LARGE = 3e-3
"""The same where its float32 has lost digits: sampling starts from a sigma of 10,000 and more (cosine betas), or 1 − β is .9999."""

OPTIONS: dict[str, list[Any]] = {
    "num_train_timesteps": [500],
    "beta_start": [0.0001, 0.002],
    "beta_end": [0.02],
    "beta_schedule": ["linear", "scaled_linear", "squaredcos_cap_v2"],
    "trained_betas": [[0.0005 + 0.00002 * i for i in range(1000)]],
    "prediction_type": ["epsilon", "v_prediction", "sample", "flow_prediction"],
    "timestep_spacing": ["leading", "linspace", "trailing"],
    "steps_offset": [1, 3],
    "set_alpha_to_one": [True, False],
    "rescale_betas_zero_snr": [True],
    "clip_sample": [True, False],
    "clip_sample_range": [0.5, 2.0],
    "thresholding": [True],
    "dynamic_thresholding_ratio": [0.9],
    "sample_max_value": [1.5],
    "use_karras_sigmas": [True],
    "use_exponential_sigmas": [True],
    "use_beta_sigmas": [True],
    "use_flow_sigmas": [True],
    "use_lu_lambdas": [True],
    "flow_shift": [3.0],
    "sigma_min": [0.05],
    "sigma_max": [40.0],
    "interpolation_type": ["log_linear"],
    "final_sigmas_type": ["zero", "sigma_min"],
    "timestep_type": ["continuous"],
    "solver_order": [1, 2, 3],
    "solver_type": ["midpoint", "heun", "bh1", "bh2", "logrho"],
    "algorithm_type": ["dpmsolver", "dpmsolver++", "sde-dpmsolver++", "deis", "data_prediction", "noise_prediction"],
    "lower_order_final": [True, False],
    "euler_at_final": [True],
    "lambda_min_clipped": [-5.1],
    "variance_type": ["fixed_large", "fixed_small_log", "learned_range"],
    "skip_prk_steps": [True, False],
    "predict_x0": [False],
    "disable_corrector": [[0, 1]],
    "predictor_order": [1, 3],
    "corrector_order": [1, 3],
    "original_inference_steps": [100],
    "timestep_scaling": [5.0],
    "shift": [3.0],
    "use_dynamic_shifting": [True],
    "shift_terminal": [0.1],
    "invert_sigmas": [True],
    "stochastic_sampling": [True],
    "time_shift_type": ["linear"],
    "sigma_data": [0.7],
    "rho": [5.0],
    "sigma_schedule": ["exponential"],
}
NEVER = {
    "solver_p", "tau_func", "noise_sampler_seed", "base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len",
    "snr", "sampling_eps", "correct_steps",
}  # fmt: skip
"""Options that a file cannot hold, or that count only beside another one or a class that is refused."""
MADE_OF = ("SASolver", "DDPM", "EulerAncestralDiscrete", "KDPM2AncestralDiscrete", "LCM", "TCD")
"""Those that are handed a generator."""


def untried(name: str) -> set[str]:
    """The options of a scheduler's constructor that no configuration changes."""
    given = set(inspect.signature(getattr(diffusers, f"{name}Scheduler").__init__).parameters) - {"self", "kwargs"}
    return given - set(OPTIONS) - NEVER


def a_scheduler(name: str, draw: random.Random) -> dict[str, Any]:
    """The options of a scheduler that are not its own, up to four of them, on Stable Diffusion's betas where it has any."""
    given = inspect.signature(getattr(diffusers, f"{name}Scheduler").__init__).parameters
    able = sorted(set(given) & set(OPTIONS))
    changed = draw.sample(able, min(len(able), draw.choice([0, 1, 2, 3, 4])))
    own = {option: value for option, value in SD.items() if option in given}
    plain = {"skip_prk_steps": True} if "skip_prk_steps" in given else {}
    return own | plain | {option: draw.choice(OPTIONS[option]) for option in changed}


Outcome = tuple[Literal["equal", "refused", "silently wrong", "crashed"] | None, str, float]


def sampled_alike(name: str, config: dict[str, Any], steps: int) -> Outcome:
    """A trajectory of `steps` steps by both, from the same noise; (None, …) where diffusers cannot."""
    try:
        scheduler = theirs(name, config)
        written = configuration(scheduler)
        given = dict(scheduler.config)
    except Exception:
        return None, "", 0.0
    try:
        process = schedule_from_diffusers(written)
        denoise = two_modes(process)
        sampler = stored(process)
        levels = _told(sampler.levels(process, steps), scheduler, steps)
        z = levels.prior(NOISE)
        ours = sampler(denoise, z, levels, draw=seeded())
        draw = seeded()
        precise = sampler(denoise, z.double(), levels, draw=lambda like: draw(like.float()).double())
    except ValueError as error:
        return "refused", str(error), 0.0
    except Exception as error:
        return "crashed", f"{type(error).__name__}: {error}", 0.0
    try:
        wanted = _theirs(name, scheduler, denoise, steps, given)
    except Exception:
        return None, "", 0.0
    scale = wanted.abs().max().clamp(min=1)
    if not torch.isfinite(wanted).all() or (ours - precise).abs().max() / scale > ALLOWED / 3:
        return None, "", 0.0  # float32 does not say what it is
    error = float((ours - wanted).abs().max() / scale)
    lost = levels.start.sigma > SIGMA_LIMIT or config.get("beta_start", 1) < 2e-4
    allowed = LARGE if lost else ALLOWED
    return ("equal" if error <= allowed else "silently wrong"), f"{steps} steps", error


def _told(levels: Levels, scheduler: Any, steps: int) -> Levels:
    """The levels with diffusers' timesteps where one of these is one below: it cuts such as 998.99999 of float32 to whole ones."""
    scheduler.set_timesteps(steps)
    told = [float(t) for t in scheduler.timesteps]
    if len(told) != len(levels) or any(
        level.t - t not in (0, 1) for level, t in zip(levels.levels, told, strict=False)
    ):
        return levels
    looks = (level._replace(t=t) for level, t in zip(levels.levels, told, strict=False))
    return replace(levels, levels=(*looks, levels.levels[-1]))


def _theirs(name: str, scheduler: Any, denoise: Any, steps: int, config: dict[str, Any]) -> torch.Tensor:
    scheduler.set_timesteps(steps)
    if name == "DPMSolverSDE":
        scheduler.noise_sampler = BrownianHalves(NOISE)
    options: dict[str, Any] = {}
    if name in MADE_OF or "sde" in str(config.get("algorithm_type")):
        options["generator"] = torch.Generator().manual_seed(0)
    x = NOISE * scheduler.init_noise_sigma if hasattr(scheduler, "init_noise_sigma") else NOISE
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(denoise(seen, t.repeat(len(x)).float()), t, x, **options).prev_sample
    return x
