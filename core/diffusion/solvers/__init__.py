"""Solvers of the reverse process, as a table.

Every solver is a pure function `solver(denoise, z, levels, *, [eta,] [draw,] turns=range)`: z at levels.start in, the
latent at levels.end out, both at the process' scale (without noise, z0 itself); `turns` is the loop's range, so that a caller
can observe, count or cancel it.
`SOLVERS` says what each is and which levels it is used with; `sample` runs one by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.diffusion.comfyui import DISCARDING
from core.diffusion.levels import End, Levels, Turns
from core.diffusion.process import Process, Spacing
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import dpmpp, karras, lcm, ldm, multistep, unipc
from core.diffusion.solvers.model import Denoise, Denoised, Draw, combine, estimator, in_sigma_space
from core.diffusion.spacings import COMFYUI
from core.models.kept_context import constant_context

__all__ = ["SOLVERS", "Denoise", "Denoised", "Draw", "Solver", "combine", "estimator", "in_sigma_space", "sample"]


@dataclass(frozen=True)
class Solver:
    """A solver and the facts about it.

    function: (denoise, z, levels, …) → z, of z's shape, (b, …).
    order: of convergence of its deterministic form; a multi-step method's order after its first steps.
    evaluations: of the denoiser a step.
    source: the paper, and the code whose semantics it has.
    spacing, end: the levels it is used with where nothing else is asked for.
    eta: the default of its parameter for added noise, None if it has none.
    history: steps that it looks back on, with this one; more than 1 for multi-step methods, which begin anew in each part of a walk.
    draws: of noise a step, where it adds any.
    by_timestep: whether it counts whole timesteps, and so is defined for schedules of betas only.
    """

    function: Callable[..., Tensor]
    order: int
    evaluations: int
    source: str
    spacing: Spacing
    end: End = "z0"
    eta: float | None = None
    stochastic: bool = False
    by_timestep: bool = False
    history: int = 1
    draws: int = 1

    def adds_noise(self, eta: float | None = None) -> bool:
        """Whether it adds noise, with this eta (None for its own)."""
        eta = self.eta if eta is None else eta
        return self.stochastic if eta is None else eta > 0

    def levels(self, process: Process, steps: int = 50, spacing: Spacing | None = None) -> Levels:
        """The levels it visits in `steps` steps; see `Levels.of`.

        spacing: None for the process' default, and where that has none, the solver's. Raises ValueError for a process for
        which the solver is not defined, with the solvers that are.
        """
        if self.by_timestep and not isinstance(process, NoiseSchedule):
            others = ", ".join(
                name for name, each in SOLVERS.items() if not each.by_timestep and name != "ddim_inversion"
            )
            raise ValueError(
                f"the solver {self.function.__name__!r} is defined for schedules of betas, not for {type(process).__name__}:"
                f" choose one of {others}"
            )
        spacing = spacing or process.spacing or self.spacing
        if spacing in COMFYUI and self.function.__name__ in DISCARDING:
            return Levels.of(process, steps + 1, spacing).without_last_look()
        return Levels.of(process, steps, spacing, self.end)

    def __call__(
        self,
        denoise: Denoise,
        z: Tensor,
        levels: Levels,
        *,
        eta: float | None = None,
        draw: Draw = torch.randn_like,
        turns: Turns = range,
        **settings: object,
    ) -> Tensor:
        """Run it on z, (b, …): `draw` and `eta` reach the solvers that have them; `eta` None leaves the solver's default.

        settings: of the function's own, such as `order`.

        Raises ValueError for an eta that the solver has no use for.
        """
        options: dict[str, object] = {"turns": turns} | settings
        if self.stochastic:
            options["draw"] = draw
        if eta is not None:
            if self.eta is None:
                raise ValueError(f"the solver {self.function.__name__!r} has no eta; leave it empty")
            options["eta"] = eta
        with constant_context():
            return self.function(denoise, z, levels, **options)


SOLVERS: dict[str, Solver] = {
    "ddim": Solver(
        ldm.ddim, 1, 1, "Song et al. 2021, DDIM; latent-diffusion", "leading", "t0", eta=0.0, stochastic=True
    ),
    "ddpm": Solver(ldm.ddpm, 1, 1, "Ho et al. 2020, DDPM, algorithm 2; latent-diffusion", "leading", stochastic=True),
    "plms": Solver(ldm.plms, 2, 1, "Liu et al. 2022, PNDM; latent-diffusion", "leading", "t0", history=4),
    "euler": Solver(karras.euler, 1, 1, "Karras et al. 2022, EDM, algorithm 1; k-diffusion", "linspace"),
    "euler_ancestral": Solver(karras.euler_ancestral, 1, 1, "k-diffusion", "linspace", eta=1.0, stochastic=True),
    "heun": Solver(karras.heun, 2, 2, "Karras et al. 2022, EDM, algorithm 1; k-diffusion", "linspace"),
    "dpm2": Solver(karras.dpm2, 2, 2, "Lu et al. 2022a, DPM-Solver; k-diffusion", "linspace"),
    "lms": Solver(karras.lms, 4, 1, "Adams-Bashforth; k-diffusion", "linspace", history=4),
    "dpmpp_2s_ancestral": Solver(
        dpmpp.dpmpp_2s_ancestral,
        2,
        2,
        "Lu et al. 2022b, DPM-Solver++(2S); k-diffusion",
        "karras",
        eta=1.0,
        stochastic=True,
    ),
    "dpmpp_2m": Solver(dpmpp.dpmpp_2m, 2, 1, "Lu et al. 2022b, DPM-Solver++(2M); k-diffusion", "karras", history=2),
    "dpmpp_sde": Solver(
        dpmpp.dpmpp_sde, 2, 2, "Lu et al. 2022b, DPM-Solver++; k-diffusion", "karras", eta=1.0, stochastic=True, draws=2
    ),
    "dpmpp_2m_sde": Solver(
        dpmpp.dpmpp_2m_sde,
        2,
        1,
        "Lu et al. 2022b, SDE-DPM-Solver++(2M); k-diffusion",
        "karras",
        eta=1.0,
        stochastic=True,
        history=2,
    ),
    "dpmpp_3m": Solver(multistep.dpmpp_3m, 3, 1, "Lu et al. 2022b, DPM-Solver++(3M); diffusers", "karras", history=3),
    "dpmpp_3m_sde": Solver(
        multistep.dpmpp_3m_sde,
        3,
        1,
        "Lu et al. 2022b, DPM-Solver++; k-diffusion",
        "karras",
        eta=1.0,
        stochastic=True,
        history=3,
    ),
    "dpmpp_2s": Solver(multistep.dpmpp_2s, 2, 1, "Lu et al. 2022b, DPM-Solver++(2S); diffusers", "karras", history=2),
    "deis": Solver(multistep.deis, 2, 1, "Zhang & Chen 2023, DEIS; diffusers", "k_diffusion", "t0", history=2),
    "dpm2_ancestral": Solver(
        karras.dpm2_ancestral, 2, 2, "Lu et al. 2022a, DPM-Solver; k-diffusion", "k_diffusion", eta=1.0, stochastic=True
    ),
    "tcd": Solver(
        lcm.tcd, 1, 1, "Zheng et al. 2024, TCD; diffusers", "lcm", "t0", eta=0.3, stochastic=True, by_timestep=True
    ),
    "unipc": Solver(unipc.unipc, 3, 1, "Zhao et al. 2023, UniPC-2; diffusers", "linspace", history=2),
    "lcm": Solver(lcm.lcm, 1, 1, "Luo et al. 2023, LCM; diffusers", "lcm", stochastic=True, by_timestep=True),
    "ddim_inversion": Solver(ldm.ddim_inversion, 1, 1, "Song et al. 2021, section 4.3; diffusers", "leading", "t0"),
}
"""By name. `ddim_inversion` goes the other way: from a clean latent to the noise that `ddim` starts from."""


def sample(
    denoise: Denoise,
    z: Tensor,
    process: Process,
    solver: str = "ddim",
    *,
    steps: int = 50,
    spacing: Spacing | None = None,
    eta: float | None = None,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
) -> Tensor:
    """Integrate the reverse process from z (b, …), at the noisiest level, to a latent of the same shape.

    solver: a name in `SOLVERS`; spacing and eta: None for the default of process or solver. Raises ValueError for names and
    numbers that do not fit together, with the choices.
    """
    if solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}: choose one of {', '.join(SOLVERS)}")
    chosen = SOLVERS[solver]
    return chosen(denoise, z, chosen.levels(process, steps, spacing), eta=eta, draw=draw, turns=turns)
