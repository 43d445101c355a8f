"""Our workflows as prompts of ComfyUI's API, as far as its nodes say the same.

What they cannot say is refused by the node's name: the spacing of a sampling must be one of ComfyUI's, for another would give another
picture there.
"""

from __future__ import annotations

import json
import re
from typing import Any

from core.diffusion.solvers import SOLVERS
from graph_runner.base.problems import WorkflowError
from graph_runner.contract import exports_workflows
from graph_runner.format.workflow import Node, Workflow
from nodes.comfyui import writers
from nodes.comfyui.sampling import NEAR, SAMPLERS, SCHEDULERS
from nodes.comfyui.writing import Export, Link, Refused, Writer, file_name

NOISE = ("noise_like", "gaussian_noise", "torch_noise")
SETTINGS = (*NOISE, "size_condition")
"""What becomes a part of the sampler, or of the prompt, that reads it."""
SHAPES = {"gaussian_noise": [1, 4, 32, 32], "torch_noise": [1, 4, 64, 64]}
"""What these draw where no shape is typed in."""
EMPTY = {4: "EmptyLatentImage", 16: "EmptySD3LatentImage"}
"""Their latents without a picture, by channels."""
HOLDS = "KSampler holds classifier-free guidance: two denoise and one cfg_combine, and ControlNets for both"
INSIDE = ("denoise", "cfg_combine", "apply_controlnet", "apply_t2i_adapter", "rows", "expression", "to_number")
"""What a sampling may hold that is one KSampler there."""
SIZES = ("steps", "start_at_step", "end_at_step")


@exports_workflows("comfyui")
def as_comfyui(workflow: Workflow) -> str:
    """The prompt, as `POST /prompt` and ComfyUI's canvas take it. Raises WorkflowError, naming each node that cannot be expressed."""
    export = Export(workflow, WRITERS)
    for id, node in workflow.nodes.items():
        if node.type not in SETTINGS:
            export.tried(id, node)
    if export.problems:
        raise WorkflowError(export.problems)
    export.drop_unread()
    return json.dumps(export.prompt, indent=1, ensure_ascii=False) + "\n"


def _checkpoint(e: Export, node: Node) -> tuple[str, dict[str, Any]]:
    e.plain(node, "path", "tokenizer", "dtype")
    return "CheckpointLoaderSimple", {"ckpt_name": file_name(e.literal(node, "path"), "checkpoints")}


def _lora(e: Export, node: Node) -> tuple[str, dict[str, Any]]:
    e.plain(node, "path", "strength", "text_strength")
    inputs = {
        "model": e.link(node, "unet"),
        "clip": e.link(node, "text_encoder"),
        "lora_name": file_name(e.literal(node, "path"), "loras"),
        "strength_model": e.literal(node, "strength", 1.0),
        "strength_clip": e.literal(node, "text_strength", 1.0),
    }
    return "LoraLoader", inputs


def _lora_unet(e: Export, node: Node) -> tuple[str, dict[str, Any]]:
    name = file_name(e.literal(node, "path"), "loras")
    strength = e.literal(node, "strength", 1.0)
    return "LoraLoaderModelOnly", {"model": e.link(node, "unet"), "lora_name": name, "strength_model": strength}


def _clip_skip(e: Export, node: Node) -> tuple[str, dict[str, Any]]:
    stop = -1 - e.literal(node, "layers", 1)
    return "CLIPSetLastLayer", {"clip": e.link(node, "text_encoder"), "stop_at_clip_layer": stop}


def _prompt(e: Export, node: Node) -> tuple[str, dict[str, Any]]:
    e.plain(node, "prompts", "style")
    prompts, style = e.literal(node, "prompts", [""]), e.literal(node, "style", "plain")
    if len(prompts) != 1:
        raise Refused(f"holds {len(prompts)} prompts; ComfyUI takes one for all pictures")
    text = prompts[0]
    if style not in ("plain", "comfyui"):
        raise Refused(f"reads its prompts in the style {style}; ComfyUI has its own (comfyui)")
    if style == "plain":
        if re.search(r"(?<!\\)[\[\]]", text):
            raise Refused("ComfyUI takes [word] for text; write (word:0.9)")
        text = re.sub(r"\\([\[\]])", r"\1", text)
    return "CLIPTextEncode", {"clip": e.link(node, "text_encoder"), "text": text}


def _encode(e: Export, node: Node) -> tuple[str, dict[str, Any]]:
    return "VAEEncode", {"vae": e.link(node, "autoencoder"), "pixels": e.link(node, "images")}


def _decode(e: Export, node: Node) -> tuple[str, dict[str, Any]]:
    return "VAEDecode", {"vae": e.link(node, "autoencoder"), "samples": e.link(node, "z")}


def _load_image(e: Export, node: Node) -> tuple[str, dict[str, Any]]:
    e.plain(node, "path")
    return "LoadImage", {"image": file_name(e.literal(node, "path"), "uploads")}


def _save_image(e: Export, node: Node) -> tuple[str, dict[str, Any]]:
    return "SaveImage", {"images": e.link(node, "images"), "filename_prefix": e.literal(node, "name", "image")}


def _preview_image(e: Export, node: Node) -> tuple[str, dict[str, Any]]:
    return "PreviewImage", {"images": e.link(node, "images")}


