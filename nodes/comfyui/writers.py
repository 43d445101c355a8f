"""How nodes for conditions, models, networks and pictures are told ComfyUI: the other direction of the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graph_runner.format.wires import split
from graph_runner.format.workflow import Node
from nodes.comfyui.pictures import FACTOR, METHODS
from nodes.comfyui.writing import Export, Link, Refused, Writer, file_name

Told = tuple[str, dict[str, Any]]
DEFAULTS = {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}
THROUGH = {"lora": "unet", "lora_unet": "unet", "freeu": "unet", "blend_models": "a", "add_difference": "a"}
"""Nodes that change a model, whose schedule they leave: the port that it comes in by."""
SHARE = "(999 - t) / 1000"
"""How the importer counts the way by timesteps."""


# --- models ----------------------------------------------------------------------------------------------------------


def loader_of(e: Export, model: Link) -> Link:
    """What loaded a model, before it was changed."""
    while (node := e.nodes[model[0]]).type in THROUGH:
        model = e.link(node, THROUGH[node.type])
    return model


def _freeu(e: Export, node: Node) -> Told:
    if e.literal(node, "stages", "by width") != "by width":
        raise Refused("ComfyUI's FreeU takes its stages by width")
    kind = "FreeU_V2" if e.literal(node, "version", "2") == "2" else "FreeU"
    return kind, {"model": e.link(node, "unet"), **{name: e.literal(node, name, each) for name, each in DEFAULTS.items()}}  # fmt: skip


def _kind(link: Link) -> str:
    """Whether a link is a model's or a text encoder's. Raises Refused for another."""
    names = {0: "Model", 1: "CLIP"}
    if link[1] not in names:
        raise Refused("ComfyUI mixes models and text encoders, and no autoencoders")
    return names[link[1]]


def _blended(e: Export, node: Node) -> Told:
    if e.literal(node, "layers", ["*"]) != ["*"]:
        raise Refused("ComfyUI mixes single layers by nodes of their own; mix all")
    links = [e.link(node, port) for port in ("a", "b")]
    kind = _kind(_first(e, links[0]))
    names = ("model1", "model2") if kind == "Model" else ("clip1", "clip2")
    return f"{kind}MergeSimple", {**dict(zip(names, links, strict=True)), "ratio": 1 - e.literal(node, "weight", 0.5)}


def _added(e: Export, node: Node) -> Told:
    if e.literal(node, "layers", ["*"]) != ["*"]:
        raise Refused("ComfyUI adds differences of all layers")
    a, b, c = (e.link(node, port) for port in "abc")
    kind = _kind(_first(e, a))
    names = ("model1", "model2") if kind == "Model" else ("clip1", "clip2")
    id = e.beside(f"{kind}MergeSubtract", {names[0]: b, names[1]: c, "multiplier": e.literal(node, "weight", 1.0)})
    return f"{kind}MergeAdd", {names[0]: a, names[1]: [id, 0]}


def _first(e: Export, link: Link) -> Link:
    """Where a model or text encoder comes from, before it was changed."""
    port = {"clip_skip": "text_encoder", "lora_text_encoder": "text_encoder", **THROUGH}
    while (node := e.nodes[link[0]]).type in port:
        if node.type == "lora":
            return link
        link = e.link(node, port[node.type])
    return link


def _controlnet(e: Export, node: Node) -> Told:
    e.plain(node, "path", "dtype")
    name = {"control_net_name": file_name(e.literal(node, "path"), "controlnet")}
    if "base" in node.wires:
        return "DiffControlNetLoader", {"model": e.link(node, "base"), **name}
    return "ControlNetLoader", name


# --- conditions ------------------------------------------------------------------------------------------------------


def _average(e: Export, node: Node) -> Told:
    links = {"conditioning_to": e.link(node, "a"), "conditioning_from": e.link(node, "b")}
    return "ConditioningAverage", {**links, "conditioning_to_strength": 1 - e.literal(node, "weight", 0.5)}


def _null(e: Export, node: Node) -> Told:
    return "ConditioningZeroOut", {"conditioning": e.link(node, "conditioning")}


def _both(e: Export, node: Node) -> Told:
    a, b = e.link(node, "a"), e.link(node, "b")
    sizes = e.nodes[b[0]]
    if sizes.type != "size_condition":
        return "ConditioningConcat", {"conditioning_to": a, "conditioning_from": b}
    text = e.nodes[a[0]]
    if text.type != "text_context":
        raise Refused("ComfyUI tells sizes with a prompt, in one node; combine them with a text_context")
    e.plain(sizes, "original", "crop_top_left", "target", "aesthetic_score")
    _, told = e.writers["text_context"](e, text)
    e.within.add(a[0])
    height, width = e.literal(sizes, "original", [1024, 1024])
    score = e.literal(sizes, "aesthetic_score")
    if score is not None:
        return "CLIPTextEncodeSDXLRefiner", {"clip": told["clip"], "ascore": score, "width": width, "height": height, "text": told["text"]}  # fmt: skip
    top, left = e.literal(sizes, "crop_top_left", [0, 0])
    target = e.literal(sizes, "target", [1024, 1024])
    size = {"width": width, "height": height, "crop_w": left, "crop_h": top, "target_width": target[1], "target_height": target[0]}  # fmt: skip
    return "CLIPTextEncodeSDXL", {"clip": told["clip"], **size, "text_g": told["text"], "text_l": told["text"]}


def controlled(e: Export, body: Mapping[str, Node], sides: tuple[str, str]) -> tuple[Link, Link]:
    """Links to what both sides of a guidance are told, of wires in a body, where networks are applied to both.

    Raises Refused where a network is at work for one of them, or says when it is by the share of steps.
    """
    sources = [split(ref) for ref in sides]
    node = body.get(sources[0][0])
    if node is None and sources[1][0] not in body:
        return e.output(sides[0], "condition"), e.output(sides[1], "condition")
    if node is None or node.type not in ("apply_controlnet", "apply_t2i_adapter") or sources != [(sources[0][0], "condition"), (sources[0][0], "negative")]:  # fmt: skip
        raise Refused("ControlNetApplyAdvanced is for both sides of guidance: wire condition and negative of one node")
    e.plain(node, "strength", "start", "end", *(("guess",) if not node.params.get("guess") else ()))
    positive, negative = controlled(e, body, (str(node.wires.get("condition")), str(node.wires.get("negative"))))
    start, end = _range(body, node)
    net = "controlnet" if node.type == "apply_controlnet" else "adapter"
    inputs = {"positive": positive, "negative": negative, "control_net": e.link(node, net), "image": e.link(node, "picture")}  # fmt: skip
    ends = {"strength": e.literal(node, "strength", 1.0), "start_percent": start, "end_percent": end}
    id = e.beside("ControlNetApplyAdvanced", inputs | ends)
    return [id, 0], [id, 1]


def _range(body: Mapping[str, Node], node: Node) -> tuple[float, float]:
    """From which share of the timesteps to which a network is at work."""
    if "share" not in node.wires:
        return 0.0, 1.0
    number = body.get(str(node.wires["share"]))
    done = body.get(str(number.wires.get("x"))) if number is not None else None
    if done is None or done.params.get("formula") != SHARE:
        raise Refused("ComfyUI counts a network's start and end by timesteps; its share is another")
    start, end = node.params.get("start", 0.0) / 0.999, (node.params.get("end", 1.0) - 5e-5) / 0.999
    return round(start, 4), min(round(end, 4), 1.0)


# --- pictures --------------------------------------------------------------------------------------------------------


def _canny(e: Export, node: Node) -> Told:
    thresholds = {"low_threshold": e.literal(node, "low", 0.4), "high_threshold": e.literal(node, "high", 0.8)}
    return "Canny", {"image": e.link(node, "images"), **thresholds}


def _outpainting(e: Export, node: Node) -> Told:
    sides = {name: e.literal(node, name, 0) for name in ("left", "top", "right", "bottom")}
    return "ImagePadForOutpaint", {"image": e.link(node, "images"), **sides, "feathering": e.literal(node, "feather", 40)}  # fmt: skip


def _image_to_mask(e: Export, node: Node) -> Told:
    return "ImageToMask", {"image": e.link(node, "images"), "channel": e.literal(node, "channel", "red")}


def _mask_to_image(e: Export, node: Node) -> Told:
    return "MaskToImage", {"mask": e.link(node, "mask")}


def _plain_mask(e: Export, node: Node) -> Told:
    size = {name: e.literal(node, name, 512) for name in ("width", "height")}
    return "SolidMask", {"value": e.literal(node, "value", 1.0), **size}


def _load_mask(e: Export, node: Node) -> Told:
    e.plain(node, "path")
    return "LoadImageMask", {"image": file_name(e.literal(node, "path"), "uploads"), "channel": "red"}


def _stacked(e: Export, node: Node) -> Told:
    wires = node.wires.get("images")
    if not isinstance(wires, list) or len(wires) != 2:
        raise Refused("ImageBatch joins two batches")
    first, second = (e.output(ref, "images") for ref in wires)
    return "ImageBatch", {"image1": first, "image2": second}


def _resized(e: Export, node: Node) -> Told:
    """A picture's size in pixels, or a latent's."""
    x = e.link(node, "x")
    kinds = {ours: theirs for theirs, ours in METHODS.items()}
    inputs: dict[str, Any] = {"upscale_method": kinds[e.literal(node, "kind", "bilinear")]}
    latent = e.nodes[x[0]].type in ("sample", "encode")
    name, port = ("LatentUpscale", "samples") if latent else ("ImageScale", "image")
    height, width, pixels = (e.literal(node, each, 0) for each in ("height", "width", "pixels"))
    inputs |= {port: x}
    crop = e.literal(node, "crop", False)
    if height or width:
        cell = FACTOR if latent else 1
        return name, inputs | {"width": cell * width, "height": cell * height, "crop": "center" if crop else "disabled"}
    if crop or (pixels and latent):
        raise Refused("ComfyUI crops, and counts a latent's cells, where a size is given")
    if pixels:
        return "ImageScaleToTotalPixels", inputs | {"megapixels": pixels / 2**20}
    return f"{name}By", inputs | {"scale_by": e.literal(node, "factor", 1.0)}


WRITERS: dict[str, Writer] = {
    "freeu": _freeu,
    "blend_models": _blended,
    "add_difference": _added,
    "load_controlnet": _controlnet,
    "load_t2i_adapter": _controlnet,
    "average_conditions": _average,
    "null_like": _null,
    "combine_conditions": _both,
    "canny_edges": _canny,
    "pad_for_outpainting": _outpainting,
    "image_to_mask": _image_to_mask,
    "mask_to_image": _mask_to_image,
    "plain_mask": _plain_mask,
    "load_mask_image": _load_mask,
    "stack_images": _stacked,
    "resize": _resized,
}
"""By the types of our nodes."""
