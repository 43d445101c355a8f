"""The oracle of each solver and the distance to it: data for the tests and for docs/solvers.md (run me to write it).

python tests/core/diffusion/solver_parity.py
"""

import inspect
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).parents[3]))
from solver_oracles import (
    BrownianHalves,
    run_diffusers,
    run_dpmpp_2s_ancestral,
    run_dpmpp_3m_sde,
    run_ipndm,
    seeded,
)
from toy_denoisers import SHAPE, two_modes

from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import SOLVERS, sample
from core.diffusion.spacings import BY_TIMESTEP, SPACINGS

TABLE = Path(__file__).parents[3] / "docs" / "solvers.md"
NOISE = seeded(1)(torch.empty(SHAPE))
LDM = {"clip_sample": False, "steps_offset": 1, "set_alpha_to_one": False}
PLAIN = {"timestep_spacing": "trailing"}
KARRAS = {"timestep_spacing": "linspace", "use_karras_sigmas": True}
EXPONENTIAL = {"timestep_spacing": "linspace", "use_exponential_sigmas": True}
DRAWS = {"step": {"generator": True}}


def brownian(scheduler):
    scheduler.noise_sampler = BrownianHalves(NOISE)


def trailing(scheduler):
    """Where a scheduler without that spacing would look with it."""
    steps, total = scheduler.num_inference_steps, scheduler.config.num_train_timesteps
    scheduler.timesteps = torch.tensor([round(total - i * total / steps) - 1 for i in range(steps)])
    alphas_cumprod = scheduler.alphas_cumprod[scheduler.timesteps]
    scheduler.sigmas = torch.cat([((1 - alphas_cumprod) / alphas_cumprod).sqrt(), torch.zeros(1)])


class Case(NamedTuple):
    """A solver of ours and somebody else's, with the settings under which they are the same."""

    solver: str
    oracle: str
    spacing: str
    steps: int
    theirs: Callable[..., torch.Tensor]
    eta: float | None = None
    parametrisations: tuple[str, ...] = ("eps", "v", "x0")

    def run(self, schedule, denoise):
        """Both results from the same noise: (ours, theirs)."""
        ours = sample(
            denoise, NOISE, schedule, self.solver, steps=self.steps, spacing=self.spacing, eta=self.eta, draw=seeded()
        )
        return ours, self.theirs(schedule, denoise, NOISE, self.steps)


def diffusers_case(
    solver, scheduler, spacing="trailing", steps=30, eta=None, parametrisations=("eps", "v", "x0"), **config
):
    def theirs(schedule, denoise, z, steps):
        return run_diffusers(scheduler, schedule, denoise, z, steps, **config)

    return Case(solver, f"diffusers {scheduler}", spacing, steps, theirs, eta, parametrisations)


NOT_X0 = ("eps", "v")  # diffusers has these schedulers for no other

