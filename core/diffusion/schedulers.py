"""How a model is sampled, as its files say: diffusers' scheduler configurations (version 0.42) as solvers and levels of ours.

A process keeps such a configuration beside it (`Process.scheduler`), in the words of its folder, so that it is written again as it
was. `stored` makes a `Sampler` of it, for the folder's own solver or for another one, to which the options go over as with
diffusers' `from_config`. What cannot be expressed is a ValueError that names the option.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.diffusion.grids import End, Grid, Told
from core.diffusion.levels import Levels, Turns
from core.diffusion.process import Process, Spacing
from core.diffusion.schedule import NoiseSchedule, with_betas
from core.diffusion.sigmas import between
from core.diffusion.solvers import SOLVERS, Denoise, Draw
from core.diffusion.solvers.multistep import dpm_multistep
from core.diffusion.spacings import lcm

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Limit:
    """What schedulers do to an estimate of z0: clip it to ±most, or threshold it (Saharia et al. 2022, section 2.3).

    ratio: the quantile of each sample's magnitudes to clip it at, from 1 to `most`, and to divide it by; None to clip alone.
    """

    most: float = 1.0
    ratio: float | None = None

    def __post_init__(self) -> None:
        if not self.most > 0 or not 0 <= (self.ratio or 0) <= 1:
            of_ratio = "" if self.ratio is None else f" at the quantile {self.ratio}"
            raise ValueError(
                f"an estimate cannot be limited to {self.most}{of_ratio}; it takes a number above 0, and a quantile of 0 to 1"
            )

    def __call__(self, z0: Tensor) -> Tensor:
        """z0 (b, …), limited."""
        if self.ratio is None:
            return z0.clamp(-self.most, self.most)
        bound = torch.quantile(z0.flatten(1).abs().float(), self.ratio, dim=1).clamp(1, max(1.0, self.most))
        bound = bound.to(z0.dtype).reshape(-1, *[1] * (z0.ndim - 1))
        return z0.clamp(-bound, bound) / bound


@dataclass(frozen=True)
class Sampler:
    """A solver with its settings, and the levels that it visits.

    solver: its name in `SOLVERS`. spaced: (process, steps) -> levels. settings: of the solver's function. eta: if none is asked for.
    run: what stands for the solver's function, on z (b, …), with more settings than it has.
    """

    solver: str
    spaced: Callable[[Any, int], Levels]
    settings: Config = field(default_factory=dict)
    eta: float | None = None
    run: Callable[..., Tensor] | None = None

    def levels(self, process: Process, steps: int) -> Levels:
        """The levels of `steps` steps. Raises ValueError where there are none."""
        return self.spaced(process, steps)

    def __call__(
        self,
        denoise: Denoise,
        z: Tensor,
        levels: Levels,
        *,
        eta: float | None = None,
        draw: Draw = torch.randn_like,
        turns: Turns = range,
    ) -> Tensor:
        """Run it on z, (b, …), as `core.diffusion.solvers.Solver` does."""
        solver = SOLVERS[self.solver]
        solver = replace(solver, function=self.run) if self.run else solver
        return solver(denoise, z, levels, eta=self.eta if eta is None else eta, draw=draw, turns=turns, **self.settings)


def stored(process: Process, solver: str | None = None) -> Sampler:
    """The sampler that the process' files ask for; with `solver`, that solver where their options put it.

    A process without a configuration is sampled as people's programs do: by DDIM where diffusers' looks are, at zero terminal SNR
    "trailing"; rectified flow and EDM by Euler. Raises ValueError naming an option that cannot be expressed.
    """
    config: dict[str, Any] = dict(process.scheduler)
    if not config.get("_class_name"):
        return usual(process, solver)
    if solver is not None:
        if solver not in CLASSES or not isinstance(process, NoiseSchedule):
            return usual(process, solver)
        name, asked = CLASSES[solver]
        config |= {"_class_name": name, **asked}
    name = config["_class_name"]
    if name not in SCHEDULERS:
        raise ValueError(f"the scheduler {name} is none that is known here; choose a solver instead of 'as stored'")
    return SCHEDULERS[name](Options(name, config))


def usual(process: Process, solver: str | None = None) -> Sampler:
    """A solver, and where people's programs look with it: `USUAL`, or what the process says."""
    chosen = solver or ("ddim" if isinstance(process, NoiseSchedule) else "euler")
    own = SOLVERS[chosen]
    spacing: Spacing | None = None
    if isinstance(process, NoiseSchedule):
        spacing = "trailing" if process.level(process.last).signal == 0 else USUAL.get(own.spacing, own.spacing)
    return Sampler(chosen, lambda process, steps: own.levels(process, steps, spacing))


