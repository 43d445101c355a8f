"""Sampling: the zone that integrates the reverse process, and steps to draw one by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field

from core.diffusion import langevin, solvers, torch_noise
from core.diffusion.process import Spacing
from core.diffusion.schedulers import Sampler, stored
from core.diffusion.solvers import SOLVERS
from core.diffusion.torch_noise import Way
from graph_runner.context import Device, Loop, Rng, Tell
from graph_runner.contract import Begins, Body, Formerly, Neutral, Seed, node
from nodes.diffusion import FirstRow
from nodes.wires import Latent, Prediction, Schedule, Score, Timestep

Solver = Literal[
    "ddim", "ddpm", "plms", "euler", "euler_ancestral", "heun", "dpm2", "lms", "dpmpp_2s_ancestral", "dpmpp_2m",
    "dpmpp_sde", "dpmpp_2m_sde", "unipc", "lcm", "dpm2_ancestral", "dpmpp_2s", "dpmpp_3m", "dpmpp_3m_sde", "deis", "tcd",
]  # fmt: skip
SolverOrStored = Literal[Solver, "as stored"]
SpacingOrStored = Literal[Spacing, "as stored"]


class Denoise(Protocol):
    """The (guided) denoiser: noisy latents and their timestep in, a prediction out; and which step it is, and the share done.

    step: counted from 0, of those that are walked. share: of them the part that is done, from 0 at the first on.
    """

    def __call__(self, z: Latent, t: Timestep, step: int, share: float) -> Prediction:
        """What the denoiser predicts."""
        ...


class Stepwise:
    """A body as the denoiser that solvers call: it is told which step it is."""

    def __init__(self, denoise: Denoise, loop: Loop) -> None:
        self.denoise, self.loop = denoise, loop
        self._step, self._steps = 0, 1

    def __call__(self, z: Latent, t: Timestep) -> Prediction:
        """What the denoiser predicts."""
        return self.denoise(z, t, self._step, self._step / self._steps)

    def turns(self, steps: int) -> Iterator[int]:
        """The loop's steps."""
        self._steps = steps
        for step in self.loop(steps):
            self._step = step
            yield step


@node(
    category="sampling",
    keep=True,
    version=2,
    draws_when=lambda given: (
        given.get("noise_as", "by row") == "by row" and SOLVERS[given["solver"]].adds_noise(given["eta"])
    ),
    words=(
        *("ksampler", "sampler", "scheduler", "txt2img", "img2img", "image to image", "inference"),
        *("refiner", "ensemble of experts", "denoising_end", "denoising_start", "add noise"),
    ),
)
def sample(
    denoise: Body[Denoise],
    noise: Latent | None,
    schedule: Schedule,
    loop: Loop,
    rng: Rng,
    tell: Tell,
    z0: Latent | None = None,
    z: Latent | None = None,
    solver: Annotated[SolverOrStored, Begins("as stored")] = "ddim",
    steps: Annotated[int, Field(ge=1, le=10_000)] = 50,
    eta: Annotated[float, Field(ge=0, le=1)] | None = None,
    spacing: Annotated[SpacingOrStored | None, Begins("as stored")] = None,
    strength: Annotated[float, Field(gt=0, le=1)] = 1.0,
    first_row: FirstRow = 0,
    start_at_step: Annotated[int, Field(ge=0, le=10_000), Neutral(0)] = 0,
    end_at_step: Annotated[int | None, Field(ge=1, le=10_000), Neutral(None)] = None,
    noise_as: Annotated[Literal["by row", Way], Neutral("by row")] = "by row",
    noise_seed: Annotated[Seed, Neutral(0)] = 0,
) -> Latent:
    """Integrate the reverse process from noise to latents; the nodes inside are the (guided) denoiser.

    They are evaluated as often as the solver wants. Where several denoisers share the steps (experts, a refiner), the first one
    ends early, and the next starts at that step from its latent.

    noise: standard normal; where it starts, scaled as the schedule's process has it.
    z0: a picture's latent to start from instead, with noise added (image to image).
    z: a noisy latent to go on from at start_at_step, instead of noise: what another sample gives that ended at that step.
    schedule: the one the denoiser was trained with.
    solver: DDIM (Song et al. 2021) and DDPM (Ho et al. 2020) are the paper's; docs/solvers.md lists all. "as stored" is the one
        of the model's folder with its options; where there is none, DDIM, or Euler in a process that is not by betas.
    steps: of the solver.
    eta: noise added at each step, for the solvers that take it; nothing for the solver's own default.
    spacing: which timesteps are visited; nothing for the default of the schedule's process, or of the solver. "as stored" is
        where the model's folder has the solver look; where it says nothing, where diffusers or k-diffusion do.
    strength: of image to image: the share of the steps that is walked, from the noise level there.
    first_row: the sample of a larger batch that the noise begins with, counted from 0, for solvers that add noise.
    start_at_step: the first of the steps that is walked, counted from 0; needs z, or z0, which gets the noise of that step.
    end_at_step: the step before which it ends, with a latent that is as noisy as there; nothing for all steps.
    noise_as: how noise is drawn that the solver adds: by row, or as a program does, to make its pictures again (torch_noise).
    noise_seed: the program's seed; "by row" has the node's own.
    """
    chosen: solvers.Solver | Sampler
    if solver == "as stored" or spacing == "as stored":
        chosen = stored(schedule, None if solver == "as stored" else solver)
        levels, draws = chosen.levels(schedule, steps), SOLVERS[chosen.solver].draws
        if spacing is not None and spacing != "as stored":
            levels = SOLVERS[chosen.solver].levels(schedule, steps, spacing)
        tell(f"sampled by {chosen.solver} in {len(levels)} steps, from timestep {levels.start.t:g}", "info")
    else:
        chosen = SOLVERS[solver]
        levels, draws = chosen.levels(schedule, steps, spacing), chosen.draws
    rng = rng.from_row(first_row)
    if z is not None:
        if noise is not None or z0 is not None:
            raise ValueError("z is a latent to go on from as it is; leave out noise and z0, or wire those and no z")
        levels, rng = levels.part(start_at_step, end_at_step), rng.after(start_at_step * draws)
    elif noise is None:
        raise ValueError("there is nothing to start from: wire noise, or, to go on from a noisy latent, z")
    elif z0 is not None:
        if start_at_step and strength < 1:
            raise ValueError(f"strength {strength} and start_at_step {start_at_step} both say where to start; give one")
        first = len(levels) - len(levels.last_part(strength))
        levels = levels.part(start_at_step or first, end_at_step)
        start = levels.start  # as a folder or ComfyUI has it, the denoiser is told another timestep than the noise has
        told_apart = isinstance(chosen, Sampler) or levels.whole
        z = start.signal * z0 + start.noise * noise if told_apart else schedule.add_noise(z0, noise, start.t)
    elif start_at_step:
        raise ValueError(f"what starts at step {start_at_step} goes on from a latent: wire z, or z0")
    else:
        levels = levels.part(0, end_at_step)
        z = levels.prior(noise)
    stepwise = Stepwise(denoise, loop)
    draw: solvers.Draw = rng.randn_like
    if noise_as != "by row":
        solved_by = chosen.solver if isinstance(chosen, Sampler) else solver
        draw = torch_noise.added(noise_as, noise_seed, solved_by, start_at_step * draws, first_row)
    return chosen(stepwise, z, levels, eta=eta, draw=draw, turns=stepwise.turns)