CASES = [
    diffusers_case("ddim", "DDIMScheduler", "leading", 50, **LDM),
    diffusers_case("ddim", "DDIMScheduler", "leading", 50, eta=1.0, step={"eta": 1.0, "generator": True}, **LDM),
    diffusers_case("ddpm", "DDPMScheduler", "leading", 50, clip_sample=False, steps_offset=1, **DRAWS),
    # PNDMScheduler multi-steps in what the network predicts, latent-diffusion's PLMS in eps
    diffusers_case(
        "plms", "PNDMScheduler", "leading", 50, parametrisations=("eps",), skip_prk_steps=True, steps_offset=1
    ),
    diffusers_case("euler", "EulerDiscreteScheduler", **PLAIN),
    diffusers_case("euler", "EulerDiscreteScheduler", "karras", **KARRAS),
    diffusers_case("euler", "EulerDiscreteScheduler", "exponential", **EXPONENTIAL),
    diffusers_case("euler_ancestral", "EulerAncestralDiscreteScheduler", parametrisations=NOT_X0, **PLAIN, **DRAWS),
    diffusers_case("heun", "HeunDiscreteScheduler", **PLAIN),
    diffusers_case("heun", "HeunDiscreteScheduler", "karras", **KARRAS),
    diffusers_case("dpm2", "KDPM2DiscreteScheduler", parametrisations=NOT_X0, **PLAIN),
    diffusers_case("lms", "LMSDiscreteScheduler", **PLAIN),
    diffusers_case("lms", "LMSDiscreteScheduler", "karras", **KARRAS),
    Case(
        "dpmpp_2s_ancestral",
        "k-diffusion's algorithm, written out",
        "karras",
        30,
        run_dpmpp_2s_ancestral,
        parametrisations=("eps",),
    ),
    diffusers_case("dpmpp_2m", "DPMSolverMultistepScheduler", **PLAIN),
    diffusers_case("dpmpp_sde", "DPMSolverSDEScheduler", parametrisations=NOT_X0, setup=brownian, **PLAIN),
    diffusers_case("dpmpp_sde", "DPMSolverSDEScheduler", "karras", parametrisations=NOT_X0, setup=brownian, **KARRAS),
    diffusers_case("dpmpp_2m_sde", "DPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++", **PLAIN, **DRAWS),
    diffusers_case("dpmpp_3m", "DPMSolverMultistepScheduler", solver_order=3, **PLAIN),
    Case(
        "dpmpp_3m_sde",
        "k-diffusion's algorithm, written out",
        "karras",
        30,
        run_dpmpp_3m_sde,
        parametrisations=("eps",),
    ),
    diffusers_case("dpmpp_2s", "DPMSolverSinglestepScheduler", setup=trailing),
    diffusers_case("deis", "DEISMultistepScheduler", **PLAIN),
    diffusers_case("dpm2_ancestral", "KDPM2AncestralDiscreteScheduler", parametrisations=NOT_X0, **PLAIN, **DRAWS),
    diffusers_case("tcd", "TCDScheduler", "lcm", 8, **DRAWS),
    Case("ipndm", "diffusers IPNDMScheduler", "trailing", 30, run_ipndm),
    diffusers_case("sa_solver", "SASolverScheduler", **PLAIN, **DRAWS),
    diffusers_case("unipc", "UniPCMultistepScheduler", **PLAIN),
    diffusers_case("lcm", "LCMScheduler", "lcm", 8, **DRAWS),
    diffusers_case("ddim_inversion", "DDIMInverseScheduler", "leading", 50, **LDM),
]


BY_HAND = [
    "",
    "## Levels by hand, and churn",
    "",
    "`sigmas` of the node `sample` is a list of noise levels instead of steps and spacing, noisiest first, 0 last to end without",
    "noise: noise / signal by betas and in EDM, u in a flow, as k-diffusion, diffusers (`sigmas=`) and ComfyUI have them. `solver_sigmas`,",
    "`timestep_sigmas` (diffusers' `timesteps=`), `karras_sigmas`, `exponential_sigmas` and `beta_sigmas` make such lists,",
    "`split_sigmas` and `shift_sigmas` change them; in Python it is `Levels.by_hand(process, sigmas)`. The denoiser is told each sigma's own",
    "timestep, not a rounded one. A list that begins below the most noise begins with the noise alone, as in k-diffusion.",
    "",
    "`churn` of `sample` makes z a little noisier before each step of `euler`, `heun` and `dpm2` (Karras et al. 2022, algorithm 2):",
    "S_churn, S_tmin, S_tmax and S_noise, as k-diffusion and ComfyUI compute it. diffusers' Euler has the same numbers and does not ask",
    "the denoiser again after the noise, which is neither the paper's algorithm nor done here. Flows have no churn.",
]