USUAL: dict[Spacing, Spacing] = {"leading": "diffusers", "linspace": "k_diffusion"}
"""Instead of spacings of version 0.1, which are nobody else's where steps do not divide the schedule."""


def of_kind(name: str, value: Any, default: Any) -> Any:
    """The value of an option, which is of the kind of its default: a truth value, a whole number, a number, or anything for others.

    Raises ValueError naming the option where it is not.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, bool):
        right, kind = isinstance(value, bool | None), "true or false"
    elif isinstance(default, int):
        right, kind = number and float(value).is_integer(), "a whole number"
    else:
        right, kind = number or not isinstance(default, float), "a number"
    if not right:
        raise ValueError(
            f"the option {name} = {value!r:.60} is not {kind}; get the file again, or put that right in it"
        )
    return int(value) if kind == "a whole number" else value


class Options:
    """A scheduler's options, with its own defaults for those that its file leaves out."""

    def __init__(self, scheduler: str, given: Config) -> None:
        self.scheduler = scheduler
        self._given = {**DEFAULTS, **DEFAULTS_OF.get(scheduler, {}), **given}

    def __getitem__(self, name: str) -> Any:
        """Its value. Raises ValueError naming the option where that is of another kind than the default."""
        return of_kind(name, self._given[name], DEFAULTS[name])

    def require(self, **only: Any) -> None:
        """Raise ValueError naming the option that has another value than the only one there is."""
        for name, wanted in only.items():
            allowed = wanted if isinstance(wanted, tuple) else (wanted,)
            if self[name] not in allowed:
                self.refuse(name, " or ".join(map(repr, allowed)))

    def refuse(self, name: str, instead: str) -> None:
        """Raise the ValueError."""
        raise ValueError(f"{self.scheduler}'s option {name} = {self[name]!r} is not supported, only {instead}")

    def limit(self, clips: bool = False) -> Limit | None:
        """Of thresholding and, for those that have it, clip_sample."""
        if self["thresholding"]:
            return Limit(self["sample_max_value"], self["dynamic_thresholding_ratio"])
        return Limit(self["clip_sample_range"]) if clips and self["clip_sample"] else None

    def sigmas(self) -> dict[str, Any]:
        """Of use_karras_sigmas and its like, as arguments of a `Grid`."""
        asked = [name for name in ("karras", "exponential", "beta") if self[f"use_{name}_sigmas"]]
        if len(asked) > 1:
            self.refuse(f"use_{asked[1]}_sigmas", f"one of its kind, and use_{asked[0]}_sigmas is set")
        return {"sigmas": asked[0] if asked else None}

    def even(self) -> dict[str, Any]:
        """Of timestep_spacing and steps_offset, as arguments of a `Grid`."""
        self.require(timestep_spacing=("leading", "linspace", "trailing"))
        return {"spacing": self["timestep_spacing"], "offset": self["steps_offset"]}


