"""The table: which of ComfyUI's nodes become what here. A row says its widgets in their order, what it gives, and who draws it.

What is not in it stays as a placeholder with its wires.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nodes.comfyui import compositing, conditions, constants, loaders, merging, pictures, sampling
from nodes.comfyui.builder import Builder, Inputs
from nodes.comfyui.values import Clip, Model, Value

Build = Callable[[Builder, Inputs], tuple[Value, ...]]


class Row(NamedTuple):
    """widgets: the names of what is typed in, in the order of `widgets_values`. outputs: their types in order."""

    widgets: str
    outputs: str
    build: Build


SEEDED = "seed steps cfg sampler_name scheduler denoise"
XL = "width height crop_w crop_h target_width target_height text_g text_l"
ADVANCED = "add_noise noise_seed steps cfg sampler_name scheduler start_at_step end_at_step return_with_leftover_noise"

TABLE: dict[str, Row] = {
    # models
    "CheckpointLoaderSimple": Row("ckpt_name", "MODEL CLIP VAE", loaders.checkpoint),
    "CheckpointLoader": Row("config_name ckpt_name", "MODEL CLIP VAE", loaders.checkpoint),
    "UNETLoader": Row("unet_name weight_dtype", "MODEL", loaders.denoiser),
    "CLIPLoader": Row("clip_name type device", "CLIP", loaders.text_encoder),
    "VAELoader": Row("vae_name", "VAE", loaders.autoencoder),
    "DualCLIPLoader": Row("clip_name1 clip_name2 type device", "CLIP", loaders.two_text_encoders),
    "ControlNetLoader": Row("control_net_name", "CONTROL_NET", loaders.control_net),
    "DiffControlNetLoader": Row("control_net_name", "CONTROL_NET", loaders.control_net),
    "LoraLoader": Row("lora_name strength_model strength_clip", "MODEL CLIP", loaders.lora),
    "LoraLoaderModelOnly": Row("lora_name strength_model", "MODEL", loaders.lora_unet),
    "CLIPSetLastLayer": Row("stop_at_clip_layer", "CLIP", loaders.clip_skip),
    "ModelSamplingDiscrete": Row("sampling zsnr", "MODEL", loaders.discrete_schedule),
    "ModelSamplingSD3": Row("shift", "MODEL", loaders.flow_schedule),
    "RescaleCFG": Row("multiplier", "MODEL", loaders.rescaled),
    "FreeU": Row("b1 b2 s1 s2", "MODEL", loaders.freeu("1")),
    "FreeU_V2": Row("b1 b2 s1 s2", "MODEL", loaders.freeu("2")),
    "ModelMergeSimple": Row("ratio", "MODEL", merging.models),
    "ModelMergeBlocks": Row("input middle out", "MODEL", merging.blocks),
    "ModelMergeSubtract": Row("multiplier", "MODEL", merging.subtracted(Model)),
    "ModelMergeAdd": Row("", "MODEL", merging.added(Model)),
    "CLIPMergeSimple": Row("ratio", "CLIP", merging.clips),
    "CLIPMergeSubtract": Row("multiplier", "CLIP", merging.subtracted(Clip)),
    "CLIPMergeAdd": Row("", "CLIP", merging.added(Clip)),
    "CheckpointSave": Row("filename_prefix", "", merging.save),
    # conditions
    "CLIPTextEncode": Row("text", "CONDITIONING", conditions.prompt),
    "CLIPTextEncodeSDXL": Row(XL, "CONDITIONING", conditions.prompt_xl),
    "CLIPTextEncodeSDXLRefiner": Row("ascore width height text", "CONDITIONING", conditions.prompt_refiner),
    "ConditioningAverage": Row("conditioning_to_strength", "CONDITIONING", conditions.average),
    "ConditioningSetArea": Row("width height x y strength", "CONDITIONING", conditions.area),
    "ConditioningSetAreaPercentage": Row("width height x y strength", "CONDITIONING", conditions.area_share),
    "ConditioningSetAreaStrength": Row("strength", "CONDITIONING", conditions.area_strength),
    "ConditioningSetMask": Row("strength set_cond_area", "CONDITIONING", conditions.mask),
    "ControlNetApply": Row("strength", "CONDITIONING", conditions.control),
    "ControlNetApplyAdvanced": Row(
        "strength start_percent end_percent", "CONDITIONING CONDITIONING", conditions.control_both
    ),
    "ControlNetApplySD3": Row(
        "strength start_percent end_percent", "CONDITIONING CONDITIONING", conditions.control_both
    ),
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
    "LatentAdd": Row("", "LATENT", compositing.calculated("a + b", "samples1", "samples2")),
    "LatentSubtract": Row("", "LATENT", compositing.calculated("a - b", "samples1", "samples2")),
    "LatentMultiply": Row("multiplier", "LATENT", compositing.calculated("m * a", "samples")),
    "LatentBlend": Row("blend_factor", "LATENT", compositing.blend_latents),
    "LatentBatch": Row("", "LATENT", compositing.batch_latents),
    "LatentFromBatch": Row("batch_index length", "LATENT", compositing.latent_rows),
    "RepeatLatentBatch": Row("amount", "LATENT", compositing.repeat_latent),
    "LatentCrop": Row("width height x y", "LATENT", compositing.crop_latent),
    "LatentComposite": Row("x y feather", "LATENT", compositing.composite_latents),
    "LatentCompositeMasked": Row("x y resize_source", "LATENT", compositing.composite_latents_masked),
    # pictures and masks
    "LoadImage": Row("image", "IMAGE MASK", pictures.load_image),
    "LoadImageMask": Row("image channel", "MASK", pictures.load_mask),
    "SaveImage": Row("filename_prefix", "", pictures.save_image),
    "PreviewImage": Row("", "", pictures.preview_image),
    "ImageScale": Row("upscale_method width height crop", "IMAGE", pictures.resize_image),
    "ImageScaleBy": Row("upscale_method scale_by", "IMAGE", pictures.scale_image),
    "ImageScaleToTotalPixels": Row("upscale_method megapixels", "IMAGE", pictures.image_of_pixels),
    "ImageInvert": Row("", "IMAGE", pictures.invert_image),
    "ImageBatch": Row("", "IMAGE", pictures.batch_images),
    "BatchImagesNode": Row("", "IMAGE", pictures.batch_many),
    "SaveImageAdvanced": Row("filename_prefix format format.bit_depth format.colorspace", "IMAGE", pictures.save_as),
    "ImageCompare": Row("", "", pictures.compare_images),
    "ImageFromBatch": Row("batch_index length", "IMAGE", compositing.image_rows),
    "RepeatImageBatch": Row("amount", "IMAGE", compositing.repeat_image),
    "ImageCrop": Row("width height x y", "IMAGE", compositing.crop_image),
    "ImageCompositeMasked": Row("x y resize_source", "IMAGE", compositing.composite_images),
    "ImagePadForOutpaint": Row("left top right bottom feathering", "IMAGE MASK", compositing.outpaint),
    "Canny": Row("low_threshold high_threshold", "IMAGE", compositing.canny),
    "ImageToMask": Row("channel", "MASK", compositing.image_to_mask),
    "MaskToImage": Row("", "IMAGE", compositing.mask_to_image),
    "MaskPreview": Row("", "MASK", compositing.preview_mask),
    "SolidMask": Row("value width height", "MASK", compositing.plain_mask),
    "InvertMask": Row("", "MASK", compositing.invert_mask),
    "ThresholdMask": Row("value", "MASK", compositing.threshold_mask),
    "GrowMask": Row("expand tapered_corners", "MASK", compositing.grow_mask),
    "CropMask": Row("x y width height", "MASK", compositing.crop_mask),
    "MaskComposite": Row("x y operation", "MASK", compositing.composite_masks),
    # values
    "ComfySwitchNode": Row("switch", "ANY", constants.switch),
    "ComfyMathExpression": Row("expression", "FLOAT INT BOOLEAN", constants.math),
    "ComfyNumberConvert": Row("value", "FLOAT INT", constants.number),
    "StringConcatenate": Row("string_a string_b delimiter", "STRING", constants.concatenated),
    "StringReplace": Row("string find replace", "STRING", constants.replaced),
    "CustomCombo": Row("choice index", "STRING INT", constants.chosen),
    "PreviewAny": Row("", "STRING", constants.shown),
    # sampling
    "KSampler": Row(SEEDED, "LATENT", sampling.ksampler),
    "KSamplerAdvanced": Row(ADVANCED, "LATENT", sampling.ksampler_advanced),
    "SamplerCustom": Row("add_noise noise_seed cfg", "LATENT LATENT", sampling.sampler_custom),
    "SamplerCustomAdvanced": Row("", "LATENT LATENT", sampling.sampler_custom_advanced),
    "KSamplerSelect": Row("sampler_name", "SAMPLER", sampling.sampler),
    "SamplerEulerAncestral": Row("eta s_noise", "SAMPLER", sampling.with_eta("euler_ancestral")),
    "SamplerDPMPP_2S_Ancestral": Row("eta s_noise", "SAMPLER", sampling.with_eta("dpmpp_2s_ancestral")),
    "SamplerDPMPP_SDE": Row("eta s_noise r noise_device", "SAMPLER", sampling.with_eta("dpmpp_sde")),
    "SamplerDPMPP_2M_SDE": Row("solver_type eta s_noise noise_device", "SAMPLER", sampling.sde_2m),
    "SamplerLMS": Row("order", "SAMPLER", sampling.lms),
    "SamplerDPMPP_3M_SDE": Row("eta s_noise noise_device", "SAMPLER", sampling.with_eta("dpmpp_3m_sde")),
    "BasicScheduler": Row("scheduler steps denoise", "SIGMAS", sampling.basic_scheduler),
    "KarrasScheduler": Row("steps sigma_max sigma_min rho", "SIGMAS", sampling.between_sigmas("karras")),
    "ExponentialScheduler": Row("steps sigma_max sigma_min", "SIGMAS", sampling.between_sigmas("exponential")),
    "PolyexponentialScheduler": Row(
        "steps sigma_max sigma_min rho", "SIGMAS", sampling.between_sigmas("exponential", 1.0)
    ),
    "BetaSamplingScheduler": Row("steps alpha beta", "SIGMAS", sampling.beta_scheduler),
    "AlignYourStepsScheduler": Row("model_type steps denoise", "SIGMAS", sampling.align_your_steps),
    "SDTurboScheduler": Row("steps denoise", "SIGMAS", sampling.turbo_scheduler),
    "SplitSigmas": Row("step", "SIGMAS SIGMAS", sampling.split_sigmas),
    "SplitSigmasDenoise": Row("denoise", "SIGMAS SIGMAS", sampling.split_by_denoise),
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
