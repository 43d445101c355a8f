"""diffusers' scheduler configurations (`scheduler_config.json`) to noise processes, and back.

Which noise there is, and what the network predicts, is the process. How it is sampled goes along as it is written
(`Process.scheduler`), and is understood where somebody samples by it (`core.diffusion.schedulers`). A process that we have not is
a ValueError that names the scheduler or its option.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core.checkpoints.compvis_config import build_schedule, schedule_family
from core.diffusion.edm import EDM
from core.diffusion.flow import RectifiedFlow
from core.diffusion.kinds import scheduler
from core.diffusion.process import Process
from core.diffusion.schedule import NoiseSchedule, Parametrisation, with_betas
from core.diffusion.schedulers import SCHEDULERS, of_kind

Config = dict[str, Any]

PREDICTION_TYPES: dict[str, Parametrisation] = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
BETA_SCHEDULES = {"scaled_linear": "linear", "linear": "plain_linear", "squaredcos_cap_v2": "cosine"}

STABLE_DIFFUSION: Config = {"beta_start": 0.00085, "beta_end": 0.012}
DISTILLED: Config = {**STABLE_DIFFUSION, "beta_schedule": "scaled_linear"}
BETA_DEFAULTS: dict[str, Config] = {
    **dict.fromkeys(
        (
            "HeunDiscreteScheduler",
            "KDPM2DiscreteScheduler",
            "KDPM2AncestralDiscreteScheduler",
            "DPMSolverSDEScheduler",
        ),
        STABLE_DIFFUSION,
    ),
    "LCMScheduler": DISTILLED,
    "TCDScheduler": DISTILLED,
}
"""Where a scheduler has other betas than DDPM's if its file says none."""

BY_BETAS = ("DDIMParallelScheduler", "DDPMParallelScheduler", "DDIMInverseScheduler", "SASolverScheduler")
"""Schedulers of betas that `core.diffusion.schedulers` cannot sample by, whose process is known all the same."""

FLOWS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
EDMS = ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler")

BETAS_ONLY: Config = {"use_flow_sigmas": False, "use_dynamic_shifting": False}
FLOW_ONLY: Config = {
    "num_train_timesteps": 1000,  # a flow of ours is told 1000 u
    "use_dynamic_shifting": False,
    "invert_sigmas": False,
}
EDM_ONLY: Config = {"prediction_type": "epsilon"}


def schedule_from_diffusers(theirs: Mapping[str, Any], kind: str | None = None) -> Process:
    """A scheduler's configuration as a noise process, with the configuration beside it.

    kind: the scheduler's class, where something else than the configuration says it. Without any, betas are meant.
    Raises ValueError for a process that is none of ours.
    """
    name = kind or theirs.get("_class_name")
    if name is not None and not isinstance(name, str):
        raise ValueError(f"_class_name is {name!r:.60}, which is no scheduler's")
    if name in FLOWS:
        _require(name, theirs, FLOW_ONLY)
        process: Process = RectifiedFlow(shift=_number(theirs, "shift", 1.0))
    elif name in EDMS:
        _require(name, theirs, EDM_ONLY)
        given: dict[str, Any] = {
            each: _number(theirs, each, 0.0) for each in ("sigma_min", "sigma_max", "rho") if each in theirs
        }
        process = EDM(**given, sigma_data=_number(theirs, "sigma_data", 0.5))
    elif name is None or name in SCHEDULERS or name in BY_BETAS:
        process = _betas(name, theirs)
    else:
        known = ", ".join(each.removesuffix("Scheduler") for each in SCHEDULERS)
        raise ValueError(f"the noise process of a {name} is none that is known here; known are the schedulers {known}")
    options = {each: value for each, value in theirs.items() if not each.startswith("_") and each != "trained_betas"}
    return replace(process, scheduler=scheduler({"_class_name": name, **options})) if name else process  # type: ignore[type-var]