DEFAULTS: Config = {
    "timestep_spacing": "linspace",
    "steps_offset": 0,
    "set_alpha_to_one": True,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "thresholding": False,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "use_lu_lambdas": False,
    "sigma_min": None,
    "sigma_max": None,
    "interpolation_type": "linear",
    "final_sigmas_type": "zero",
    "solver_order": 2,
    "solver_type": "midpoint",
    "algorithm_type": "dpmsolver++",
    "lower_order_final": True,
    "euler_at_final": False,
    "lambda_min_clipped": -float("inf"),
    "variance_type": None,
    "prediction_type": "epsilon",
    "beta_schedule": "linear",
    "skip_prk_steps": False,
    "predict_x0": True,
    "disable_corrector": (),
    "solver_p": None,
    "original_inference_steps": 50,
    "timestep_scaling": 10.0,
    "use_dynamic_shifting": False,
    "shift_terminal": None,
    "invert_sigmas": False,
    "stochastic_sampling": False,
    "sigma_schedule": "karras",
}
"""What most of diffusers' schedulers take an option for that their file leaves out."""

LEADING: dict[str, Any] = {"timestep_spacing": "leading"}
DEFAULTS_OF: dict[str, Config] = {
    "DDIMScheduler": LEADING | {"clip_sample": True},
    "DDPMScheduler": LEADING | {"clip_sample": True, "variance_type": "fixed_small"},
    "PNDMScheduler": LEADING | {"set_alpha_to_one": False},
    "DEISMultistepScheduler": {"algorithm_type": "deis", "solver_type": "logrho"},
    "DPMSolverSinglestepScheduler": {"lower_order_final": False},
    "UniPCMultistepScheduler": {"solver_type": "bh2"},
}
"""Where a scheduler has another default."""


# --- schedulers of betas: options -> sampler --------------------------------------------------------------------------


def _gridded(grid: Grid, limit: Limit | None = None) -> Callable[[Any, int], Levels]:
    return lambda process, steps: grid.levels(with_betas(process, "a scheduler of betas"), steps, limit)


def _ddim(o: Options) -> Sampler:
    end: End = "z0" if o["set_alpha_to_one"] else "t0"
    return Sampler("ddim", _gridded(Grid(**o.even(), whole=True, strided=True, end=end), o.limit(clips=True)))


def _ddpm(o: Options) -> Sampler:
    o.require(variance_type=("fixed_small", "fixed_small_log"))
    return Sampler("ddpm", _gridded(Grid(**o.even(), whole=True), o.limit(clips=True)))


def _pndm(o: Options) -> Sampler:
    o.require(skip_prk_steps=True, timestep_spacing="leading", prediction_type="epsilon")
    end: End = "z0" if o["set_alpha_to_one"] else "t0"
    return Sampler("plms", _gridded(Grid(**o.even(), whole=True, end=end)))


def _in_sigma(solver: str) -> Callable[[Options], Sampler]:
    """Those that came from k-diffusion."""

    def sampler(o: Options) -> Sampler:
        o.require(interpolation_type="linear", final_sigmas_type=("zero", "sigma_min"))
        given = [name for name in ("sigma_min", "sigma_max") if solver == "euler" and o[name] is not None]
        ends = {name: of_kind(name, o[name], 0.0) for name in given}
        respaced = {} if solver == "euler_ancestral" else o.sigmas()
        told: Told = "rounded" if solver in ("dpm2", "dpm2_ancestral") and respaced["sigmas"] == "karras" else "exact"
        end: End = "z0" if o["final_sigmas_type"] == "zero" or solver != "euler" else "sigma_min"
        signalless = o["timestep_spacing"] != "leading"
        grid = Grid(**o.even(), **respaced, **ends, told=told, end=end, signalless=signalless)
        return Sampler(solver, _gridded(grid, o.limit(clips=solver == "heun")))

    return sampler


def _spared(o: Options, cosine: bool = False, **more: Any) -> Grid:
    """The levels of the DPM-Solver family."""
    o.require(lambda_min_clipped=-float("inf"), use_lu_lambdas=False, final_sigmas_type=("zero", "sigma_min"))
    respaced = o.sigmas()
    told = "rounded" if respaced["sigmas"] == "karras" and not cosine else "truncated"
    end = "z0" if o["final_sigmas_type"] == "zero" else "t0"
    settings = {"spare": True, "whole": True, "of_table": True, "told": told, "end": end}
    return Grid(**(o.even() | respaced | settings | more))