@node(category="sampling", keep=True, words=("ddim inversion", "image editing"))
def invert(
    denoise: Body[Denoise],
    z0: Latent,
    schedule: Schedule,
    loop: Loop,
    steps: Annotated[int, Field(ge=1, le=10_000)] = 50,
    spacing: Spacing | None = None,
) -> Latent:
    """The noise from which DDIM would sample these latents (Song et al. 2021, section 4.3).

    z0: clean latents.
    schedule: the one the denoiser was trained with.
    steps: of the solver; sample with as many.
    spacing: which timesteps are visited; sample at the same ones.
    """
    chosen, stepwise = SOLVERS["ddim_inversion"], Stepwise(denoise, loop)
    return chosen(stepwise, z0, chosen.levels(schedule, steps, spacing), turns=stepwise.turns)


@node(category="sampling")
def annealed_timestep(
    schedule: Schedule,
    iteration: Annotated[int, Formerly("turn"), Field(ge=0)],
    device: Device,
    levels: Annotated[int, Field(ge=1)] = 10,
    per_level: Annotated[int, Formerly("each"), Field(ge=1)] = 10,
) -> Timestep:
    """The timestep of an iteration of annealed Langevin dynamics, which walks through the noise levels, noisiest first.

    iteration: of the loop around.
    levels: how many noise levels.
    per_level: iterations at each.
    """
    level = min(iteration // per_level, levels - 1)
    share = 1 - level / max(levels - 1, 1)
    return torch.full((1,), schedule.timestep_at(max(share, schedule.least)), device=device)


@node(category="sampling", version=2)
def langevin_step(
    z: Latent,
    score: Score,
    t: Timestep,
    schedule: Schedule,
    rng: Rng,
    ratio: Annotated[float, Field(gt=0)] = 0.2,
    first_row: FirstRow = 0,
) -> Latent:
    """One step of Langevin dynamics, z + α/2 · score + √α · noise (Song & Ermon 2019, algorithm 1).

    ratio: of score to noise in a step, which sets α at each noise level; smaller steps are truer, and more are needed.
    first_row: the sample of a larger batch that z begins with, counted from 0.
    """
    step = langevin.step_size(float(t[0]) if t.device.type == "cpu" else t[:1], schedule, ratio)
    return langevin.langevin_step(z, score, step, rng.from_row(first_row).randn_like(z))
