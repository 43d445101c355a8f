"""Configurations of diffusers' schedulers, and the distance of what we make of them from what diffusers does: data for the tests."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from solver_oracles import BrownianHalves, seeded
from toy_denoisers import SHAPE, two_modes

from core.checkpoints.diffusers_scheduler import schedule_from_diffusers
from core.diffusion.schedulers import stored

NOISE = seeded(1)(torch.empty(SHAPE))
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
LEADING = {"timestep_spacing": "leading", "steps_offset": 1}
TRAILING = {"timestep_spacing": "trailing"}
LINSPACE = {"timestep_spacing": "linspace"}
KARRAS, EXPONENTIAL, BETA = ({f"use_{name}_sigmas": True} for name in ("karras", "exponential", "beta"))
V = {"prediction_type": "v_prediction"}
ZERO_SNR = V | {"rescale_betas_zero_snr": True}
PLAIN = {"clip_sample": False}

BY_SIGMA = ("EulerDiscrete", "HeunDiscrete", "LMSDiscrete", "KDPM2Discrete", "KDPM2AncestralDiscrete")
MULTISTEP = ("DPMSolverMultistep", "DEISMultistep", "UniPCMultistep")
SPACED = [LEADING, TRAILING, LINSPACE]

CONFIGS: list[tuple[str, dict[str, Any]]] = [
    *(("DDIM", PLAIN | {"set_alpha_to_one": False} | each) for each in [*SPACED, {}, LEADING | V]),
    *(("DDIM", PLAIN | each) for each in [*SPACED, {}, TRAILING | ZERO_SNR]),
    *(("DDIM", each) for each in [LEADING, TRAILING, {"thresholding": True, "sample_max_value": 1.5}]),
    *(("DDPM", each) for each in [*SPACED, {}, PLAIN | LEADING, {"prediction_type": "sample"}]),
    *(("PNDM", {"skip_prk_steps": True} | each) for each in [LEADING, {}, LEADING | {"set_alpha_to_one": True}]),
    *((name, each) for name in BY_SIGMA for each in [*SPACED, {}]),
    *((name, LINSPACE | each) for name in BY_SIGMA for each in (KARRAS, EXPONENTIAL, BETA)),
    *((name, LEADING | KARRAS) for name in BY_SIGMA),
    *(("EulerAncestralDiscrete", each) for each in [*SPACED, V, TRAILING | ZERO_SNR]),
    *(("EulerDiscrete", each) for each in [V, TRAILING | ZERO_SNR, {"final_sigmas_type": "sigma_min"}]),
    ("EulerDiscrete", KARRAS | {"sigma_min": 0.1, "sigma_max": 10.0}),
    ("HeunDiscrete", {"clip_sample": True}),
    *((name, each) for name in MULTISTEP for each in [*SPACED, V, KARRAS, EXPONENTIAL, BETA, LEADING | KARRAS]),
    *((name, {"solver_order": order} | LEADING) for name in MULTISTEP for order in (1, 3)),
    *((name, {"thresholding": True}) for name in MULTISTEP),
    *(("DPMSolverMultistep", each) for each in [TRAILING | ZERO_SNR, {"euler_at_final": True}]),
    *(("DPMSolverMultistep", {"solver_type": "heun"} | each) for each in [{}, {"algorithm_type": "sde-dpmsolver++"}]),
    ("DPMSolverMultistep", {"algorithm_type": "sde-dpmsolver++"} | KARRAS),
    ("DPMSolverMultistep", {"final_sigmas_type": "sigma_min"}),
    ("DPMSolverMultistep", {"final_sigmas_type": "sigma_min", "lower_order_final": False}),
    ("UniPCMultistep", {"final_sigmas_type": "sigma_min"}),
    *(("DPMSolverSinglestep", each) for each in [{}, KARRAS, V, {"solver_type": "heun"}]),
    *(("DPMSolverSDE", each) for each in [{}, TRAILING, KARRAS]),
    *(("LCM", each) for each in [{}, {"original_inference_steps": 100}, {"clip_sample": True}]),
    *(("SASolver", each) for each in [*SPACED, V, KARRAS, EXPONENTIAL, BETA, LEADING | KARRAS, {"thresholding": True}]),
    *(("SASolver", {"predictor_order": p, "corrector_order": c} | LEADING) for p, c in ((1, 1), (3, 4), (4, 3))),
    *(("SASolver", {"predictor_order": p, "lower_order_final": False}) for p in (2, 3)),
    *(
        ("SASolver", {"algorithm_type": "noise_prediction"} | each)
        for each in [{}, LEADING | V, {"predictor_order": 3}]
    ),
    *(("TCD", each) for each in [{}, V, {"original_inference_steps": 100}]),
]
PROCESSES: list[tuple[str, dict[str, Any]]] = [
    *(("FlowMatchEulerDiscrete", each) for each in [{}, {"shift": 3.0}, KARRAS, {"shift": 3.0} | EXPONENTIAL, BETA]),
    *(("FlowMatchHeunDiscrete", each) for each in [{}, {"shift": 3.0}]),
    *(("EDMEuler", each) for each in [{}, {"sigma_schedule": "exponential"}, {"sigma_max": 120.0, "rho": 5.0}]),
    *(("EDMDPMSolverMultistep", each) for each in [{}, {"solver_order": 3}, {"algorithm_type": "sde-dpmsolver++"}]),
]


def theirs(name: str, config: dict[str, Any]) -> Any:
    return getattr(diffusers, f"{name}Scheduler")(**config)


def configuration(scheduler: Any) -> dict[str, Any]:
    """What stands in the scheduler's file."""
    return {"_class_name": type(scheduler).__name__, **scheduler.config}


def distance(name: str, config: dict[str, Any], steps: int) -> float:
    """The largest difference of one element after `steps` steps from the same noise, ours from diffusers'."""
    scheduler = theirs(name, config)
    process = schedule_from_diffusers(configuration(scheduler))
    denoise = two_modes(process)
    sampler = stored(process)
    levels = sampler.levels(process, steps)
    z = levels.prior(NOISE)
    ours = sampler(denoise, z, levels, draw=seeded())
    scheduler.set_timesteps(steps)
    if name == "DPMSolverSDE":
        scheduler.noise_sampler = BrownianHalves(NOISE)
    options: dict[str, Any] = {}
    if name in ("DDPM", "EulerAncestralDiscrete", "KDPM2AncestralDiscrete", "LCM", "TCD", "SASolver") or "sde" in str(
        config
    ):
        options["generator"] = torch.Generator().manual_seed(0)
    x = NOISE * scheduler.init_noise_sigma if hasattr(scheduler, "init_noise_sigma") else NOISE
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(denoise(seen, t.repeat(len(x)).float()), t, x, **options).prev_sample
    return float((ours - x).abs().max())