def _dpm(o: Options) -> Sampler:
    o.require(algorithm_type=("dpmsolver++", "sde-dpmsolver++", "dpmsolver"), solver_type=("midpoint", "heun"))
    o.require(solver_order=(1, 2, 3), variance_type=None)
    sde = o["algorithm_type"] == "sde-dpmsolver++"
    if sde:
        o.require(solver_order=(1, 2))  # its third order has another sign than k-diffusion's and the paper's
    settings = {
        "order": o["solver_order"],
        "predicts": "eps" if o["algorithm_type"] == "dpmsolver" else "z0",
        "slopes": o["solver_type"],
        "lower_final": o["lower_order_final"],
        "euler_final": o["euler_at_final"],
    }
    solver = "dpmpp_2m_sde" if sde else "dpmpp_2m" if o["solver_order"] < 3 else "dpmpp_3m"
    grid = _spared(o, cosine=o["beta_schedule"] == "squaredcos_cap_v2")
    return Sampler(solver, _gridded(grid, o.limit()), settings, 1.0 if sde else None, run=dpm_multistep)


def _singlestep(o: Options) -> Sampler:
    o.require(algorithm_type="dpmsolver++", solver_order=2, solver_type=("midpoint", "heun"), variance_type=None)
    o.require(final_sigmas_type="zero")
    grid = _spared(o, spacing="linspace", offset=0)
    return Sampler("dpmpp_2s", _gridded(grid, o.limit()), {"slopes": o["solver_type"]})


def _deis(o: Options) -> Sampler:
    o.require(algorithm_type="deis", solver_type="logrho", solver_order=(1, 2, 3))
    end = "last" if o.sigmas()["sigmas"] else "t0"
    settings = {"order": o["solver_order"], "lower_final": o["lower_order_final"]}
    return Sampler("deis", _gridded(_spared(o, end=end), o.limit()), settings)


def _unipc(o: Options) -> Sampler:
    o.require(predict_x0=True, solver_type="bh2", lower_order_final=True, disable_corrector=((), []), solver_p=None)
    o.require(sigma_min=None, sigma_max=None, solver_order=(1, 2, 3))
    if o.sigmas()["sigmas"]:
        o.require(final_sigmas_type="zero")
    return Sampler("unipc", _gridded(_spared(o), o.limit()), {"order": o["solver_order"]})


def _distilled(solver: str) -> Callable[[Options], Sampler]:
    def sampler(o: Options) -> Sampler:
        distilled, end = o["original_inference_steps"], "z0" if solver == "lcm" else "t0"
        if distilled < 1:
            o.refuse("original_inference_steps", "1 and more")

        def spaced(process: Process, steps: int) -> Levels:
            schedule = with_betas(process, f"the solver {solver!r}")
            stop = schedule.level_at(0.0) if end == "z0" else schedule.level(0)
            return Levels(schedule, (*lcm(schedule, steps, distilled), stop), limit=limit)

        limit = o.limit(clips=True) if solver == "lcm" else None
        return Sampler(solver, spaced, {"timestep_scaling": o["timestep_scaling"]} if solver == "lcm" else {})

    return sampler


# --- the other processes ----------------------------------------------------------------------------------------------


def _flow(solver: str) -> Callable[[Options], Sampler]:
    def sampler(o: Options) -> Sampler:
        o.require(stochastic_sampling=False, invert_sigmas=False, shift_terminal=None, use_dynamic_shifting=False)
        kind = o.sigmas()["sigmas"] if solver == "euler" else None

        def spaced(process: Process, steps: int) -> Levels:
            least = process.timestep_at(1 / 1000) / process.last  # the shift is there twice, as in diffusers
            timesteps = [process.timestep_at(share) for share in np.linspace(1, least, steps).tolist()]
            if kind:
                ends = timesteps[0] / process.last, timesteps[-1] / process.last
                timesteps = [process.last * u for u in between(kind, *ends, steps)]
            return Levels(process, (*map(process.level, timesteps), process.level_at(0.0)))

        return Sampler(solver, spaced)

    return sampler


