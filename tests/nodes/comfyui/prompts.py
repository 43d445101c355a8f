"""Prompts in the form of ComfyUI's API, made here by its documentation: a base, and for each class of nodes what it adds to that."""

from __future__ import annotations

import copy
from typing import Any

Prompt = dict[str, Any]


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def base(**ksampler: Any) -> Prompt:
    """Text to image as everybody has it."""
    sampling = {"seed": 5, "steps": 6, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    return {
        "4": node("CheckpointLoaderSimple", ckpt_name="sd.safetensors"),
        "5": node("EmptyLatentImage", width=64, height=64, batch_size=2),
        "6": node("CLIPTextEncode", text="a (red:1.2) circle [big]", clip=["4", 1]),
        "7": node("CLIPTextEncode", text="", clip=["4", 1]),
        "3": node(
            "KSampler", model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0], **sampling | ksampler
        ),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", images=["8", 0], filename_prefix="ComfyUI"),
    }  # fmt: skip


def changed(prompt: Prompt, added: Prompt, **links: tuple[str, Any]) -> Prompt:
    """With more nodes, and other inputs: `n3__model=["10", 0]` is input `model` of node 3."""
    made = copy.deepcopy(prompt) | copy.deepcopy(added)
    for name, value in links.items():
        id, _, port = name.removeprefix("n").partition("__")
        made[id]["inputs"][port] = value
    return made


PICTURE = {"20": node("LoadImage", image="in.png"), "21": node("VAEEncode", pixels=["20", 0], vae=["4", 2])}
CUSTOM = {
    "30": node("KSamplerSelect", sampler_name="dpmpp_2m"),
    "31": node("BasicScheduler", model=["4", 0], scheduler="karras", steps=6, denoise=1.0),
    "32": node("RandomNoise", noise_seed=5),
    "33": node("CFGGuider", model=["4", 0], positive=["6", 0], negative=["7", 0], cfg=4.0),
    "3": node("SamplerCustomAdvanced", noise=["32", 0], guider=["33", 0], sampler=["30", 0], sigmas=["31", 0], latent_image=["5", 0]),
}  # fmt: skip
SAMPLER_CUSTOM = node(
    "SamplerCustom", model=["4", 0], add_noise=True, noise_seed=5, cfg=4.0, positive=["6", 0], negative=["7", 0],
    sampler=["30", 0], sigmas=["31", 0], latent_image=["5", 0],
)  # fmt: skip


def advanced(**other: Any) -> dict[str, Any]:
    settings = {"add_noise": "enable", "noise_seed": 5, "steps": 6, "cfg": 4.0, "sampler_name": "euler"}
    settings |= {"scheduler": "normal", "start_at_step": 0, "end_at_step": 4, "return_with_leftover_noise": "enable"}
    wires = {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}
    return node("KSamplerAdvanced", **settings | wires | other)


def loaded(kind: str, **inputs: Any) -> Prompt:
    return {"10": node(kind, **inputs)}