def _betas(name: str | None, theirs: Mapping[str, Any]) -> NoiseSchedule:
    _require(name or "a schedule", theirs, BETAS_ONLY)
    options = {**BETA_DEFAULTS.get(name or "", {}), **theirs}
    told = options.get("prediction_type", "epsilon" if options.get("predict_epsilon", True) else "sample")
    parametrisation = PREDICTION_TYPES.get(str(told))
    if parametrisation is None:
        raise ValueError(f"the option prediction_type = {told} is not supported, only {', '.join(PREDICTION_TYPES)}")
    if options.get("timestep_type") == "continuous" and parametrisation == "v":
        raise ValueError("the option timestep_type = continuous is not supported, only discrete")
    family = options.get("beta_schedule", "linear")
    if options.get("trained_betas") is not None:
        betas = options["trained_betas"]
        if not isinstance(betas, list | tuple):
            raise ValueError(f"the option trained_betas = {betas!r:.60} is no list of numbers")
        schedule = NoiseSchedule(tuple(of_kind("trained_betas", beta, 0.0) for beta in betas), parametrisation)
    elif not isinstance(family, str) or family not in BETA_SCHEDULES:
        raise ValueError(f"the option beta_schedule = {family} is not supported, only {', '.join(BETA_SCHEDULES)}")
    else:
        start, end = _number(options, "beta_start", 0.0001), _number(options, "beta_end", 0.02)
        timesteps = of_kind("num_train_timesteps", options.get("num_train_timesteps", 1000), 1000)
        schedule = build_schedule(BETA_SCHEDULES[family], timesteps, start, end)
    if of_kind("rescale_betas_zero_snr", options.get("rescale_betas_zero_snr", False), False):
        return schedule.with_zero_terminal_snr(parametrisation)
    return schedule.with_parametrisation(parametrisation)


def _number(theirs: Mapping[str, Any], option: str, default: float) -> float:
    return float(of_kind(option, theirs.get(option, default), default))


def _require(name: str, theirs: Mapping[str, Any], only: Mapping[str, Any]) -> None:
    for option, wanted in only.items():
        if theirs.get(option, wanted) != wanted:
            raise ValueError(f"{name}'s option {option} = {theirs[option]} is not supported, only {wanted}")


def schedule_to_diffusers(process: Process) -> Config:
    """A noise process as the configuration that it came with, or as one that says it: by betas DDIMScheduler's that makes it
    LDM's DDIM. How timesteps are drawn in training has no place there.

    Raises ValueError for a process of which diffusers has no scheduler.
    """
    theirs: Config = {name: list(value) if isinstance(value, tuple) else value for name, value in process.scheduler}
    if theirs and _same(process, theirs):
        return theirs
    if isinstance(process, RectifiedFlow) and process.parametrisation == "velocity":
        return {"_class_name": FLOWS[0], "num_train_timesteps": 1000, "shift": process.shift}
    if isinstance(process, EDM):
        own = {each: getattr(process, each) for each in ("sigma_min", "sigma_max", "sigma_data", "rho")}
        return {"_class_name": EDMS[0], "prediction_type": "epsilon", **own}
    return _betas_to_diffusers(with_betas(process, "a folder for diffusers"), theirs)


def _same(process: Process, theirs: Config) -> bool:
    """Whether a configuration still says this process."""
    try:
        return schedule_from_diffusers(theirs) == process
    except ValueError:
        return False


def _betas_to_diffusers(schedule: NoiseSchedule, theirs: Config) -> Config:
    predicted = {ours: name for name, ours in PREDICTION_TYPES.items()}
    names = {ours: name for name, ours in BETA_SCHEDULES.items()}
    config: Config = theirs or {
        "_class_name": "DDIMScheduler",
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "timestep_spacing": "leading",
    }
    config = {name: value for name, value in config.items() if name not in ("beta_start", "beta_end", "beta_schedule")}
    config |= {"num_train_timesteps": schedule.num_timesteps, "prediction_type": predicted[schedule.parametrisation]}
    if "rescale_betas_zero_snr" in config:
        config["rescale_betas_zero_snr"] = False
    family = schedule_family(schedule)
    if family is None:
        return config | {"trained_betas": list(schedule.betas)}
    return config | {"beta_schedule": names[family[0]], "beta_start": family[1], "beta_end": family[2]}
