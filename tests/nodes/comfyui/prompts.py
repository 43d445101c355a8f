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


SECOND = {"10": node("CheckpointLoaderSimple", ckpt_name="other.safetensors")}
CONTROL = {"10": node("ControlNetLoader", control_net_name="c.safetensors"), "20": node("LoadImage", image="in.png")}

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
    "AlignYourStepsScheduler": (changed(base(), {**CUSTOM, "31": node("AlignYourStepsScheduler", model_type="SD1", steps=4, denoise=1.0)}), {"sample"}),
    "SDTurboScheduler": (changed(base(), {**CUSTOM, "31": node("SDTurboScheduler", model=["4", 0], steps=1, denoise=1.0)}), {"sample"}),
    "KarrasScheduler": (changed(base(), {**CUSTOM, "31": node("KarrasScheduler", steps=6, sigma_max=14.614642, sigma_min=0.0291675, rho=7.0)}), {"sample"}),
    "SamplerEulerAncestral": (changed(base(), {**CUSTOM, "30": node("SamplerEulerAncestral", eta=0.5, s_noise=1.0)}), {"sample"}),
    "EmptySD3LatentImage": (changed(base(), {"5": node("EmptySD3LatentImage", width=64, height=64, batch_size=1)}), {"torch_noise"}),
    "FreeU": (changed(base(), loaded("FreeU", model=["4", 0], b1=1.1, b2=1.2, s1=0.9, s2=0.2), n3__model=["10", 0]), {"freeu"}),
    "FreeU_V2": (changed(base(), {**loaded("FreeU_V2", model=["4", 0], b1=1.3, b2=1.4, s1=0.9, s2=0.2), "11": node("LoraLoaderModelOnly", model=["10", 0], lora_name="a.safetensors", strength_model=1.0)}, n3__model=["11", 0]), {"freeu", "lora_unet"}),
    "ModelMergeSimple": (changed(base(), {**SECOND, "11": node("ModelMergeSimple", model1=["4", 0], model2=["10", 0], ratio=0.25)}, n3__model=["11", 0]), {"blend_models"}),
    "ModelMergeBlocks": (changed(base(), {**SECOND, "11": node("ModelMergeBlocks", model1=["4", 0], model2=["10", 0], input=0.25, middle=0.5, out=0.75)}, n3__model=["11", 0]), {"blend_models"}),
    "ModelMergeAdd": (
        changed(base(), {**SECOND, "11": node("ModelMergeSubtract", model1=["10", 0], model2=["4", 0], multiplier=0.5), "12": node("ModelMergeAdd", model1=["4", 0], model2=["11", 0])}, n3__model=["12", 0]),
        {"add_difference"},
    ),
    "CLIPMergeSimple": (changed(base(), {**SECOND, "11": node("CLIPMergeSimple", clip1=["4", 1], clip2=["10", 1], ratio=0.25)}, n6__clip=["11", 0]), {"blend_models"}),
    "CLIPMergeAdd": (
        changed(base(), {**SECOND, "11": node("CLIPMergeSubtract", clip1=["10", 1], clip2=["4", 1], multiplier=0.5), "12": node("CLIPMergeAdd", clip1=["4", 1], clip2=["11", 0])}, n6__clip=["12", 0]),
        {"add_difference"},
    ),
    "CheckpointSave": (changed(base(), loaded("CheckpointSave", model=["4", 0], clip=["4", 1], vae=["4", 2], filename_prefix="checkpoints/mine")), {"save_checkpoint"}),
    "CLIPTextEncodeSDXL": (
        changed(base(), {"6": node("CLIPTextEncodeSDXL", clip=["4", 1], width=4096, height=2048, crop_w=1, crop_h=2, target_width=1024, target_height=512, text_g="red", text_l="red")}, **{"n4__ckpt_name": "sdxl.safetensors"}),
        {"size_condition", "combine_conditions"},
    ),
    "CLIPTextEncodeSDXLRefiner": (
        changed(base(), {"6": node("CLIPTextEncodeSDXLRefiner", clip=["4", 1], ascore=6.5, width=1024, height=512, text="red")}, **{"n4__ckpt_name": "sd_xl_refiner.safetensors"}),
        {"size_condition", "combine_conditions"},
    ),
    "DualCLIPLoader": (
        changed(base(), loaded("DualCLIPLoader", clip_name1="clip_g.safetensors", clip_name2="clip_l.safetensors", type="sdxl", device="default"), n6__clip=["10", 0], n4__ckpt_name="sdxl.safetensors"),
        {"pair_text_encoders"},
    ),
    "ConditioningAverage": (changed(base(), loaded("ConditioningAverage", conditioning_to=["6", 0], conditioning_from=["7", 0], conditioning_to_strength=0.75), n3__positive=["10", 0]), {"average_conditions"}),
    "ConditioningSetArea": (
        changed(base(), {"10": node("ConditioningSetArea", conditioning=["6", 0], width=32, height=64, x=32, y=0, strength=2.0), "11": node("ConditioningCombine", conditioning_1=["10", 0], conditioning_2=["7", 0])}, n3__positive=["11", 0]),
        {"denoise_area", "regional_prediction"},
    ),
    "ConditioningSetAreaPercentage": (
        changed(base(), {"10": node("ConditioningSetAreaPercentage", conditioning=["6", 0], width=0.5, height=1.0, x=0.5, y=0.0, strength=1.0), "12": node("ConditioningSetAreaStrength", conditioning=["10", 0], strength=0.5), "11": node("ConditioningCombine", conditioning_1=["12", 0], conditioning_2=["7", 0])}, n3__positive=["11", 0]),
        {"denoise_area", "regional_prediction"},
    ),
    "ConditioningSetMask": (
        changed(
            base(),
            {
                "10": node("SolidMask", value=1.0, width=64, height=64),
                "11": node("SolidMask", value=0.0, width=32, height=64),
                "12": node("MaskComposite", destination=["10", 0], source=["11", 0], x=32, y=0, operation="multiply"),
                "13": node("InvertMask", mask=["12", 0]),
                "14": node("ConditioningSetMask", conditioning=["6", 0], mask=["12", 0], strength=1.0, set_cond_area="default"),
                "15": node("ConditioningSetMask", conditioning=["7", 0], mask=["13", 0], strength=0.5, set_cond_area="default"),
                "16": node("ConditioningSetTimestepRange", conditioning=["15", 0], start=0.0, end=0.5),
                "17": node("ConditioningCombine", conditioning_1=["14", 0], conditioning_2=["16", 0]),
            },
            n3__positive=["17", 0],
        ),
        {"regional_prediction", "plain_mask", "composite", "expression"},
    ),
    "ControlNetApply": (changed(base(), {**CONTROL, "11": node("ControlNetApply", conditioning=["6", 0], control_net=["10", 0], image=["20", 0], strength=0.8)}, n3__positive=["11", 0]), {"load_controlnet", "apply_controlnet", "resize"}),
    "ControlNetApplyAdvanced": (
        changed(
            base(),
            {**CONTROL, "12": node("Canny", image=["20", 0], low_threshold=0.1, high_threshold=0.2), "11": node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], control_net=["10", 0], image=["12", 0], strength=0.8, start_percent=0.0, end_percent=0.5)},
            n3__positive=["11", 0], n3__negative=["11", 1],
        ),
        {"load_controlnet", "apply_controlnet", "canny_edges", "to_number"},
    ),
    "DiffControlNetLoader": (
        changed(base(), {**CONTROL, "10": node("DiffControlNetLoader", model=["4", 0], control_net_name="c.safetensors"), "11": node("ControlNetApplySD3", positive=["6", 0], negative=["7", 0], control_net=["10", 0], image=["20", 0], vae=["4", 2], strength=0.8, start_percent=0.0, end_percent=1.0)}, n3__positive=["11", 0], n3__negative=["11", 1]),
        {"load_controlnet", "apply_controlnet"},
    ),
    "a T2I-Adapter": (
        changed(base(), {**CONTROL, "10": node("ControlNetLoader", control_net_name="t2iadapter_canny.pth"), "11": node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], control_net=["10", 0], image=["20", 0], strength=0.8, start_percent=0.0, end_percent=1.0)}, n3__positive=["11", 0], n3__negative=["11", 1]),
        {"load_t2i_adapter", "apply_t2i_adapter"},
    ),
    "LatentComposite": (
        changed(
            base(),
            {
                **PICTURE,
                "10": node("LatentCrop", samples=["3", 0], width=32, height=32, x=8, y=0),
                "11": node("LatentComposite", samples_to=["3", 0], samples_from=["10", 0], x=16, y=24, feather=8),
                "12": node("SolidMask", value=0.5, width=32, height=32),
                "13": node("LatentCompositeMasked", destination=["11", 0], source=["10", 0], mask=["12", 0], x=0, y=0, resize_source=False),
                "14": node("LatentBlend", samples1=["13", 0], samples2=["11", 0], blend_factor=0.25),
                "15": node("LatentMultiply", samples=["14", 0], multiplier=0.5),
                "16": node("LatentAdd", samples1=["15", 0], samples2=["11", 0]),
                "17": node("LatentSubtract", samples1=["16", 0], samples2=["11", 0]),
                "18": node("LatentFromBatch", samples=["17", 0], batch_index=1, length=1),
                "19": node("RepeatLatentBatch", samples=["18", 0], amount=2),
                "22": node("LatentBatch", samples1=["19", 0], samples2=["18", 0]),
            },
            n8__samples=["22", 0],
        ),
        {"crop", "composite", "lerp", "rows", "cat"},
    ),
    "ImagePadForOutpaint": (
        changed(
            base(denoise=0.8),
            {**PICTURE, "10": node("ImagePadForOutpaint", image=["20", 0], left=0, top=0, right=64, bottom=0, feathering=8), "21": node("VAEEncodeForInpaint", pixels=["10", 0], vae=["4", 2], mask=["10", 1], grow_mask_by=6)},
            n3__latent_image=["21", 0],
        ),
        {"pad_for_outpainting", "inpaint_latent"},
    ),
    "pictures cut and joined": (
        changed(
            base(),
            {
                "10": node("ImageCrop", image=["8", 0], width=32, height=32, x=8, y=16),
                "11": node("ImageToMask", image=["10", 0], channel="green"),
                "12": node("ThresholdMask", mask=["11", 0], value=0.25),
                "13": node("GrowMask", mask=["12", 0], expand=2, tapered_corners=False),
                "14": node("CropMask", mask=["13", 0], x=0, y=0, width=16, height=16),
                "15": node("ImageCompositeMasked", destination=["8", 0], source=["10", 0], mask=["14", 0], x=4, y=4, resize_source=False),
                "16": node("MaskToImage", mask=["14", 0]),
                "17": node("MaskPreview", mask=["14", 0]),
                "18": node("ImageFromBatch", image=["15", 0], batch_index=0, length=1),
                "19": node("RepeatImageBatch", image=["18", 0], amount=2),
                "22": node("ImageBatch", image1=["19", 0], image2=["8", 0]),
                "23": node("ImageCompare", image_a=["22", 0], image_b=["16", 0]),
                "24": node("SaveImageAdvanced", **{"images": ["22", 0], "filename_prefix": "x", "format": "png", "format.bit_depth": "8-bit"}),
                "25": {"class_type": "BatchImagesNode", "inputs": {"images.image0": ["8", 0], "images.image1": ["19", 0]}},
                "26": node("PreviewImage", images=["25", 0]),
            },
            n9__images=["22", 0],
        ),
        {"crop", "image_to_mask", "grow_mask", "composite", "mask_to_image", "rows", "stack_images", "preview_image"},
    ),
    "values": (
        changed(
            base(),
            {
                "10": node("PrimitiveBoolean", value=True),
                "11": node("PrimitiveInt", value=3),
                "12": {"class_type": "ComfyMathExpression", "inputs": {"expression": "max(a * 2, 1) + b % 2", "values.a": ["11", 0], "values.b": 4}},
                "13": node("ComfySwitchNode", switch=["10", 0], on_false=2, on_true=["12", 1]),
                "14": node("StringConcatenate", string_a="a (red:1.2)", string_b="circle [big]", delimiter=" "),
                "15": node("StringReplace", string=["14", 0], find="green", replace="red"),
                "16": node("ComfyNumberConvert", value="4.0"),
                "17": node("CustomCombo", choice="euler", index=1),
                "18": node("ComfySwitchNode", switch=False, on_false=["4", 0], on_true=["99", 0]),
                "19": node("PreviewAny", source=["15", 0]),
            },
            n3__steps=["13", 0], n3__cfg=["16", 0], n3__sampler_name=["17", 0], n3__model=["18", 0], n6__text=["19", 0],
        ),
        {"sample"},
    ),
    "sigmas in parts": (
        changed(
            base(),
            {**CUSTOM, "31": node("BetaSamplingScheduler", model=["4", 0], steps=6, alpha=0.6, beta=0.6), "34": node("SplitSigmasDenoise", sigmas=["31", 0], denoise=0.5), "30": node("SamplerDPMPP_2M_SDE", solver_type="midpoint", eta=0.5, s_noise=1.0, noise_device="gpu")},
            n3__sigmas=["34", 0],
        ),
        {"sample"},
    ),
    "PolyexponentialScheduler": (changed(base(), {**CUSTOM, "31": node("PolyexponentialScheduler", steps=6, sigma_max=14.614642, sigma_min=0.0291675, rho=1.0), "30": node("SamplerLMS", order=4)}), {"sample"}),
}  # fmt: skip
"""By class: a prompt that uses it, and types of nodes that it must become."""
