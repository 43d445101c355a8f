"""Our workflows as prompts of ComfyUI's API: text to image, image to image and LoRAs, as far as its nodes say the same.

What they cannot say is refused by the node's name: the spacing of a sampling must be one of ComfyUI's, for another would give another
picture there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from core.diffusion.solvers import SOLVERS
from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.contract import exports_workflows
from graph_runner.format.wires import split
from graph_runner.format.workflow import Node, Workflow
from nodes.comfyui.sampling import NEAR, SAMPLERS, SCHEDULERS

Link = list[Any]
PORTS = {
    "load_checkpoint": {"denoiser": 0, "unet": 0, "schedule": 0, "text_encoder": 1, "tokenizer": 1, "autoencoder": 2},
    "lora": {"unet": 0, "text_encoder": 1},
}
"""Which output of theirs stands for which of ours, where there are several; other nodes have one."""
SETTINGS = ("noise_like", "gaussian_noise", "torch_noise")
"""What becomes a part of the sampler that reads it."""
SIZES = ("steps", "start_at_step", "end_at_step")


@exports_workflows("comfyui")
def as_comfyui(workflow: Workflow) -> str:
    """The prompt, as `POST /prompt` and ComfyUI's canvas take it. Raises WorkflowError, naming each node that cannot be expressed."""
    export = _Export(workflow)
    for id, node in workflow.nodes.items():
        if node.type not in SETTINGS:
            export.tried(id, node)
    if export.problems:
        raise WorkflowError(export.problems)
    return json.dumps(export.prompt, indent=1, ensure_ascii=False) + "\n"


class _Refused(Exception):  # noqa: N818
    """Why a node cannot be expressed."""


class _Export:
    def __init__(self, workflow: Workflow) -> None:
        self.nodes = workflow.nodes
        self.prompt: dict[str, Any] = {}
        self.problems: list[Problem] = []

    def tried(self, id: str, node: Node) -> None:
        """Express a node, or tell why not."""
        try:
            if node.mode != "run":
                raise _Refused("is muted or bypassed; take it out")
            if node.type not in WRITERS:
                raise _Refused(f"ComfyUI has no node for {node.type!r}")
            kind, inputs = WRITERS[node.type](self, node)
            self.prompt[id] = {"class_type": kind, "inputs": inputs, "_meta": {"title": id}}
        except _Refused as refused:
            self.problems.append(Problem(str(refused), id))

    def link(self, node: Node, port: str) -> Link:
        """What goes into a port. Raises _Refused where nothing does, or what they have no wire for."""
        ref = node.wires.get(port)
        if not isinstance(ref, str):
            raise _Refused(f"its {port} needs one wire")
        source, output = split(ref)
        if source not in self.nodes:
            raise _Refused(f"its {port} comes from a body")
        slots = PORTS.get(self.nodes[source].type)
        if slots is not None and output not in slots:
            raise _Refused(f"its {port} comes from {ref}, which ComfyUI does not give")
        return [source, slots[output] if slots is not None else 0]

    def literal(self, node: Node, name: str, default: Any = None) -> Any:
        """A parameter. Raises _Refused where it is wired."""
        if name in node.wires:
            raise _Refused(f"its {name} is wired; type it in")
        return node.params.get(name, default)

    def plain(self, node: Node, *known: str) -> None:
        """Raise _Refused for a parameter that is set and has no place there."""
        if others := sorted(name for name, value in node.params.items() if name not in known and value is not None):
            raise _Refused(f"ComfyUI has no place for its {', '.join(others)}")


Writer = Callable[[_Export, Node], tuple[str, dict[str, Any]]]


def _checkpoint(e: _Export, node: Node) -> tuple[str, dict[str, Any]]:
    e.plain(node, "path", "tokenizer", "dtype")
    return "CheckpointLoaderSimple", {"ckpt_name": _file(e.literal(node, "path"), "checkpoints")}