def _sample(e: Export, node: Node) -> tuple[str, dict[str, Any]]:
    e.plain(node, "solver", "spacing", "strength", "seed", "noise_as", "noise_seed", *SIZES)
    inputs = {**_guidance(e, node), **_solver(e, node)}
    steps = e.literal(node, "steps", 50)
    strength = e.literal(node, "strength", 1.0)
    start = e.literal(node, "start_at_step", 0) or steps - int(strength * steps + 1e-6)
    end = e.literal(node, "end_at_step")
    seed, latent = _start(e, node)
    own = _seed(e, node)
    stochastic = SOLVERS[e.literal(node, "solver", "ddim")].adds_noise()
    if seed is not None and stochastic and own != seed:
        raise Refused(f"its seed is {own} and its noise's {seed}; ComfyUI has one for both")
    inputs |= {"latent_image": latent}
    if start >= steps:
        raise Refused(f"walks none of its {steps} steps; start before the last")
    denoise = (steps - start) / steps
    if seed is not None and end is None and int((steps - start) / denoise) == steps:
        return "KSampler", inputs | {"seed": seed, "steps": steps - start, "denoise": denoise}
    switches = ("enable" if seed is not None else "disable", "enable" if end is not None else "disable")
    inputs |= {"add_noise": switches[0], "noise_seed": own if seed is None else seed, "steps": steps}  # fmt: skip
    inputs |= {"start_at_step": start, "end_at_step": end or 10000, "return_with_leftover_noise": switches[1]}
    return "KSamplerAdvanced", inputs


def _guidance(e: Export, node: Node) -> dict[str, Any]:
    """Model, conditions and scale, of a body that is classifier-free guidance of one denoiser."""
    body = node.body.nodes if node.body is not None else {}
    result = node.body.results.get("prediction") if node.body is not None else None
    guide = body.get(result) if isinstance(result, str) else None
    if guide is None or guide.type != "cfg_combine" or any(each.type not in INSIDE for each in body.values()):
        raise Refused(HOLDS)
    models, told = list[Link](), list[str]()
    for port in ("cond", "uncond"):
        ref = guide.wires.get(port)
        one = body.get(ref) if isinstance(ref, str) else None
        if one is None or one.type != "denoise" or any(not str(one.wires.get(p, "")).endswith(f".{p}") for p in ("z", "t")):  # fmt: skip
            raise Refused(HOLDS)
        condition = one.wires.get("condition")
        if not isinstance(condition, str):
            raise Refused("its condition needs one wire")
        told.append(condition)
        models.append(e.link(one, "model"))
    if models[0] != models[1]:
        raise Refused("KSampler has one model for both predictions")
    if e.link(node, "schedule") != writers.loader_of(e, models[0]):
        raise Refused("KSampler takes the schedule of its own model; wire that of the denoiser's checkpoint")
    scale = e.literal(guide, "scale", 7.5)
    positive, negative = writers.controlled(e, body, (told[0], told[1]))
    return {"cfg": scale, "positive": positive, "negative": negative, "model": models[0]}


def _solver(e: Export, node: Node) -> dict[str, Any]:
    solver, spacing = e.literal(node, "solver", "ddim"), e.literal(node, "spacing") or ""
    name = next((theirs for theirs, ours in SAMPLERS.items() if ours == solver and theirs not in NEAR), None)
    if name is None:
        able = ", ".join(sorted({ours for theirs, ours in SAMPLERS.items() if theirs not in NEAR}))
        raise Refused(f"ComfyUI has no sampler that is the solver {solver!r}; it can be {able}")
    scheduler = spacing.removeprefix("comfyui_")
    if not spacing.startswith("comfyui_") or scheduler not in SCHEDULERS:
        raise Refused(f"its spacing {spacing!r} is not ComfyUI's; it can be {', '.join(f'comfyui_{s}' for s in SCHEDULERS)}")  # fmt: skip
    return {"sampler_name": name, "scheduler": scheduler}


def _start(e: Export, node: Node) -> tuple[int | None, Link]:
    """The seed of the noise, None for none, and the latent to begin with."""
    if "z" in node.wires:
        return None, e.link(node, "z")
    noise_id, _ = e.link(node, "noise")
    noise = e.nodes[noise_id]
    if noise.type not in NOISE:
        raise Refused("its noise comes from no torch_noise, gaussian_noise or noise_like")
    e.plain(noise, "seed", "shape", "noise_as", "noise_seed")
    seed = _seed(e, noise)
    if "z0" in node.wires:
        return seed, e.link(node, "z0")
    if noise.type == "noise_like":
        raise Refused("its noise is like a latent that it does not begin with")
    batch, channels, height, width = e.literal(noise, "shape", SHAPES[noise.type])
    if channels not in EMPTY:
        raise Refused(f"its noise has {channels} channels; ComfyUI has latents of {', '.join(map(str, EMPTY))}")
    size = {"width": 8 * width, "height": 8 * height, "batch_size": batch}
    e.prompt[noise_id] = {"class_type": EMPTY[channels], "inputs": size, "_meta": {"title": noise_id}}
    return seed, [noise_id, 0]


def _seed(e: Export, node: Node) -> int:
    """ComfyUI's seed of a node that draws as it does, else the node's own."""
    way = str(e.literal(node, "noise_as", "diffusers" if node.type == "torch_noise" else "by row"))
    alike = way == "diffusers" and node.type in NOISE  # at the start; what a solver adds is drawn otherwise
    if way != "by row" and not way.startswith("comfyui") and not alike:
        raise Refused(f"draws noise as {way!r}; ComfyUI draws its own")
    named = "seed" if way == "by row" or node.type == "torch_noise" else "noise_seed"
    return int(e.literal(node, named, 0))


WRITERS: dict[str, Writer] = {
    **writers.WRITERS,
    "load_checkpoint": _checkpoint,
    "lora": _lora,
    "lora_unet": _lora_unet,
    "clip_skip": _clip_skip,
    "text_context": _prompt,
    "encode": _encode,
    "decode": _decode,
    "load_image": _load_image,
    "save_image": _save_image,
    "preview_image": _preview_image,
    "sample": _sample,
}
"""How our nodes are written there."""
