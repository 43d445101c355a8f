"""ComfyUI's samplings as open zones: one node there is a zone here, with the denoiser and its guidance drawn inside."""

from __future__ import annotations

import math
from typing import Any

from core.diffusion.solvers import SOLVERS
from core.diffusion.torch_noise import BROWNIAN
from graph_runner.format.workflow import Body, Node, Place
from nodes.comfyui.builder import Builder, Inputs
from nodes.comfyui.values import (
    Condition,
    Empty,
    Entry,
    Guider,
    Latent,
    Model,
    NoCounterpart,
    Noise,
    Ref,
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
}
"""Their samplers as our solvers."""
NEAR = {
    "lcm": "without the boundary scaling of ModelSamplingDiscrete's lcm there",
    "uni_pc": "with B(h) = h and order 3 there, e^h − 1 and order 2 here",
    "uni_pc_bh2": "of order 3 there, 2 here",
    "deis": "of order 3 there, 2 here",
}
"""Those that are the same method with another setting."""
SCHEDULERS = ("normal", "karras", "exponential", "sgm_uniform", "simple", "ddim_uniform", "beta", "kl_optimal")
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


def between_sigmas(name: str) -> Any:
    """KarrasScheduler and ExponentialScheduler, where their ends are Stable Diffusion's own: a builder for the scheduler."""

    def build(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
        ends = i.number("sigma_max", SD_SIGMAS[0]), i.number("sigma_min", SD_SIGMAS[1])
        alike = all(math.isclose(a, b, rel_tol=1e-3) for a, b in zip(ends, SD_SIGMAS, strict=True))
        if not alike or i.number("rho", 7.0) != 7:
            raise NoCounterpart("has ends or a rho of its own; here they are Stable Diffusion's, and 7")
        return (Sigmas(name, i.whole("steps", 20)),)

    return build


def turbo_scheduler(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """SDTurboScheduler: of one step from pure noise, or of ten, it is every 100th timestep from 999."""
    steps, first = i.whole("steps", 1), 10 - int(10 * i.number("denoise", 1.0))
    if (steps, first) == (1, 0):
        return (Sigmas("trailing", 1),)
    if first + steps == 10:
        return (Sigmas("trailing", 10, first),)
    raise NoCounterpart(f"takes {steps} of ten timesteps from number {first}, which leaves out those before the end")


def split_sigmas(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """SplitSigmas."""
    sigmas, step = i.get("sigmas", Sigmas), i.whole("step", 0)
    return sigmas.before(step) if step else None, sigmas.after(step)


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
    spacing = sigmas.scheduler if sigmas.scheduler == "trailing" else f"comfyui_{sigmas.scheduler}"
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
    nodes = _Inside(b, name, guider, None if mask is None else {"known": known, "noise": drawn, "mask": mask})
    b.add("sample", "", params, wires, Body(nodes=nodes.nodes, results={"prediction": nodes.result}), id=name,
          text="Turns noise into a latent, step by step; the denoiser and its guidance are inside.")  # fmt: skip
    if "noise_as" in params:
        b.expose("added_seed", f"{name}.noise_seed")
    b.expose("steps", f"{name}.steps")
    b.expose("solver", f"{name}.solver")
    if nodes.guide:
        b.expose("scale", f"{nodes.guide}.scale")
    return Latent(name, None, noisy=sigmas.last is not None)


class _Inside:
    """The nodes inside of a sampling: one denoiser for each condition, guidance, what keeps what is known."""

    def __init__(self, b: Builder, zone: str, guider: Guider, inpainting: dict[str, Any] | None) -> None:
        self.b, self.zone, self.nodes, self.guide = b, zone, dict[str, Node](), ""
        self.row = 0
        self.z: Ref = f"{zone}.z"
        model = guider.model
        about = {"t": f"{zone}.t", "schedule": model.schedule}
        if inpainting is not None:
            self.z = self._add("inpaint_latent", "seen", {}, {"z": self.z, **inpainting, **about})
        cond = self._predicted("cond", model, guider.positive)
        self.result = cond
        if guider.negative is not None:
            uncond = self._predicted("uncond", model, guider.negative)
            wires = {"cond": cond, "uncond": uncond}
            self.result = self.guide = self._add("cfg_combine", "guide", {"scale": float(guider.scale)}, wires)
            if model.rescale:
                wires = {"guided": self.guide, "cond": cond}
                self.result = self._add("cfg_rescale", "rescaled", {"amount": model.rescale}, wires)
        if inpainting is not None:
            kept = {name: ref for name, ref in inpainting.items() if name != "noise"}
            wires = {"prediction": self.result, "z": f"{zone}.z", **kept, **about}
            self.result = self._add("inpaint_prediction", "kept", {}, wires)

    def _add(self, type: str, wanted: str, params: dict[str, Any], wires: dict[str, Any]) -> str:
        id = self.b.name(wanted)
        self.nodes[id] = Node(type=type, params=params, wires=wires)
        self.b.layout[id] = Place(
            at=(248 + 280 * (type != "denoise"), 54 + 164 * self.row)
        )  # right of the zone's own settings
        self.row += 1
        return id

    def _predicted(self, wanted: str, model: Model, condition: Condition) -> Ref:
        """The prediction under conditions: of one, or their mean by strength, of those that count at this timestep."""
        predicted = [
            self._add("denoise", wanted, {}, {"model": model.denoiser, "z": self.z, "t": f"{self.zone}.t", "condition": entry.ref})
            for entry in condition.entries
        ]  # fmt: skip
        if condition.entries == (Entry(condition.entries[0].ref),) or (
            len(predicted) == 1 and _always(condition.entries[0])
        ):
            return predicted[0]
        if all(map(_always, condition.entries)):
            total = sum(entry.strength for entry in condition.entries)
            weights = [entry.strength / total for entry in condition.entries]
            return self._add("weighted_sum", f"{wanted}_mean", {"weights": weights}, {"values": predicted})
        counts = [_counts(entry) for entry in condition.entries]
        above = " + ".join(f"{count} * p{n}" for n, count in enumerate(counts))
        formula = f"({above}) / max({' + '.join(counts)}, 0.000001)"
        values = {f"p{n}": ref for n, ref in enumerate(predicted)} | {"t": f"{self.zone}.t"}
        return self._add("expression", f"{wanted}_mean", {"formula": formula}, {"values": values})


def _always(entry: Entry) -> bool:
    return entry.start <= 0 and entry.end >= 1


def _counts(entry: Entry) -> str:
    """A condition's strength where the timestep lies in its range, else 0, as a formula of t."""
    if _always(entry):
        return f"{entry.strength:g}"
    return f"{entry.strength:g} * (t <= {999 * (1 - entry.start):g}) * (t >= {999 * (1 - entry.end):g})"
