"""ComfyUI's samplings as open zones: one node there is a zone here, with the denoiser and its guidance drawn inside."""

from __future__ import annotations

import math
from typing import Any

from core.diffusion.solvers import SOLVERS
from core.diffusion.torch_noise import BROWNIAN
from graph_runner.format.workflow import Body
from nodes.comfyui.builder import Builder, Inputs
from nodes.comfyui.inside import Inside
from nodes.comfyui.values import (
    Condition,
    Empty,
    Guider,
    Latent,
    Model,
    NoCounterpart,
    Noise,
    Sampler,
    Sigmas,
    Value,
)

SAMPLERS = {
    "euler": "euler",
    "ddim": "euler",  # there it is Euler's method under another name
    "euler_ancestral": "euler_ancestral",
    "heun": "heun",
    "dpm_2": "dpm2",
    "dpm_2_ancestral": "dpm2_ancestral",
    "lms": "lms",
    "dpmpp_2s_ancestral": "dpmpp_2s_ancestral",
    "dpmpp_2m": "dpmpp_2m",
    "dpmpp_sde": "dpmpp_sde",
    "dpmpp_sde_gpu": "dpmpp_sde",
    "dpmpp_2m_sde": "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu": "dpmpp_2m_sde",
    "dpmpp_3m_sde": "dpmpp_3m_sde",
    "dpmpp_3m_sde_gpu": "dpmpp_3m_sde",
    "ddpm": "ddpm",
    "lcm": "lcm",
    "uni_pc": "unipc",
    "uni_pc_bh2": "unipc",
    "deis": "deis",
    "ipndm": "ipndm",
    "sa_solver": "sa_solver",
}
"""Their samplers as our solvers."""
NEAR = {
    "lcm": "without the boundary scaling of ModelSamplingDiscrete's lcm there",
    "uni_pc": "with B(h) = h and order 3 there, e^h − 1 and order 2 here",
    "uni_pc_bh2": "of order 3 there, 2 here",
    "deis": "of order 3 there, 2 here",
    "sa_solver": "of orders 3 and 4 there, 2 and 2 here",
}
"""Those that are the same method with another setting."""
SCHEDULERS = ("normal", "karras", "exponential", "sgm_uniform", "simple", "ddim_uniform", "beta", "kl_optimal")
AYS = {"SD1": "ays_sd", "SDXL": "ays_sdxl", "SVD": "ays_svd"}
"""The models of their align-your-steps node as our spacings."""
SD_SIGMAS = (14.614642, 0.0291675)
"""The ends of Stable Diffusion's sigmas, as their nodes have them by default."""


