"""Random pipelines of Stable Diffusion XL's family in a few thousand weights, made by diffusers and transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_ldm import VOCAB, randomise
from tiny_pipelines import autoencoder, quiet, scheduler, tiny_clip_tokenizer

SIZE_DIM = 8
"""Width of each size's embedding."""
PROJECTION = 20
WIDTHS = (32, 40)
"""Of the two text encoders."""


def xl_unet(refiner: bool = False, in_channels: int = 4) -> Any:
    from diffusers import UNet2DConditionModel

    refines = {"cross_attention_dim": WIDTHS[1], "transformer_layers_per_block": 2, "attention_head_dim": (2, 4)}
    base = {"cross_attention_dim": sum(WIDTHS), "transformer_layers_per_block": (1, 2), "attention_head_dim": (2, 4)}
    model = UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(32, 64),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=SIZE_DIM,
        projection_class_embeddings_input_dim=PROJECTION + SIZE_DIM * (5 if refiner else 6),
        **(refines if refiner else base),
    )
    return randomise(model, 1)


def text_encoder(second: bool, seed: int) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTHS[second],
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        hidden_act="gelu" if second else "quick_gelu",
        projection_dim=PROJECTION,
        bos_token_id=VOCAB - 2,
        eos_token_id=2,  # as in the published folders
        pad_token_id=1,
    )
    return randomise((CLIPTextModelWithProjection if second else CLIPTextModel)(config), seed)


def tokenizers(folder: Path) -> tuple[Any, Any]:
    """The same words; the second pads with the vocabulary's first token, as the published one does."""
    first, second = (tiny_clip_tokenizer(folder / name) for name in ("first", "second"))
    second.pad_token = "!"
    return first, second


def xl_autoencoder() -> Any:
    made = autoencoder(is_vq=False)
    made.register_to_config(scaling_factor=0.13025)
    return made


def xl_pipeline(folder: Path, kind: str = "base") -> Any:
    """kind: base, refiner, inpainting."""
    from diffusers import (
        StableDiffusionXLImg2ImgPipeline,
        StableDiffusionXLInpaintPipeline,
        StableDiffusionXLPipeline,
    )

    first, second = tokenizers(folder)
    refiner = kind == "refiner"
    parts: dict[str, Any] = {
        "vae": xl_autoencoder(),
        "text_encoder": None if refiner else text_encoder(False, 3),
        "text_encoder_2": text_encoder(True, 4),
        "tokenizer": None if refiner else first,
        "tokenizer_2": second,
        "unet": xl_unet(refiner, in_channels=9 if kind == "inpainting" else 4),
        "scheduler": scheduler(),
        "add_watermarker": False,
    }
    if refiner:
        made = StableDiffusionXLImg2ImgPipeline(
            **parts, requires_aesthetics_score=True, force_zeros_for_empty_prompt=False
        )
    elif kind == "inpainting":
        made = StableDiffusionXLInpaintPipeline(**parts)
    else:
        made = StableDiffusionXLPipeline(**parts)
    return quiet(made)
