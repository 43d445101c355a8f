"""ComfyUI's nodes that load and change models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nodes.comfyui.builder import Builder, Inputs
from nodes.comfyui.values import Clip, Model, Net, NoCounterpart, One, Value

CHECKPOINTS = ("checkpoints",)
DENOISERS = ("diffusion_models", "unet")
TEXT_ENCODERS = ("text_encoders", "clip")
SD_BETAS = {"kind": "linear", "timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012}
"""Stable Diffusion's (Rombach et al. 2022's released configuration)."""
BIGG = re.compile(r"clip_g|big_?g|text_encoder_2|encoder2", re.IGNORECASE)
"""How files of Stable Diffusion XL's second text encoder are called."""
ADAPTER = re.compile(r"t2i|adapter", re.IGNORECASE)
"""How T2I-Adapters are called."""
SAMPLING = {"eps": "eps", "v_prediction": "v", "x0": "x0"}


def _loaded(b: Builder, name: str, folders: Sequence[str], wanted: str) -> str:
    id = b.add("load_checkpoint", wanted, {"path": b.model_file(name, *folders)})
    b.expose("path", f"{id}.path")
    return id


def _family(b: Builder, id: str) -> str:
    """Whether a denoiser is Stable Diffusion XL's or its refiner's, as its file says; one that is not there, as it is called."""
    path = b.nodes[id].params["path"]
    name, known = b.known_as(path)
    told = name.lower()
    found = "refiner" if "refiner" in told else "xl" if "xl" in told else ""
    if found and not known:
        model = "Stable Diffusion XL's refiner" if found == "refiner" else "Stable Diffusion XL"
        b.tell(f"{name} is taken for {model} by its name, and is told sizes")
    return found


