"""ComfyUI's nodes that load and change models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nodes.comfyui.builder import Builder, Inputs
from nodes.comfyui.values import Clip, Model, NoCounterpart, One, Value

CHECKPOINTS = ("checkpoints",)
DENOISERS = ("diffusion_models", "unet")
TEXT_ENCODERS = ("text_encoders", "clip")
SD_BETAS = {"kind": "linear", "timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012}
"""Stable Diffusion's (Rombach et al. 2022's released configuration)."""
SAMPLING = {"eps": "eps", "v_prediction": "v", "x0": "x0"}


def _loaded(b: Builder, name: str, folders: Sequence[str], wanted: str) -> str:
    id = b.add("load_checkpoint", wanted, {"path": b.model_file(name, *folders)})
    b.expose("path", f"{id}.path")
    return id


def checkpoint(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """CheckpointLoaderSimple: one file with all."""
    id = _loaded(b, i.text("ckpt_name"), CHECKPOINTS, "model")
    b.expose("tokenizer", f"{id}.tokenizer")
    b.checkpoints.append(id)
    return Model(f"{id}.denoiser", f"{id}.schedule"), Clip(f"{id}.text_encoder", f"{id}.tokenizer"), One(f"{id}.autoencoder", "VAE")  # fmt: skip


def denoiser(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """UNETLoader: the denoiser alone."""
    id = _loaded(b, i.text("unet_name"), DENOISERS, "denoiser")
    return (Model(f"{id}.denoiser", f"{id}.schedule"),)


def text_encoder(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """CLIPLoader: one text encoder."""
    if (kind := i.text("type", "stable_diffusion")) != "stable_diffusion":
        raise NoCounterpart(f"of the type {kind!r} loads text encoders that this importer does not draw")
    id = _loaded(b, i.text("clip_name"), TEXT_ENCODERS, "clip")
    b.expose("tokenizer", f"{id}.tokenizer")
    return (Clip(f"{id}.text_encoder", f"{id}.tokenizer"),)


def autoencoder(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """VAELoader: an autoencoder alone, with the scale of the checkpoint's own where there is one, else Stable Diffusion's."""
    id = _loaded(b, i.text("vae_name"), ("vae",), "vae")
    like = f"{b.checkpoints[0]}.autoencoder" if b.checkpoints else None
    scaled = b.add("scale_latents_for", "vae_scaled", {}, {"autoencoder": f"{id}.autoencoder", "like": like})
    return (One(scaled, "VAE"),)


def _unet(model: Model) -> str:
    """The wire of a denoiser that is a UNet, which LoRA files change."""
    return model.denoiser.removesuffix(".denoiser") + ".unet" * model.denoiser.endswith(".denoiser")


def lora(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LoraLoader: both halves."""
    model, clip = i.get("model", Model), i.get("clip", Clip)
    path = b.model_file(i.text("lora_name"), "loras")
    strengths = {"strength": i.number("strength_model", 1.0), "text_strength": i.number("strength_clip", 1.0)}
    id = b.add("lora", "lora", {"path": path, **strengths}, {"unet": _unet(model), "text_encoder": clip.encoder})
    b.expose("lora", f"{id}.path")
    return replace(model, denoiser=f"{id}.unet"), replace(clip, encoder=f"{id}.text_encoder")


def lora_unet(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LoraLoaderModelOnly."""
    model = i.get("model", Model)
    path = b.model_file(i.text("lora_name"), "loras")
    id = b.add("lora_unet", "lora", {"path": path, "strength": i.number("strength_model", 1.0)}, {"unet": _unet(model)})  # fmt: skip
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