def table() -> str:
    """docs/solvers.md: what each solver is, from SOLVERS, and its largest distance from its oracles, measured now."""
    schedule = NoiseSchedule.linear()
    denoise = two_modes(schedule)
    lines = [
        "# Solvers",
        "",
        "Generated by `python tests/core/diffusion/solver_parity.py`; do not edit.",
        "",
        "A solver is a pure function of a denoiser and the noise levels it visits:",
        "",
        "```python",
        "from core.diffusion.schedule import NoiseSchedule",
        "from core.diffusion.solvers import SOLVERS, sample",
        "",
        "schedule = NoiseSchedule.linear()",
        'z = sample(denoise, noise, schedule, "dpmpp_2m", steps=20)  # denoise(z, t) -> prediction',
        "",
        'ddim = SOLVERS["ddim"]  # the same in two steps; image-to-image keeps the last part of the levels',
        "levels = ddim.levels(schedule, steps=50).last_part(strength=0.6)",
        "z = ddim(denoise, schedule.add_noise(z0, noise, levels.start.t), levels, eta=0.0)",
        "```",
        "",
        "*Order* is that of convergence without added noise, after the first steps of a multi-step method.",
        "*Evaluations* are those of the denoiser a step (PLMS takes one more at its first step; two-stage methods one",
        "less at a last step that ends without noise). *Levels* are the default spacing and where the last step ends:",
        "`z0` is no noise at all, `t0` the schedule's first level, as in latent-diffusion. *Parity* is the largest",
        "difference from the oracle in one element of z, from the same noise, over the given steps of LDM's linear",
        "schedule, in float32.",
        "",
        "| name | order | evaluations | noise | levels | source | oracle | steps | parity |",
        "|-|-|-|-|-|-|-|-|-|",
    ]
    for name, solver in SOLVERS.items():
        noise = "no" if not solver.stochastic else "yes" if solver.eta is None else f"eta, default {solver.eta:g}"
        cases = [case for case in CASES if case.solver == name]
        error = max(
            (ours - theirs).abs().max().item() for ours, theirs in (case.run(schedule, denoise) for case in cases)
        )
        cells = [f"`{name}`", solver.order, solver.evaluations, noise, f"{solver.spacing}, {solver.end}", solver.source]
        lines.append("| " + " | ".join(map(str, [*cells, cases[0].oracle, cases[0].steps, f"{error:.0e}"])) + " |")
    lines += ["", "## Spacings", "", "Where the levels lie, for S steps (of a schedule of T timesteps):", ""]
    lines += [
        f"- `{name}`: {inspect.getdoc(function).splitlines()[0]}{' Of schedules of betas only.' * (name in BY_TIMESTEP)}"
        for name, function in SPACINGS.items()
    ]
    return "\n".join([*lines, *BY_HAND, *processes()]) + "\n"


def processes() -> list[str]:
    """Rectified flow and EDM: which solvers run on them, and how far they are from diffusers' schedulers, measured now."""
    from process_parity import CASES as OTHERS

    refused = ", ".join(f"`{name}`" for name, solver in SOLVERS.items() if solver.by_timestep)
    lines = [
        "",
        "## Other noise processes",
        "",
        "Every solver runs on every process (`RectifiedFlow`, `EDM`, one of your own), but for those that count the",
        f"timesteps of a schedule of betas: {refused}. Each is written for a scale of z, to which z is brought and from which the",
        "result is brought back: DDPM, DDIM and PLMS for signal² + noise² = 1, those with added noise and the DPM-Solvers for",
        "z0 + sigma · eps, Euler, Heun, `dpm2` and `lms` for the scale in which the process' own paths are straight. Where",
        "nothing is asked for, levels are spaced as the process has it: `trailing` in a flow, `linspace` (even in sigma^(1/rho))",
        "in EDM.",
        "",
        "| process | z | the denoiser is told | and predicts | source |",
        "|-|-|-|-|-|",
        "| `NoiseSchedule` | √ᾱ · z0 + √(1 − ᾱ) · eps | the timestep, 0 to T − 1 | eps, v or x0 | Ho et al. 2020 |",
        "| `RectifiedFlow` | (1 − u) · z0 + u · eps | 1000 u | velocity eps − z0, or x0 | Liu et al. 2023; Esser et al. 2024 |",
        "| `EDM` | c_in · (z0 + sigma · eps) | c_noise = ln(sigma) / 4 | F | Karras et al. 2022 |",
        "",
        "*Parity* as above, from the same noise.",
        "",
        "| name | process | spacing | oracle | steps | parity |",
        "|-|-|-|-|-|-|",
    ]
    for case in OTHERS:
        ours, theirs = case.run()
        error = (ours - theirs).abs().max().item()
        cells = [
            f"`{case.solver}`",
            f"`{case.settings}`",
            case.spacing or "default",
            f"diffusers {case.oracle}",
            case.steps,
        ]
        lines.append("| " + " | ".join(map(str, [*cells, f"{error:.0e}"])) + " |")
    return lines


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    TABLE.write_text(table())