def checkpoint(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """CheckpointLoaderSimple: one file with all."""
    id = _loaded(b, i.text("ckpt_name"), CHECKPOINTS, "model")
    b.expose("tokenizer", f"{id}.tokenizer")
    b.checkpoints.append(id)
    model = Model(f"{id}.denoiser", f"{id}.schedule", family=_family(b, id))
    return model, Clip(f"{id}.text_encoder", f"{id}.tokenizer", bool(model.family)), One(f"{id}.autoencoder", "VAE")  # fmt: skip


def denoiser(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """UNETLoader: the denoiser alone."""
    id = _loaded(b, i.text("unet_name"), DENOISERS, "denoiser")
    return (Model(f"{id}.denoiser", f"{id}.schedule", family=_family(b, id)),)


def text_encoder(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """CLIPLoader: one text encoder."""
    if (kind := i.text("type", "stable_diffusion")) != "stable_diffusion":
        raise NoCounterpart(f"of the type {kind!r} loads text encoders that this importer does not draw")
    id = _loaded(b, i.text("clip_name"), TEXT_ENCODERS, "clip")
    b.expose("tokenizer", f"{id}.tokenizer")
    return (Clip(f"{id}.text_encoder", f"{id}.tokenizer"),)


def two_text_encoders(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """DualCLIPLoader: Stable Diffusion XL's two, in either order."""
    if (kind := i.text("type", "sdxl")) != "sdxl":
        raise NoCounterpart(f"of the type {kind!r} loads text encoders that this importer does not draw")
    names = sorted((i.text("clip_name1"), i.text("clip_name2")), key=lambda name: bool(BIGG.search(name)))
    first, second = (_loaded(b, name, TEXT_ENCODERS, wanted) for name, wanted in zip(names, ("clip_l", "clip_g"), strict=True))  # fmt: skip
    b.expose("tokenizer", f"{first}.tokenizer")
    wires = {"clip_l": f"{first}.text_encoder", "clip_g": f"{second}.text_encoder"}
    return (Clip(b.add("pair_text_encoders", "clip", {}, wires), f"{first}.tokenizer", pooled=True),)


def control_net(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ControlNetLoader, which loads T2I-Adapters too, and DiffControlNetLoader, of differences to a model."""
    path = b.model_file(i.text("control_net_name"), "controlnet", "t2i_adapter")
    if ADAPTER.search(b.known_as(path)[0]):
        id = b.add("load_t2i_adapter", "adapter", {"path": path})
    else:
        base = unet_of(i.get("model", Model)) if i.has("model") else None
        id = b.add("load_controlnet", "controlnet", {"path": path}, {"base": base})
    b.expose("controlnet", f"{id}.path")
    return (Net(id, b.nodes[id].type == "load_t2i_adapter"),)


def autoencoder(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """VAELoader: an autoencoder alone, with the scale of the checkpoint's own where there is one, else Stable Diffusion's."""
    id = _loaded(b, i.text("vae_name"), ("vae",), "vae")
    like = f"{b.checkpoints[0]}.autoencoder" if b.checkpoints else None
    scaled = b.add("scale_latents_for", "vae_scaled", {}, {"autoencoder": f"{id}.autoencoder", "like": like})
    return (One(scaled, "VAE"),)


def unet_of(model: Model) -> str:
    """The wire of a denoiser that is a UNet, which LoRA files change."""
    return model.denoiser.removesuffix(".denoiser") + ".unet" * model.denoiser.endswith(".denoiser")


def lora(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LoraLoader: both halves."""
    model, clip = i.get("model", Model), i.get("clip", Clip)
    path = b.model_file(i.text("lora_name"), "loras")
    strengths = {"strength": i.number("strength_model", 1.0), "text_strength": i.number("strength_clip", 1.0)}
    id = b.add("lora", "lora", {"path": path, **strengths}, {"unet": unet_of(model), "text_encoder": clip.encoder})
    b.expose("lora", f"{id}.path")
    return replace(model, denoiser=f"{id}.unet"), replace(clip, encoder=f"{id}.text_encoder")


def lora_unet(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LoraLoaderModelOnly."""
    model = i.get("model", Model)
    path = b.model_file(i.text("lora_name"), "loras")
    id = b.add("lora_unet", "lora", {"path": path, "strength": i.number("strength_model", 1.0)}, {"unet": unet_of(model)})  # fmt: skip
    b.expose("lora", f"{id}.path")
    return (replace(model, denoiser=id),)


def clip_skip(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """CLIPSetLastLayer: −1 is the last layer."""
    clip, stop = i.get("clip", Clip), i.whole("stop_at_clip_layer", -1)
    if stop >= 0:
        raise NoCounterpart(f"counts layers from the front (stop_at_clip_layer {stop})")
    if stop == -1:
        return (clip,)
    return (replace(clip, encoder=b.add("clip_skip", "", {"layers": -stop - 1}, {"text_encoder": clip.encoder})),)


def discrete_schedule(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ModelSamplingDiscrete: what the denoiser predicts, and zero terminal SNR."""
    if (kind := i.text("sampling")) not in SAMPLING:
        raise NoCounterpart(f"with sampling {kind!r} has no counterpart here")
    params = {
        **SD_BETAS,
        "parametrisation": SAMPLING[kind],
        "zero_terminal_snr": True if i.flag("zsnr", False) else None,
    }
    return (replace(i.get("model", Model), schedule=b.add("noise_schedule", "schedule", params)),)


def flow_schedule(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ModelSamplingSD3: rectified flow, shifted."""
    schedule = b.add("rectified_flow", "schedule", {"shift": i.number("shift", 3.0)})
    return (replace(i.get("model", Model), schedule=schedule),)


def rescaled(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """RescaleCFG: guidance brought back to the conditional prediction's deviation."""
    b.tell("RescaleCFG compares deviations of velocities; here they are those of what the denoiser predicts")
    return (replace(i.get("model", Model), rescale=i.number("multiplier", 0.7)),)


def freeu(version: str) -> Any:
    """FreeU and FreeU_V2: a builder for the version."""

    def build(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
        model = i.get("model", Model)
        if model.freeu:
            raise NoCounterpart("changes a model that FreeU has changed before, which is not drawn here")
        names = ("b1", "b2", "s1", "s2")
        return (replace(model, freeu=(*((name, i.number(name)) for name in names), ("version", version))),)

    return build