CASES: dict[str, tuple[Prompt, set[str]]] = {
    "text to image": (base(), {"sample", "cfg_combine", "denoise", "torch_noise", "text_context", "load_checkpoint"}),
    "LoraLoader": (
        changed(base(), loaded("LoraLoader", model=["4", 0], clip=["4", 1], lora_name="a.safetensors", strength_model=0.8, strength_clip=1.0), n3__model=["10", 0], n6__clip=["10", 1]),
        {"lora"},
    ),
    "LoraLoaderModelOnly": (
        changed(base(), loaded("LoraLoaderModelOnly", model=["4", 0], lora_name="a.safetensors", strength_model=1.0), n3__model=["10", 0]),
        {"lora_unet"},
    ),
    "CLIPSetLastLayer": (changed(base(), loaded("CLIPSetLastLayer", clip=["4", 1], stop_at_clip_layer=-2), n6__clip=["10", 0]), {"clip_skip"}),
    "VAELoader": (changed(base(), loaded("VAELoader", vae_name="v.safetensors"), n8__vae=["10", 0]), {"scale_latents_for"}),
    "UNETLoader": (changed(base(), loaded("UNETLoader", unet_name="u.safetensors", weight_dtype="default"), n3__model=["10", 0]), set()),
    "CLIPLoader": (changed(base(), loaded("CLIPLoader", clip_name="c.safetensors", type="stable_diffusion"), n6__clip=["10", 0]), set()),
    "embedding": (changed(base(), {}, n6__text="a embedding:cat, red"), {"textual_inversion"}),
    "ModelSamplingDiscrete": (
        changed(base(), loaded("ModelSamplingDiscrete", model=["4", 0], sampling="v_prediction", zsnr=True), n3__model=["10", 0]),
        {"noise_schedule"},
    ),
    "ModelSamplingSD3": (changed(base(), loaded("ModelSamplingSD3", model=["4", 0], shift=3.0), n3__model=["10", 0]), {"rectified_flow"}),
    "RescaleCFG": (changed(base(), loaded("RescaleCFG", model=["4", 0], multiplier=0.7), n3__model=["10", 0]), {"cfg_rescale"}),
    "ConditioningCombine": (
        changed(base(), loaded("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["7", 0]), n3__positive=["10", 0]),
        {"weighted_sum"},
    ),
    "ConditioningConcat": (
        changed(base(), loaded("ConditioningConcat", conditioning_to=["6", 0], conditioning_from=["7", 0]), n3__positive=["10", 0]),
        {"combine_conditions"},
    ),
    "ConditioningZeroOut": (changed(base(), loaded("ConditioningZeroOut", conditioning=["6", 0]), n3__negative=["10", 0]), {"null_like"}),
    "ConditioningSetTimestepRange": (
        changed(
            base(),
            {
                "10": node("ConditioningSetTimestepRange", conditioning=["6", 0], start=0.0, end=0.5),
                "11": node("ConditioningSetTimestepRange", conditioning=["7", 0], start=0.5, end=1.0),
                "12": node("ConditioningCombine", conditioning_1=["10", 0], conditioning_2=["11", 0]),
            },
            n3__positive=["12", 0],
        ),
        {"expression"},
    ),
    "image to image": (changed(base(denoise=0.5), PICTURE, n3__latent_image=["21", 0]), {"encode", "noise_like", "load_image"}),
    "VAEEncodeForInpaint": (
        changed(base(), {**PICTURE, "21": node("VAEEncodeForInpaint", pixels=["20", 0], vae=["4", 2], mask=["20", 1], grow_mask_by=6)}, n3__latent_image=["21", 0]),
        {"grow_mask", "mask_image", "inpaint_latent", "inpaint_prediction", "load_mask_image"},
    ),
    "SetLatentNoiseMask": (
        changed(base(denoise=0.8), {**PICTURE, "22": node("LoadImageMask", image="m.png", channel="red"), "23": node("SetLatentNoiseMask", samples=["21", 0], mask=["22", 0])}, n3__latent_image=["23", 0]),
        {"inpaint_latent", "inpaint_prediction"},
    ),
    "InpaintModelConditioning": (
        changed(
            base(),
            {**PICTURE, "24": node("InpaintModelConditioning", positive=["6", 0], negative=["7", 0], vae=["4", 2], pixels=["20", 0], mask=["20", 1], noise_mask=True)},
            n3__positive=["24", 0], n3__negative=["24", 1], n3__latent_image=["24", 2],
        ),
        {"inpainting_condition", "combine_conditions"},
    ),
    "LatentUpscale": (
        changed(base(), {"12": node("LatentUpscale", samples=["3", 0], upscale_method="nearest-exact", width=128, height=128, crop="disabled"), "13": base(denoise=0.5)["3"]}, n13__latent_image=["12", 0], n8__samples=["13", 0]),
        {"resize", "noise_like"},
    ),
    "LatentUpscaleBy": (
        changed(base(), {"12": node("LatentUpscaleBy", samples=["3", 0], upscale_method="bilinear", scale_by=2.0), "13": base(denoise=0.5)["3"]}, n13__latent_image=["12", 0], n8__samples=["13", 0]),
        {"resize", "noise_like"},
    ),
    "ImageScale": (changed(base(), loaded("ImageScale", image=["8", 0], upscale_method="lanczos", width=32, height=32, crop="center"), n9__images=["10", 0]), {"resize"}),
    "ImageScaleBy": (changed(base(), loaded("ImageScaleBy", image=["8", 0], upscale_method="area", scale_by=0.5), n9__images=["10", 0]), {"resize"}),
    "ImageScaleToTotalPixels": (changed(base(), loaded("ImageScaleToTotalPixels", image=["8", 0], upscale_method="bicubic", megapixels=0.01), n9__images=["10", 0]), {"resize"}),
    "ImageInvert": (changed(base(), loaded("ImageInvert", image=["8", 0]), n9__images=["10", 0]), {"expression"}),
    "VAEDecodeTiled": (changed(base(), {"8": node("VAEDecodeTiled", samples=["3", 0], vae=["4", 2], tile_size=512, overlap=64)}), {"decode_tiles"}),
    "PreviewImage": (changed(base(), {"9": node("PreviewImage", images=["8", 0])}), {"preview_image"}),
    "KSamplerAdvanced": (
        changed(base(), {"3": advanced(), "14": advanced(add_noise="disable", start_at_step=4, end_at_step=10000, return_with_leftover_noise="disable", latent_image=["3", 0])}, n8__samples=["14", 0]),
        {"sample"},
    ),
    "SamplerCustomAdvanced": (changed(base(), CUSTOM), {"sample"}),
    "BasicGuider": (changed(base(), {**CUSTOM, "33": node("BasicGuider", model=["4", 0], conditioning=["6", 0])}), {"denoise"}),
    "SamplerCustom": (changed(base(), {**CUSTOM, "3": SAMPLER_CUSTOM}), {"cfg_combine"}),
    "SDTurboScheduler": (changed(base(), {**CUSTOM, "31": node("SDTurboScheduler", model=["4", 0], steps=1, denoise=1.0)}), {"sample"}),
    "KarrasScheduler": (changed(base(), {**CUSTOM, "31": node("KarrasScheduler", steps=6, sigma_max=14.614642, sigma_min=0.0291675, rho=7.0)}), {"sample"}),
    "SamplerEulerAncestral": (changed(base(), {**CUSTOM, "30": node("SamplerEulerAncestral", eta=0.5, s_noise=1.0)}), {"sample"}),
    "EmptySD3LatentImage": (changed(base(), {"5": node("EmptySD3LatentImage", width=64, height=64, batch_size=1)}), {"torch_noise"}),
}  # fmt: skip
"""By class: a prompt that uses it, and types of nodes that it must become."""
