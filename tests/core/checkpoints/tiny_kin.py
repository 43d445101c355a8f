"""Random pipelines of Stable Diffusion's kin in a few thousand weights: an editor, by depth, an upscaler, of a picture's meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tiny_ldm import VOCAB, randomise
from tiny_pipelines import autoencoder, quiet, scheduler, tiny_clip_tokenizer, unet

WIDTH = 32
"""Of the text encoder, and of the picture's embedding."""


def text_encoder() -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    ends = {"bos_token_id": VOCAB - 2, "eos_token_id": VOCAB - 1, "pad_token_id": VOCAB - 1}
    shape = {"hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    return randomise(CLIPTextModel(CLIPTextConfig(vocab_size=VOCAB, projection_dim=32, **shape, **ends)), 3)


def kin(kind: str, folder: Path) -> Any:
    """kind: pix2pix, depth, upscaler or unclip."""
    import diffusers

    shared: dict[str, Any] = {"text_encoder": text_encoder(), "tokenizer": tiny_clip_tokenizer(folder / "made")}
    plain = {"safety_checker": None, "feature_extractor": None}
    vae = autoencoder(is_vq=False)
    if kind == "pix2pix":
        made = diffusers.StableDiffusionInstructPix2PixPipeline(
            **shared, **plain, vae=vae, unet=unet(8, WIDTH, out_channels=4), scheduler=scheduler(),
            requires_safety_checker=False,
        )  # fmt: skip
    elif kind == "depth":
        made = diffusers.StableDiffusionDepth2ImgPipeline(
            **shared, vae=vae, unet=unet(5, WIDTH, out_channels=4), scheduler=scheduler(), depth_estimator=depth(),
            feature_extractor=None,
        )  # fmt: skip
    elif kind == "upscaler":
        vae.register_to_config(scaling_factor=0.08333)
        told = {"num_class_embeds": 1000, "use_linear_projection": True}
        made = diffusers.StableDiffusionUpscalePipeline(
            **shared, vae=vae, unet=unet(7, WIDTH, out_channels=4, **told), scheduler=scheduler("v_prediction", 1e-4, 0.02),
            low_res_scheduler=diffusers.DDPMScheduler(beta_schedule="scaled_linear", beta_start=1e-4, beta_end=0.02),
        )  # fmt: skip
    else:
        vector = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 2 * WIDTH}
        made = diffusers.StableUnCLIPImg2ImgPipeline(
            **shared, vae=vae, unet=unet(4, WIDTH, **vector), scheduler=scheduler("v_prediction"),
            image_encoder=image_encoder(), feature_extractor=feature_extractor(), image_normalizer=normalizer(),
            image_noising_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        )  # fmt: skip
    return quiet(made)


def depth() -> Any:
    """An estimator as small as transformers makes one; a map is given to the pipeline in its place."""
    from transformers import DPTConfig, DPTForDepthEstimation

    config = DPTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=16,
        backbone_out_indices=[0, 1, 1, 1], neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
    )  # fmt: skip
    return DPTForDepthEstimation(config)


def image_encoder() -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, image_size=28, patch_size=14,
        projection_dim=WIDTH, hidden_act="gelu",
    )  # fmt: skip
    return randomise(CLIPVisionModelWithProjection(config), 5)


def feature_extractor() -> Any:
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})


def normalizer() -> Any:
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer

    made = StableUnCLIPImageNormalizer(WIDTH)
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        made.mean.copy_(0.2 * torch.randn(1, WIDTH, generator=generator))
        made.std.copy_(0.5 + torch.rand(1, WIDTH, generator=generator))
    return made
