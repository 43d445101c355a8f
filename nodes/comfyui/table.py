"""The table: which of ComfyUI's nodes become what here. A row says its widgets in their order, what it gives, and who draws it.

What is not in it stays as a placeholder with its wires.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nodes.comfyui import conditions, loaders, pictures, sampling
from nodes.comfyui.builder import Builder, Inputs
from nodes.comfyui.values import Value

Build = Callable[[Builder, Inputs], tuple[Value, ...]]


class Row(NamedTuple):
    """widgets: the names of what is typed in, in the order of `widgets_values`. outputs: their types in order."""

    widgets: str
    outputs: str
    build: Build


SEEDED = "seed steps cfg sampler_name scheduler denoise"
ADVANCED = "add_noise noise_seed steps cfg sampler_name scheduler start_at_step end_at_step return_with_leftover_noise"

TABLE: dict[str, Row] = {
    # models
    "CheckpointLoaderSimple": Row("ckpt_name", "MODEL CLIP VAE", loaders.checkpoint),
    "CheckpointLoader": Row("config_name ckpt_name", "MODEL CLIP VAE", loaders.checkpoint),
    "UNETLoader": Row("unet_name weight_dtype", "MODEL", loaders.denoiser),
    "CLIPLoader": Row("clip_name type device", "CLIP", loaders.text_encoder),
    "VAELoader": Row("vae_name", "VAE", loaders.autoencoder),
    "LoraLoader": Row("lora_name strength_model strength_clip", "MODEL CLIP", loaders.lora),
    "LoraLoaderModelOnly": Row("lora_name strength_model", "MODEL", loaders.lora_unet),
    "CLIPSetLastLayer": Row("stop_at_clip_layer", "CLIP", loaders.clip_skip),
    "ModelSamplingDiscrete": Row("sampling zsnr", "MODEL", loaders.discrete_schedule),
    "ModelSamplingSD3": Row("shift", "MODEL", loaders.flow_schedule),
    "RescaleCFG": Row("multiplier", "MODEL", loaders.rescaled),
    # conditions
    "CLIPTextEncode": Row("text", "CONDITIONING", conditions.prompt),
    "ConditioningCombine": Row("", "CONDITIONING", conditions.combine),
    "ConditioningConcat": Row("", "CONDITIONING", conditions.concat),
    "ConditioningZeroOut": Row("", "CONDITIONING", conditions.zero),
    "ConditioningSetTimestepRange": Row("start end", "CONDITIONING", conditions.timestep_range),
    "InpaintModelConditioning": Row("noise_mask", "CONDITIONING CONDITIONING LATENT", conditions.inpainting_model),
    # latents
    "EmptyLatentImage": Row("width height batch_size", "LATENT", pictures.empty_latent),
    "EmptySD3LatentImage": Row("width height batch_size", "LATENT", pictures.empty_latent_16),
    "VAEDecode": Row("", "IMAGE", pictures.decode),
    "VAEDecodeTiled": Row("tile_size overlap temporal_size temporal_overlap", "IMAGE", pictures.decode_tiles),
    "VAEEncode": Row("", "LATENT", pictures.encode),
    "VAEEncodeTiled": Row("tile_size overlap temporal_size temporal_overlap", "LATENT", pictures.encode),
    "VAEEncodeForInpaint": Row("grow_mask_by", "LATENT", pictures.encode_for_inpainting),
    "SetLatentNoiseMask": Row("", "LATENT", pictures.noise_mask),
    "LatentUpscale": Row("upscale_method width height crop", "LATENT", pictures.resize_latent),
    "LatentUpscaleBy": Row("upscale_method scale_by", "LATENT", pictures.scale_latent),
    # pictures
    "LoadImage": Row("image", "IMAGE MASK", pictures.load_image),
    "LoadImageMask": Row("image channel", "MASK", pictures.load_mask),
    "SaveImage": Row("filename_prefix", "", pictures.save_image),
    "PreviewImage": Row("", "", pictures.preview_image),
    "ImageScale": Row("upscale_method width height crop", "IMAGE", pictures.resize_image),
    "ImageScaleBy": Row("upscale_method scale_by", "IMAGE", pictures.scale_image),
    "ImageScaleToTotalPixels": Row("upscale_method megapixels", "IMAGE", pictures.image_of_pixels),
    "ImageInvert": Row("", "IMAGE", pictures.invert_image),
    "ImageBatch": Row("", "IMAGE", pictures.batch_images),
    # sampling
    "KSampler": Row(SEEDED, "LATENT", sampling.ksampler),
    "KSamplerAdvanced": Row(ADVANCED, "LATENT", sampling.ksampler_advanced),
    "SamplerCustom": Row("add_noise noise_seed cfg", "LATENT LATENT", sampling.sampler_custom),
    "SamplerCustomAdvanced": Row("", "LATENT LATENT", sampling.sampler_custom_advanced),
    "KSamplerSelect": Row("sampler_name", "SAMPLER", sampling.sampler),
    "SamplerEulerAncestral": Row("eta s_noise", "SAMPLER", sampling.with_eta("euler_ancestral")),
    "SamplerDPMPP_2S_Ancestral": Row("eta s_noise", "SAMPLER", sampling.with_eta("dpmpp_2s_ancestral")),
    "SamplerDPMPP_SDE": Row("eta s_noise r noise_device", "SAMPLER", sampling.with_eta("dpmpp_sde")),
    "SamplerDPMPP_3M_SDE": Row("eta s_noise noise_device", "SAMPLER", sampling.with_eta("dpmpp_3m_sde")),
    "BasicScheduler": Row("scheduler steps denoise", "SIGMAS", sampling.basic_scheduler),
    "KarrasScheduler": Row("steps sigma_max sigma_min rho", "SIGMAS", sampling.between_sigmas("karras")),
    "ExponentialScheduler": Row("steps sigma_max sigma_min", "SIGMAS", sampling.between_sigmas("exponential")),
    "SDTurboScheduler": Row("steps denoise", "SIGMAS", sampling.turbo_scheduler),
    "SplitSigmas": Row("step", "SIGMAS SIGMAS", sampling.split_sigmas),
    "RandomNoise": Row("noise_seed", "NOISE", sampling.noise),
    "DisableNoise": Row("", "NOISE", sampling.no_noise),
    "CFGGuider": Row("cfg", "GUIDER", sampling.cfg_guider),
    "BasicGuider": Row("", "GUIDER", sampling.basic_guider),
}

CONSTANTS = ("PrimitiveInt", "PrimitiveFloat", "PrimitiveString", "PrimitiveStringMultiline", "PrimitiveBoolean")
"""Nodes that give what is typed in."""


def widgets_of(kind: str) -> tuple[str, ...] | None:
    """The names of a class' widgets in order; None for one that is not known."""
    if kind in CONSTANTS:
        return ("value",)
    return tuple(TABLE[kind].widgets.split()) if kind in TABLE else None
