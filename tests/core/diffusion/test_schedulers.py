"""diffusers' scheduler configurations sampled here, against diffusers; what cannot be is refused by the option's name."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import diffusers
import pytest
import torch
from scheduler_parity import CONFIGS, LEADING, NOISE, PROCESSES, SD, V, configuration, distance, theirs
from solver_oracles import seeded
from toy_denoisers import two_modes

from core.checkpoints.diffusers_scheduler import schedule_from_diffusers, schedule_to_diffusers
from core.diffusion.kinds import from_dict
from core.diffusion.levels import Levels
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.schedulers import CLASSES, SCHEDULERS, stored, usual
from core.diffusion.solvers import SOLVERS
from tests.effort import cases

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
TOLERANCE = 1e-4
LOOSE = 3e-4
"""Where diffusers computes with large sigmas in float32: of EDM, and 4096 at zero terminal SNR."""

EVERY = [(name, {**SD, **config}) for name, config in CONFIGS] + PROCESSES


def named(case: tuple[str, dict[str, Any]]) -> str:
    options = [f"{name}={value}" for name, value in case[1].items() if name not in SD]
    return ", ".join([case[0], *options])


def rounded_by_chance(name: str, config: dict[str, Any]) -> bool:
    """diffusers cuts timesteps such as 998.99999 of float32 to whole ones, at one number of steps so and at another so."""
    cut = config.get("use_exponential_sigmas") or config.get("use_beta_sigmas")
    return bool(cut) and name in ("DPMSolverMultistep", "DEISMultistep", "UniPCMultistep")


@pytest.mark.parametrize("case", EVERY, ids=map(named, EVERY))
def test_a_configuration_is_sampled_as_diffusers_does(case: tuple[str, dict[str, Any]]) -> None:
    name, config = case
    counts = (
        (8,) if name in ("LCM", "TCD") else (30,) if rounded_by_chance(*case) else cases((7,), (3, 7, 20, 30, 33, 50))
    )
    for steps in counts:
        large = name.startswith("EDM") or config.get("rescale_betas_zero_snr")
        assert distance(name, config, steps) <= (LOOSE if large else TOLERANCE), steps


@pytest.mark.parametrize("name", ["DDIM", "DDPM", "PNDM", "EulerDiscrete", "DPMSolverMultistep", "UniPCMultistep"])
@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
def test_looks_are_those_of_diffusers_at_every_number_of_steps(name: str, spacing: str) -> None:
    config = {**SD, "timestep_spacing": spacing, "steps_offset": 1, "clip_sample": False, "skip_prk_steps": True}
    if name == "PNDM" and spacing != "leading":
        pytest.skip("refused")
    kind = getattr(diffusers, f"{name}Scheduler")
    scheduler = kind(
        **{key: value for key, value in config.items() if key in inspect.signature(kind.__init__).parameters}
    )
    process = schedule_from_diffusers(configuration(scheduler))
    sampler = stored(process)
    for steps in range(2, 61):
        scheduler.set_timesteps(steps)
        told = list(dict.fromkeys(scheduler.timesteps.tolist()))  # PNDM looks at one of them twice
        levels = sampler.levels(process, steps)
        assert [level.t for level in levels.levels[: len(told)]] == pytest.approx(told, abs=1e-3), steps


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("PNDM", {}, "skip_prk_steps"),
        ("PNDM", {"skip_prk_steps": True, **V}, "prediction_type"),
        ("DDPM", {"variance_type": "fixed_large"}, "variance_type"),
        ("DDPM", {"variance_type": "learned_range"}, "variance_type"),
        ("EulerDiscrete", {"interpolation_type": "log_linear"}, "interpolation_type"),
        ("DPMSolverMultistep", {"lambda_min_clipped": -5.1}, "lambda_min_clipped"),
        ("DPMSolverMultistep", {"use_lu_lambdas": True}, "use_lu_lambdas"),
        ("DPMSolverMultistep", {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}, "solver_order"),
        ("DPMSolverSinglestep", {"solver_order": 3}, "solver_order"),
        ("UniPCMultistep", {"solver_type": "bh1"}, "solver_type"),
        ("UniPCMultistep", {"disable_corrector": [0]}, "disable_corrector"),
        ("SASolver", {}, "SASolverScheduler"),
        ("FlowMatchEulerDiscrete", {"stochastic_sampling": True}, "stochastic_sampling"),
        ("FlowMatchEulerDiscrete", {"shift_terminal": 0.1}, "shift_terminal"),
        ("EDMEuler", {"final_sigmas_type": "sigma_min"}, "final_sigmas_type"),
    ],
)
def test_what_no_solver_here_does_is_refused_by_name_where_it_is_sampled(
    name: str, options: dict[str, Any], said: str
) -> None:
    process = schedule_from_diffusers(configuration(theirs(name, options)))
    with pytest.raises(ValueError, match=said):
        stored(process)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("CosineDPMSolverMultistep", {}, "CosineDPMSolverMultistepScheduler"),
        ("CMStochasticIterative", {}, "CMStochasticIterativeScheduler"),
        ("ScoreSdeVe", {}, "ScoreSdeVeScheduler"),
        ("DDPMWuerstchen", {}, "DDPMWuerstchenScheduler"),
        ("VQDiffusion", {"num_vec_classes": 8}, "VQDiffusionScheduler"),
        ("UnCLIP", {}, "UnCLIPScheduler"),
        ("IPNDM", {}, "IPNDMScheduler"),
        ("FlowMatchEulerDiscrete", {"use_dynamic_shifting": True}, "use_dynamic_shifting"),
        ("FlowMatchEulerDiscrete", {"num_train_timesteps": 500}, "num_train_timesteps"),
        ("UniPCMultistep", {"use_flow_sigmas": True}, "use_flow_sigmas"),
        ("EDMEuler", {"prediction_type": "v_prediction"}, "prediction_type"),
        ("EulerDiscrete", {"timestep_type": "continuous", **V}, "timestep_type"),
        ("DDPM", {"beta_schedule": "sigmoid"}, "beta_schedule"),
        ("DPMSolverMultistep", {"prediction_type": "flow_prediction"}, "prediction_type"),
    ],
)
def test_a_noise_process_that_is_none_of_ours_is_refused_by_name(name: str, options: dict[str, Any], said: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = configuration(theirs(name, options))
    with pytest.raises(ValueError, match=said):
        schedule_from_diffusers(config)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("DDIM", "steps_offset", None), ("DDIM", "num_train_timesteps", "1000"), ("DDIM", "beta_start", "x"),
        ("DDIM", "trained_betas", 0.1), ("DDIM", "trained_betas", [0.1, "x"]), ("DDIM", "beta_schedule", ["linear"]),
        ("DDIM", "prediction_type", ["epsilon"]), ("DDIM", "clip_sample", "no"), ("DDIM", "clip_sample_range", None),
        ("DDIM", "rescale_betas_zero_snr", "x"), ("DPMSolverMultistep", "thresholding", "yes"),
        ("DPMSolverMultistep", "solver_order", "2"), ("EulerDiscrete", "use_karras_sigmas", "yes"),
        ("EulerDiscrete", "sigma_min", "x"), ("LCM", "original_inference_steps", 0), ("LCM", "timestep_scaling", "x"),
        ("FlowMatchEulerDiscrete", "shift", None), ("EDMEuler", "sigma_data", None),
    ],
)  # fmt: skip
def test_an_option_of_another_kind_is_refused_by_name(name: str, option: str, value: Any) -> None:
    """Whatever a file holds: where it is read, or where it is sampled by."""

    def levels() -> Levels:
        process = schedule_from_diffusers({"_class_name": f"{name}Scheduler", option: value})
        return stored(process).levels(process, 4)

    with pytest.raises(ValueError, match=option):
        levels()


@pytest.mark.parametrize("order", [1, 2.0, 3])
def test_whole_numbers_may_be_written_as_fractions(order: float) -> None:
    process = schedule_from_diffusers({"_class_name": "DPMSolverMultistepScheduler", **SD, "solver_order": order})
    sampler = stored(process)
    levels = sampler.levels(process, 4)
    assert torch.isfinite(sampler(two_modes(process), levels.prior(NOISE), levels)).all()


@pytest.mark.parametrize("limits", [{"dynamic_thresholding_ratio": 2}, {"sample_max_value": -1}])
def test_limits_that_are_none_are_refused(limits: dict[str, Any]) -> None:
    process = schedule_from_diffusers({"_class_name": "DDIMScheduler", "thresholding": True, **limits})
    with pytest.raises(ValueError, match="cannot be limited"):
        stored(process)
    contrary = {"sigma_min": 5, "sigma_max": 1, "use_karras_sigmas": True}
    process = schedule_from_diffusers({"_class_name": "EulerDiscreteScheduler", **contrary})
    with pytest.raises(ValueError, match="sigma_min must lie between 0 and sigma_max, not 5 and 1"):
        stored(process).levels(process, 4)


def test_what_was_loaded_is_written_again_and_kept_in_our_files() -> None:
    for name, config in dict(EVERY).items():  # the last of each
        written = configuration(theirs(name, config))
        process = schedule_from_diffusers(written)
        again = schedule_to_diffusers(from_dict(process.to_dict()))
        kept = {key: value for key, value in written.items() if key[0] != "_" or key == "_class_name"}
        kept = {key: value for key, value in kept.items() if value not in (-float("inf"),) and key != "trained_betas"}
        assert {key: list(value) if isinstance(value, tuple) else value for key, value in kept.items()} == again


def test_a_changed_process_is_written_as_it_is_now() -> None:
    process = schedule_from_diffusers(configuration(theirs("EulerDiscrete", {**SD, **LEADING})))
    assert isinstance(process, NoiseSchedule)
    config = schedule_to_diffusers(process.with_parametrisation("v"))
    assert config["_class_name"] == "EulerDiscreteScheduler"
    assert config["prediction_type"] == "v_prediction"
    assert config["timestep_spacing"] == "leading"
    assert schedule_from_diffusers(config) == process.with_parametrisation("v")


@pytest.mark.parametrize("solver", sorted(CLASSES))
def test_another_solver_looks_where_diffusers_from_config_puts_it(solver: str) -> None:
    written = configuration(theirs("DDIM", {**SD, **LEADING, "set_alpha_to_one": False, "clip_sample": False}))
    process = schedule_from_diffusers(written)
    name, asked = CLASSES[solver]
    other = getattr(diffusers, name).from_config(written, **asked)
    other.set_timesteps(10)
    sampler = stored(process, solver)
    told = set(other.timesteps.tolist())
    assert sampler.solver == solver
    assert all(min(abs(level.t - t) for t in told) < 1e-3 for level in sampler.levels(process, 10).levels[:-1])
    assert name in SCHEDULERS


def test_without_a_configuration_people_get_what_they_know() -> None:
    schedule = NoiseSchedule.linear()
    for solver in (None, *(name for name in SOLVERS if name != "ddim_inversion")):
        sampler = usual(schedule, solver)
        levels = sampler.levels(schedule, 8)
        result = sampler(two_modes(schedule), levels.prior(NOISE), levels, draw=seeded())
        assert torch.isfinite(result).all()
    assert [level.t for level in usual(schedule).levels(schedule, 30).levels[:-1]] == [i * 33 + 1 for i in range(30)][
        ::-1
    ]
    zero = schedule.with_zero_terminal_snr("v")
    assert usual(zero).levels(zero, 30).start.t == 999
