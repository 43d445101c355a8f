"""Rectified flow and EDM against diffusers' schedulers for them: data for the tests and for the published tables."""

from dataclasses import fields

import diffusers
import torch
from solver_oracles import seeded
from toy_denoisers import SHAPE, two_modes

from core.diffusion.edm import EDM
from core.diffusion.flow import RectifiedFlow
from core.diffusion.process import Process
from core.diffusion.solvers import SOLVERS

NOISE = seeded(1)(torch.empty(SHAPE))


def run_flow(scheduler, process, denoise, steps, *, sigmas=None, seed=0, **config):
    """A FlowMatch scheduler of diffusers over a denoiser of ours; they have the same z and t."""
    theirs = getattr(diffusers, scheduler)(shift=1.0, **config)
    theirs.set_timesteps(steps) if sigmas is None else theirs.set_timesteps(sigmas=sigmas(steps))
    z = NOISE
    for t in theirs.timesteps:
        z = theirs.step(denoise(z, t.repeat(len(z))), t, z, generator=torch.Generator().manual_seed(seed)).prev_sample
    return z


def run_edm(scheduler, process, denoise, steps, *, draws=False, seed=0, **config):
    """An EDM scheduler of diffusers over a denoiser of ours. They have x, and scale it for the denoiser as we see z."""
    theirs = getattr(diffusers, scheduler)(
        sigma_min=process.sigma_min,
        sigma_max=process.sigma_max,
        sigma_data=process.sigma_data,
        rho=process.rho,
        **config,
    )
    theirs.set_timesteps(steps)
    options = {"generator": torch.Generator().manual_seed(seed)} if draws else {}
    x = process.sigma_max * NOISE
    for t in theirs.timesteps:
        z = theirs.scale_model_input(x, t)
        x = theirs.step(denoise(z, t.repeat(len(z))), t, x, **options).prev_sample
    return x


class Case:
    """A solver of ours on a process, and somebody else's, with the settings under which they are the same."""

    def __init__(self, solver, process: Process, oracle, run, spacing=None, steps=30, eta=None, **config):
        self.solver, self.process, self.oracle, self.spacing, self.steps = solver, process, oracle, spacing, steps
        self._run, self._eta, self._config = run, eta, config

    def __str__(self):
        settings = [self.spacing or "default spacing"] if self._eta is None else [self.spacing, f"eta {self._eta:g}"]
        return f"{self.solver}, {self.settings}, {', '.join(map(str, settings))}"

    @property
    def settings(self):
        """The process, and of its settings those that are not the default."""
        set_to = {each.name: getattr(self.process, each.name) for each in fields(self.process)}
        own = [f"{each.name}={set_to[each.name]}" for each in fields(self.process) if set_to[each.name] != each.default]
        return f"{type(self.process).__name__}({', '.join(own)})"

    def run(self):
        """Both results from the same noise: (ours, theirs)."""
        denoise = two_modes(self.process)
        solver = SOLVERS[self.solver]
        levels = solver.levels(self.process, self.steps, self.spacing)
        z = self.process.prior(NOISE, levels.start)
        ours = solver(denoise, z, levels, eta=self._eta, draw=seeded())
        return ours, self._run(self.oracle, self.process, denoise, self.steps, **self._config)


def shifted(shift, share):
    return shift * share / (1 + (shift - 1) * share)


def trailing(shift=1.0):
    """What Stable Diffusion 3's pipeline asks for."""
    return lambda steps: [shifted(shift, 1 - i / steps) for i in range(steps)]


EULER, HEUN = "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"
EDM_EULER, EDM_MULTISTEP = "EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"
FLOW, SHIFTED, BY_Z0 = RectifiedFlow(), RectifiedFlow(shift=3.0), RectifiedFlow(parametrisation="x0")
PIXELS, LATENTS = EDM(sigma_data=0.5), EDM(sigma_min=0.01, sigma_max=120.0, rho=5.0)

CASES = [
    Case("euler", FLOW, EULER, run_flow, "linspace"),
    Case("euler", FLOW, EULER, run_flow, sigmas=trailing()),
    Case("ddim", FLOW, EULER, run_flow, sigmas=trailing()),
    Case("euler", SHIFTED, EULER, run_flow, sigmas=trailing(3.0)),
    Case("euler", FLOW, EULER, run_flow, "karras", use_karras_sigmas=True),
    Case("euler", FLOW, EULER, run_flow, "exponential", use_exponential_sigmas=True),
    Case("heun", FLOW, HEUN, run_flow, "linspace"),
    Case("euler", PIXELS, EDM_EULER, run_edm),
    Case("euler", LATENTS, EDM_EULER, run_edm),
    Case("ddim", PIXELS, EDM_EULER, run_edm),
    Case("euler", PIXELS, EDM_EULER, run_edm, "exponential", sigma_schedule="exponential"),
    Case("dpmpp_2m", PIXELS, EDM_MULTISTEP, run_edm),
    Case("dpmpp_2m", LATENTS, EDM_MULTISTEP, run_edm),
    Case("dpmpp_2m_sde", PIXELS, EDM_MULTISTEP, run_edm, draws=True, algorithm_type="sde-dpmsolver++"),
]
