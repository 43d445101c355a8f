"""Pictures of A1111 and ComfyUI: what they tell, and an A1111 one as a graph of Stable Diffusion."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from core.conditioning.prompt_encoding import EXTRA_NETWORK, is_prompted
from core.conditioning.prompt_syntax import AND
from core.diffusion.torch_noise import BROWNIAN
from core.infotext import Infotext, read_comfyui, read_infotext
from graph_runner.contract import Made, describes_pictures
from nodes.comfyui.importing import of_prompt

SOLVERS = {
    "Euler a": ("euler_ancestral", "k_diffusion"), "Euler": ("euler", "k_diffusion"), "LMS": ("lms", "k_diffusion"),
    "Heun": ("heun", "k_diffusion"), "DPM2": ("dpm2", "karras"), "DPM2 a": ("dpm2_ancestral", "karras"),
    "DPM++ 2S a": ("dpmpp_2s_ancestral", "karras"), "DPM++ 2M": ("dpmpp_2m", "karras"), "DPM++ SDE": ("dpmpp_sde", "karras"),
    "DPM++ 2M SDE": ("dpmpp_2m_sde", "exponential"), "DPM++ 3M SDE": ("dpmpp_3m_sde", "exponential"),
    "DDIM": ("ddim", "a1111"), "PLMS": ("plms", "a1111"),
}  # fmt: skip
"""A1111's samplers: our solver, and the spacing that its schedule type "Automatic" means."""
SPACINGS = {"Uniform": "k_diffusion", "Karras": "karras", "Exponential": "exponential", "SGM Uniform": "sgm_uniform", "Simple": "simple", "Normal": "k_diffusion"}  # fmt: skip
"""A1111's schedule types."""
DISCARDING = ("dpm2", "dpm2_ancestral")
"""Of whose levels A1111 leaves out the last but one."""
UNIT = ("karras", "exponential")
"""Spacings that begin with latents of unit variance here; A1111 begins with the noise alone."""
MOST_PIXELS = 8192
TOLD = (
    "Steps",
    "Sampler",
    "Schedule type",
    "CFG scale",
    "Seed",
    "Size",
    "Model",
    "Model hash",
    "Clip skip",
    "RNG",
    "Version",
)
"""Settings that the graph holds, or that change nothing in it."""


@describes_pictures
def made_by_a1111(texts: Mapping[str, str]) -> Made | None:
    """What a picture of A1111's web UI, or of one that writes as it does, was made with."""
    if "parameters" not in texts:
        return None
    try:
        told = read_infotext(texts["parameters"])
    except ValueError as error:
        return Made("A1111", problem=str(error))
    try:
        workflow, left = graph(told)
    except ValueError as error:
        return Made("A1111", _facts(told), left=(f"no workflow is made of it: {error}",))
    return Made("A1111", _facts(told), json.dumps(workflow), tuple(left))


@describes_pictures
def made_by_comfyui(texts: Mapping[str, str]) -> Made | None:
    """What the first sampler of a picture of ComfyUI's was given, and its graph as one of ours."""
    if "prompt" not in texts or "parameters" in texts:
        return None
    try:
        told = read_comfyui(texts["prompt"])
    except ValueError as error:
        return Made("ComfyUI", problem=str(error))
    try:
        return Made("ComfyUI", _facts(told), *of_prompt(texts["prompt"]))
    except ValueError as error:
        return Made("ComfyUI", _facts(told), left=(f"no workflow is made of it: {error}",))


def _facts(told: Infotext) -> dict[str, str]:
    return {"Prompt": told.prompt, "Negative prompt": told.negative, **told.settings}