def _lora(e: _Export, node: Node) -> tuple[str, dict[str, Any]]:
    e.plain(node, "path", "strength", "text_strength")
    inputs = {
        "model": e.link(node, "unet"),
        "clip": e.link(node, "text_encoder"),
        "lora_name": _file(e.literal(node, "path"), "loras"),
        "strength_model": e.literal(node, "strength", 1.0),
        "strength_clip": e.literal(node, "text_strength", 1.0),
    }
    return "LoraLoader", inputs


def _lora_unet(e: _Export, node: Node) -> tuple[str, dict[str, Any]]:
    name = _file(e.literal(node, "path"), "loras")
    strength = e.literal(node, "strength", 1.0)
    return "LoraLoaderModelOnly", {"model": e.link(node, "unet"), "lora_name": name, "strength_model": strength}


def _clip_skip(e: _Export, node: Node) -> tuple[str, dict[str, Any]]:
    stop = -1 - e.literal(node, "layers", 1)
    return "CLIPSetLastLayer", {"clip": e.link(node, "text_encoder"), "stop_at_clip_layer": stop}


def _prompt(e: _Export, node: Node) -> tuple[str, dict[str, Any]]:
    e.plain(node, "prompts", "style")
    prompts, style = e.literal(node, "prompts", [""]), e.literal(node, "style", "plain")
    if len(prompts) != 1:
        raise _Refused(f"holds {len(prompts)} prompts; ComfyUI takes one for all pictures")
    text = prompts[0]
    if style not in ("plain", "comfyui"):
        raise _Refused(f"reads its prompts in the style {style}; ComfyUI has its own (comfyui)")
    if style == "plain":
        if re.search(r"(?<!\\)[\[\]]", text):
            raise _Refused("ComfyUI takes [word] for text; write (word:0.9)")
        text = re.sub(r"\\([\[\]])", r"\1", text)
    return "CLIPTextEncode", {"clip": e.link(node, "text_encoder"), "text": text}


def _encode(e: _Export, node: Node) -> tuple[str, dict[str, Any]]:
    return "VAEEncode", {"vae": e.link(node, "autoencoder"), "pixels": e.link(node, "images")}


def _decode(e: _Export, node: Node) -> tuple[str, dict[str, Any]]:
    return "VAEDecode", {"vae": e.link(node, "autoencoder"), "samples": e.link(node, "z")}


def _load_image(e: _Export, node: Node) -> tuple[str, dict[str, Any]]:
    e.plain(node, "path")
    return "LoadImage", {"image": _file(e.literal(node, "path"), "uploads")}


def _save_image(e: _Export, node: Node) -> tuple[str, dict[str, Any]]:
    return "SaveImage", {"images": e.link(node, "images"), "filename_prefix": e.literal(node, "name", "image")}


def _preview_image(e: _Export, node: Node) -> tuple[str, dict[str, Any]]:
    return "PreviewImage", {"images": e.link(node, "images")}


def _sample(e: _Export, node: Node) -> tuple[str, dict[str, Any]]:
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
        raise _Refused(f"its seed is {own} and its noise's {seed}; ComfyUI has one for both")
    inputs |= {"latent_image": latent}
    denoise = (steps - start) / steps
    if seed is not None and end is None and int((steps - start) / denoise) == steps:
        return "KSampler", inputs | {"seed": seed, "steps": steps - start, "denoise": denoise}
    switches = ("enable" if seed is not None else "disable", "enable" if end is not None else "disable")
    inputs |= {"add_noise": switches[0], "noise_seed": own if seed is None else seed, "steps": steps}  # fmt: skip
    inputs |= {"start_at_step": start, "end_at_step": end or 10000, "return_with_leftover_noise": switches[1]}
    return "KSamplerAdvanced", inputs