def _edm(solver: str) -> Callable[[Options], Sampler]:
    def sampler(o: Options) -> Sampler:
        o.require(final_sigmas_type="zero", sigma_schedule=("karras", "exponential"))
        spacing: Spacing = "linspace" if o["sigma_schedule"] == "karras" else "exponential"

        def spaced(process: Process, steps: int) -> Levels:
            levels = Levels.of(process, steps, spacing)
            start = levels.start.signal * math.hypot(1, levels.start.sigma)  # of unit variance in x, as in diffusers
            return replace(levels, limit=o.limit(), deviation=start)

        if solver == "euler":
            return Sampler(solver, spaced)
        return replace(_dpm(o), spaced=spaced)

    return sampler


SCHEDULERS: dict[str, Callable[[Options], Sampler]] = {
    "DDIMScheduler": _ddim,
    "DDPMScheduler": _ddpm,
    "PNDMScheduler": _pndm,
    "LMSDiscreteScheduler": _in_sigma("lms"),
    "EulerDiscreteScheduler": _in_sigma("euler"),
    "EulerAncestralDiscreteScheduler": _in_sigma("euler_ancestral"),
    "HeunDiscreteScheduler": _in_sigma("heun"),
    "KDPM2DiscreteScheduler": _in_sigma("dpm2"),
    "KDPM2AncestralDiscreteScheduler": _in_sigma("dpm2_ancestral"),
    "DPMSolverSDEScheduler": _in_sigma("dpmpp_sde"),
    "DPMSolverMultistepScheduler": _dpm,
    "DPMSolverSinglestepScheduler": _singlestep,
    "DEISMultistepScheduler": _deis,
    "UniPCMultistepScheduler": _unipc,
    "LCMScheduler": _distilled("lcm"),
    "TCDScheduler": _distilled("tcd"),
    "FlowMatchEulerDiscreteScheduler": _flow("euler"),
    "FlowMatchHeunDiscreteScheduler": _flow("heun"),
    "EDMEulerScheduler": _edm("euler"),
    "EDMDPMSolverMultistepScheduler": _edm("dpmpp_2m"),
}
"""diffusers' schedulers that are understood, by the names of their classes."""

_MULTISTEP: Config = {"solver_type": "midpoint", "lower_order_final": True, "euler_at_final": False}
CLASSES: dict[str, tuple[str, Config]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {"variance_type": "fixed_small"}),
    "plms": ("PNDMScheduler", {"skip_prk_steps": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpm2": ("KDPM2DiscreteScheduler", {}),
    "dpm2_ancestral": ("KDPM2AncestralDiscreteScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "dpmpp_sde": ("DPMSolverSDEScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {**_MULTISTEP, "algorithm_type": "dpmsolver++", "solver_order": 2}),
    "dpmpp_3m": ("DPMSolverMultistepScheduler", {**_MULTISTEP, "algorithm_type": "dpmsolver++", "solver_order": 3}),
    "dpmpp_2m_sde": (
        "DPMSolverMultistepScheduler",
        {**_MULTISTEP, "algorithm_type": "sde-dpmsolver++", "solver_order": 2},
    ),
    "dpmpp_2s": (
        "DPMSolverSinglestepScheduler",
        {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint", "final_sigmas_type": "zero"},
    ),
    "deis": ("DEISMultistepScheduler", {"algorithm_type": "deis", "solver_type": "logrho", "solver_order": 2}),
    "unipc": (
        "UniPCMultistepScheduler",
        {"solver_type": "bh2", "solver_order": 2, "predict_x0": True, "lower_order_final": True},
    ),
    "lcm": ("LCMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
}
"""The class of diffusers for a solver of ours, and the options that make it that solver."""