def graph(told: Infotext) -> tuple[dict[str, Any], list[str]]:
    """A workflow that does what an infotext says, and what it leaves out. Raises ValueError for settings that no graph can have."""
    left: list[str] = []
    settings = told.settings
    solver, spacing = _sampler(settings, left)
    width, height = _size(settings.get("Size", ""), left)
    steps, seed = _whole(settings, "Steps", 20, 10_000), _whole(settings, "Seed", 0, 2**64 - 1)
    noise_as = "a1111" if settings.get("RNG") == "CPU" else "a1111 gpu"
    params: dict[str, Any] = {"solver": solver, "steps": steps, "spacing": spacing}
    if solver in BROWNIAN["a1111"]:
        left.append(
            f"the noise that {settings['Sampler']} adds is drawn by row here: the picture will be another of its kind"
        )
    else:
        params |= {"noise_as": noise_as, "noise_seed": seed}
    if solver in DISCARDING:
        left.append(f"A1111 leaves out the last level but one with {settings['Sampler']}; here all are visited")
    if spacing in UNIT:
        left.append(
            f"with {spacing} spacing sampling begins here with the noise's variance at 1, and in A1111 .2 % below"
        )
    for network in EXTRA_NETWORK.findall(told.prompt):
        left.append(f"{network:.80} is left out; wire its file by the node lora")
    left += [f"{name}: {value:.80}" for name, value in settings.items() if name not in TOLD]
    encoder = "model.text_encoder"
    nodes: dict[str, Any] = {"model": {"type": "load_checkpoint", "params": {"path": _model(settings, left)}}}
    if (skip := _whole(settings, "Clip skip", 1, 24)) > 1:
        nodes["skip"] = {"type": "clip_skip", "params": {"layers": skip - 1}, "wires": {"text_encoder": encoder}}
        encoder = "skip"
    negative = AND.sub(" and ", told.negative)  # A1111 joins no negative prompts: to CLIP it is a word
    for name, prompt in (("prompt", told.prompt), ("null", negative)):
        wires = {"text_encoder": encoder, "tokenizer": "model.tokenizer"}
        nodes[name] = {"type": "text_context", "params": {"prompts": [prompt], "style": "a1111"}, "wires": wires}
    nodes["noise"] = {
        "type": "torch_noise",
        "params": {"shape": [1, 4, height // 8, width // 8], "seed": seed, "noise_as": noise_as},
    }
    body = {
        "cond": _denoise("prompt", told.prompt, composed=True),
        "uncond": _denoise("null", negative),
        "guide": {
            "type": "cfg_combine",
            "params": {"scale": _number(settings, "CFG scale", 7.0)},
            "wires": {"cond": "cond", "uncond": "uncond"},
        },
    }
    nodes["sample"] = {
        "type": "sample",
        "params": params,
        "wires": {"noise": "noise", "schedule": "model.schedule"},
        "body": {"nodes": body, "results": {"prediction": "guide"}},
    }
    nodes["decoded"] = {"type": "decode", "wires": {"autoencoder": "model.autoencoder", "z": "sample"}}
    nodes["save"] = {"type": "save_image", "params": {"name": "picture"}, "wires": {"images": "decoded"}}
    exposed = {
        "path": "model.path",
        "tokenizer": "model.tokenizer",
        "prompts": "prompt.prompts",
        "negative": "null.prompts",
    }
    exposed |= {"scale": "guide.scale", "steps": "sample.steps", "seed": "noise.seed", "shape": "noise.shape"}
    about = " ".join(
        ["What a picture of A1111's web UI tells of how it was made.", *(f"Not in it: {each}." for each in left)]
    )
    made = {"loom": 1, "title": "Stable Diffusion, from a picture", "about": about, "exposed": {"params": exposed, "outputs": {"picture": "decoded"}}, "nodes": nodes}  # fmt: skip
    return made, left


def _denoise(condition: str, prompt: str, composed: bool = False) -> dict[str, Any]:
    wires = {"model": "model.unet", "z": "sample.z", "t": "sample.t", "condition": condition}
    if not is_prompted(prompt, "a1111"):
        return {"type": "denoise", "wires": wires}
    wires |= {"step": "sample.step", "share": "sample.share", **({"uncond": "uncond"} if composed else {})}
    return {"type": "denoise_prompt", "wires": wires}


def _sampler(settings: Mapping[str, str], left: list[str]) -> tuple[str, str]:
    """Solver and spacing. Until version 1.9 a sampler's name ended in its schedule type, or it was uniform."""
    name, kind = settings.get("Sampler", "Euler a"), settings.get("Schedule type", "")
    for ending in () if kind else SPACINGS:
        if name.endswith(f" {ending}") and name not in SOLVERS:
            name, kind = name.removesuffix(f" {ending}"), ending
    if name not in SOLVERS:
        raise ValueError(
            f"there is no solver for A1111's sampler “{name:.60}”; those that there are: {', '.join(SOLVERS)}"
        )
    solver, automatic = SOLVERS[name]
    if name in ("DDIM", "PLMS") or kind == "Automatic":
        return solver, automatic
    if kind and kind not in SPACINGS:
        left.append(f"the schedule type {kind:.60} is none of ours; {automatic} is taken")
        return solver, automatic
    return solver, SPACINGS[kind or "Uniform"]


def _size(text: str, left: list[str]) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if match is None:
        left.append("the picture's size is not told; 512x512 is taken")
        return 512, 512
    width, height = map(int, match.groups())
    if not (8 <= width <= MOST_PIXELS and 8 <= height <= MOST_PIXELS):
        raise ValueError(f"the size {text} is not between 8 and {MOST_PIXELS} pixels")
    return width, height


def _whole(settings: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = settings.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,20}", text) or not int(text) <= most or (name != "Seed" and int(text) < 1):
        raise ValueError(f"{name} is “{text:.60}”, which is no number from {int(name != 'Seed')} to {most}")
    return int(text)


def _number(settings: Mapping[str, str], name: str, default: float) -> float:
    text = settings.get(name, str(default))
    if not re.fullmatch(r"-?[0-9]{1,3}(\.[0-9]{1,6})?", text) or abs(float(text)) > 100:
        raise ValueError(f"{name} is “{text:.60}”, which is no number from -100 to 100")
    return float(text)


def _model(settings: Mapping[str, str], left: list[str]) -> str:
    """Where the model may lie: its name among the workspace's models."""
    name, digest = settings.get("Model", ""), settings.get("Model hash", "")
    if name or digest:
        left.append(f"the model is {name[:80] or 'unnamed'}" + (f" ({digest[:64]}, as `models` lists hashes)" if digest else "") + "; say where its file is: --set path=FILE, and that of CLIP's tokenizer: --set tokenizer=FOLDER")  # fmt: skip
    safe = re.sub(r"[^A-Za-z0-9._ -]+", "_", name).strip(". ")[:80]
    return f"models/{safe}.safetensors" if safe else "models/stable-diffusion"