def _guidance(e: _Export, node: Node) -> dict[str, Any]:
    """Model, conditions and scale, of a body that is classifier-free guidance of one denoiser."""
    body = node.body.nodes if node.body is not None else {}
    result = node.body.results.get("prediction") if node.body is not None else None
    guide = body.get(result) if isinstance(result, str) else None
    if guide is None or guide.type != "cfg_combine" or len(body) != 3:
        raise _Refused("KSampler holds classifier-free guidance: two denoise and one cfg_combine")
    told: dict[str, Any] = {"cfg": e.literal(guide, "scale", 7.5)}
    models: list[Link] = []
    for port, name in (("cond", "positive"), ("uncond", "negative")):
        ref = guide.wires.get(port)
        one = body.get(ref) if isinstance(ref, str) else None
        if one is None or one.type != "denoise" or any(not str(one.wires.get(p, "")).endswith(f".{p}") for p in ("z", "t")):  # fmt: skip
            raise _Refused("KSampler holds classifier-free guidance: two denoise and one cfg_combine")
        told[name] = e.link(one, "condition")
        models.append(e.link(one, "model"))
    if models[0] != models[1]:
        raise _Refused("KSampler has one model for both predictions")
    loader = models[0]
    while e.nodes[loader[0]].type in ("lora", "lora_unet"):
        loader = e.link(e.nodes[loader[0]], "unet")
    if e.link(node, "schedule") != loader:
        raise _Refused("KSampler takes the schedule of its own model; wire that of the denoiser's checkpoint")
    return told | {"model": models[0]}


def _solver(e: _Export, node: Node) -> dict[str, Any]:
    solver, spacing = e.literal(node, "solver", "ddim"), e.literal(node, "spacing") or ""
    name = next((theirs for theirs, ours in SAMPLERS.items() if ours == solver and theirs not in NEAR), None)
    if name is None:
        able = ", ".join(sorted({ours for theirs, ours in SAMPLERS.items() if theirs not in NEAR}))
        raise _Refused(f"ComfyUI has no sampler that is the solver {solver!r}; it can be {able}")
    scheduler = spacing.removeprefix("comfyui_")
    if not spacing.startswith("comfyui_") or scheduler not in SCHEDULERS:
        raise _Refused(f"its spacing {spacing!r} is not ComfyUI's; it can be {', '.join(f'comfyui_{s}' for s in SCHEDULERS)}")  # fmt: skip
    return {"sampler_name": name, "scheduler": scheduler}


def _start(e: _Export, node: Node) -> tuple[int | None, Link]:
    """The seed of the noise, None for none, and the latent to begin with."""
    if "z" in node.wires:
        return None, e.link(node, "z")
    noise_id, _ = e.link(node, "noise")
    noise = e.nodes[noise_id]
    if noise.type not in SETTINGS:
        raise _Refused("its noise comes from no torch_noise, gaussian_noise or noise_like")
    e.plain(noise, "seed", "shape", "noise_as", "noise_seed")
    seed = _seed(e, noise)
    if "z0" in node.wires:
        return seed, e.link(node, "z0")
    if noise.type == "noise_like":
        raise _Refused("its noise is like a latent that it does not begin with")
    batch, _, height, width = e.literal(noise, "shape", [1, 4, 32, 32])
    size = {"width": 8 * width, "height": 8 * height, "batch_size": batch}
    e.prompt[noise_id] = {"class_type": "EmptyLatentImage", "inputs": size, "_meta": {"title": noise_id}}
    return seed, [noise_id, 0]


def _seed(e: _Export, node: Node) -> int:
    """ComfyUI's seed of a node that draws as it does, else the node's own."""
    way = str(e.literal(node, "noise_as", "by row"))
    if way != "by row" and not way.startswith("comfyui"):
        raise _Refused(f"draws noise as {way!r}; ComfyUI draws its own")
    named = "seed" if way == "by row" or node.type == "torch_noise" else "noise_seed"
    return int(e.literal(node, named, 0))


def _file(path: str, folder: str) -> str:
    """The name of a file as ComfyUI has it: below the folder of its kind, or the last part alone."""
    parts = PurePosixPath(path).parts
    return "/".join(parts[parts.index(folder) + 1 :] if folder in parts[:-1] else parts[-1:])


WRITERS: dict[str, Writer] = {
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