def ksampler(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """KSampler: all steps, or with denoise below 1 the last of a longer walk."""
    sigmas = _of_scheduler(i.text("scheduler"), i.whole("steps", 20), i.number("denoise", 1.0))
    guider = Guider(i.get("model", Model), i.get("positive", Condition), i.get("negative", Condition), i.number("cfg", 8.0))  # fmt: skip
    return (_sampled(b, i, guider, Sampler(i.text("sampler_name")), sigmas, Noise(i.whole("seed", 0))),)


def ksampler_advanced(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """KSamplerAdvanced: a part of the steps, from its own noise or from the noisy latent of another."""
    steps, end = i.whole("steps", 20), i.whole("end_at_step", 10000)
    sigmas = Sigmas(_known(i.text("scheduler")), steps, i.whole("start_at_step", 0), end if end < steps else None)
    if sigmas.last is not None and not i.flag("return_with_leftover_noise", False):
        raise NoCounterpart(
            "ends early and yet without noise (return_with_leftover_noise is off), which is not drawn here"
        )
    guider = Guider(i.get("model", Model), i.get("positive", Condition), i.get("negative", Condition), i.number("cfg", 8.0))  # fmt: skip
    noise = Noise(i.whole("noise_seed", 0) if i.flag("add_noise") else None)
    return (_sampled(b, i, guider, Sampler(i.text("sampler_name")), sigmas, noise, i.whole("noise_seed", 0)),)


def sampler_custom(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """SamplerCustom; its second output is the same where it ends without noise."""
    guider = Guider(i.get("model", Model), i.get("positive", Condition), i.get("negative", Condition), i.number("cfg", 8.0))  # fmt: skip
    noise = Noise(i.whole("noise_seed", 0) if i.flag("add_noise") else None)
    made = _sampled(b, i, guider, i.get("sampler", Sampler), i.get("sigmas", Sigmas), noise, i.whole("noise_seed", 0))
    return made, None if made.noisy else made


def sampler_custom_advanced(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """SamplerCustomAdvanced."""
    noise = i.get("noise", Noise)
    made = _sampled(b, i, i.get("guider", Guider), i.get("sampler", Sampler), i.get("sigmas", Sigmas), noise)
    return made, None if made.noisy else made


def sampler(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """KSamplerSelect."""
    return (Sampler(i.text("sampler_name")),)


def with_eta(name: str) -> Any:
    """The nodes that are one sampler with its eta: a builder for the sampler's name."""

    def build(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
        if i.number("s_noise", 1.0) != 1 or not 0 <= i.number("eta", 1.0) <= 1:
            raise NoCounterpart("scales its noise by an s_noise other than 1, or an eta above 1")
        return (Sampler(name, float(i.number("eta", 1.0))),)

    return build


def basic_scheduler(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """BasicScheduler."""
    return (_of_scheduler(i.text("scheduler"), i.whole("steps", 20), i.number("denoise", 1.0)),)


def between_sigmas(name: str, rho: float = 7.0) -> Any:
    """KarrasScheduler, ExponentialScheduler and PolyexponentialScheduler (of which rho 1 is the exponential one), where their ends are Stable Diffusion's own: a builder for the scheduler."""

    def build(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
        ends = i.number("sigma_max", SD_SIGMAS[0]), i.number("sigma_min", SD_SIGMAS[1])
        alike = all(math.isclose(a, b, rel_tol=1e-3) for a, b in zip(ends, SD_SIGMAS, strict=True))
        if not alike or i.number("rho", rho) != rho:
            raise NoCounterpart(f"has ends or a rho of its own; here they are Stable Diffusion's, and {rho:g}")
        return (Sigmas(name, i.whole("steps", 20)),)

    return build


def beta_scheduler(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """BetaSamplingScheduler, where its numbers are those of the scheduler beta."""
    if (i.number("alpha", 0.6), i.number("beta", 0.6)) != (0.6, 0.6):
        raise NoCounterpart("has an alpha or beta of its own; here both are 0.6")
    return (Sigmas("beta", i.whole("steps", 20)),)


def turbo_scheduler(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """SDTurboScheduler: of one step from pure noise, or of ten, it is every 100th timestep from 999."""
    steps, first = i.whole("steps", 1), 10 - int(10 * i.number("denoise", 1.0))
    if (steps, first) == (1, 0):
        return (Sigmas("trailing", 1),)
    if first + steps == 10:
        return (Sigmas("trailing", 10, first),)
    raise NoCounterpart(f"takes {steps} of ten timesteps from number {first}, which leaves out those before the end")


def align_your_steps(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """AlignYourStepsScheduler: with denoise below 1 the last of that many steps."""
    name, steps = i.text("model_type"), i.whole("steps", 10)
    walked = round(steps * i.number("denoise", 1.0))
    if name not in AYS or not 1 <= walked <= steps:
        raise NoCounterpart(f"with the model {name!r} and {walked} of {steps} steps has no counterpart here")
    return (Sigmas(AYS[name], steps, steps - walked),)


def split_sigmas(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """SplitSigmas."""
    sigmas, step = i.get("sigmas", Sigmas), i.whole("step", 0)
    return sigmas.before(step) if step else None, sigmas.after(step)


def split_by_denoise(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """SplitSigmasDenoise: so many steps from the end."""
    sigmas = i.get("sigmas", Sigmas)
    walked = (sigmas.last or sigmas.steps) - sigmas.first
    step = walked - round(walked * i.number("denoise", 1.0))
    return sigmas.before(step) if step else None, sigmas.after(step)


def sde_2m(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """SamplerDPMPP_2M_SDE, in its midpoint form."""
    if i.text("solver_type", "midpoint") != "midpoint":
        raise NoCounterpart("solves by Heun's method; here it is the midpoint's")
    found: tuple[Value, ...] = with_eta("dpmpp_2m_sde")(b, i)
    return found


def lms(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """SamplerLMS, of its usual order."""
    if i.whole("order", 4) != 4:
        raise NoCounterpart("has an order other than 4")
    return (Sampler("lms"),)


def noise(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """RandomNoise."""
    return (Noise(i.whole("noise_seed", 0)),)


def no_noise(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """DisableNoise."""
    return (Noise(None),)


def cfg_guider(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """CFGGuider."""
    return (Guider(i.get("model", Model), i.get("positive", Condition), i.get("negative", Condition), i.number("cfg", 8.0)),)  # fmt: skip


def basic_guider(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """BasicGuider: no guidance."""
    return (Guider(i.get("model", Model), i.get("conditioning", Condition), None, 1.0),)


def _of_scheduler(name: str, steps: int, denoise: float) -> Sigmas:
    total = steps if denoise > 0.9999 else int(steps / denoise) if denoise > 0 else 0
    if total < steps or not 1 <= total <= 10_000:
        raise NoCounterpart(f"with denoise {denoise:g} walks no step")
    return Sigmas(_known(name), total, total - steps)


def _known(name: str) -> str:
    if name not in SCHEDULERS:
        raise NoCounterpart(f"with the scheduler {name!r} has no counterpart here; it can be {', '.join(SCHEDULERS)}")
    return name


def _sampled(
    b: Builder, i: Inputs, guider: Guider, chosen: Sampler, sigmas: Sigmas, noise: Noise, seed: int | None = None
) -> Latent:
    """Draw a sampling. seed: of the noise that the solver adds, where that of the start does not say."""
    if chosen.name not in SAMPLERS:
        raise NoCounterpart(
            f"with the sampler {chosen.name!r} has no counterpart here; it can be {', '.join(SAMPLERS)}"
        )
    solver = SAMPLERS[chosen.name]
    if chosen.name in NEAR:
        b.tell(f"the sampler {chosen.name} is {solver} here, {NEAR[chosen.name]}")
    own = sigmas.scheduler in ("trailing", *AYS.values())
    spacing = sigmas.scheduler if own else f"comfyui_{sigmas.scheduler}"
    if solver == "lcm" and spacing != "trailing":
        spacing = "lcm"
        b.tell("the sampler lcm looks at the timesteps that it was distilled on, whatever the scheduler")
    latent: Latent | Empty = i.get("latent_image", Latent | Empty)  # type: ignore[arg-type]
    params: dict[str, Any] = {"solver": solver, "steps": sigmas.steps, "spacing": spacing, "eta": chosen.eta}
    params |= {"start_at_step": sigmas.first or None, "end_at_step": sigmas.last}
    wires: dict[str, Any] = {"schedule": guider.model.schedule}
    first = noise.seed if noise.seed is not None else seed
    if SOLVERS[solver].adds_noise(chosen.eta):
        if solver in BROWNIAN["comfyui"]:
            params["seed"] = first
            b.tell(
                f"the noise that {chosen.name} adds is drawn from a Brownian path there, and by row here: another picture of its kind"
            )
        else:
            params |= {"noise_as": "comfyui gpu", "noise_seed": first}
    name = b.name("sample")
    known, drawn = None, None
    if noise.seed is None:
        if not isinstance(latent, Latent) or not latent.noisy:
            raise NoCounterpart("begins without noise from a latent that has none, which is not drawn here")
        wires["z"] = latent.ref
    elif isinstance(latent, Empty):
        if sigmas.first:
            raise NoCounterpart("begins on the way from an empty latent, which is not drawn here")
        shape = [latent.batch, latent.channels, latent.height // 8, latent.width // 8]
        drawn = wires["noise"] = b.add(
            "torch_noise", "noise", {"shape": shape, "seed": noise.seed, "noise_as": "comfyui"}
        )
        b.expose("shape", f"{drawn}.shape")
        b.expose("seed", f"{drawn}.seed")
    else:
        known = wires["z0"] = latent.ref
        seeded = {"noise_as": "comfyui", "noise_seed": noise.seed}
        drawn = wires["noise"] = b.add("noise_like", "noise", seeded, {"z": latent.ref})
        b.expose("seed", f"{drawn}.noise_seed")
    mask = latent.mask if isinstance(latent, Latent) else None
    if mask is not None and (known is None or drawn is None):
        raise NoCounterpart("goes on from a noisy latent under a mask, which is not drawn here")
    size = latent.size if isinstance(latent, Latent) else (latent.height, latent.width)
    nodes = Inside(b, name, guider, size, None if mask is None else {"known": known, "noise": drawn, "mask": mask})
    b.add("sample", "", params, wires, Body(nodes=nodes.nodes, results={"prediction": nodes.result}), id=name,
          text="Turns noise into a latent, step by step; the denoiser and its guidance are inside.")  # fmt: skip
    if "noise_as" in params:
        b.expose("added_seed", f"{name}.noise_seed")
    b.expose("steps", f"{name}.steps")
    b.expose("solver", f"{name}.solver")
    if nodes.guide:
        b.expose("scale", f"{nodes.guide}.scale")
    return Latent(name, None, noisy=sigmas.last is not None, size=size)
