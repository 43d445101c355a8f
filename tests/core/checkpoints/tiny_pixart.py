"""Random pipelines of PixArt-α and PixArt-Σ in a few thousand weights, made by diffusers and transformers."""

from __future__ import annotations

from typing import Any

import torch
from tiny_ldm import randomise
from tiny_pipelines import quiet
from tiny_sd3 import CONTEXT, t5, t5_tokenizer
from tiny_xl import xl_autoencoder

KINDS: dict[str, dict[str, Any]] = {
    "alpha": {"sample_size": 8, "interpolation_scale": None},
    "alpha 1024": {"sample_size": 128},
    "sigma": {"sample_size": 128, "interpolation_scale": 2, "use_additional_conditions": False},
}


def transformer(kind: str = "sigma") -> Any:
    from diffusers import PixArtTransformer2DModel

    model = PixArtTransformer2DModel(
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=3,
        cross_attention_dim=24,
        caption_channels=CONTEXT,
        **KINDS[kind],
    )
    model = randomise(model, 1)
    with torch.no_grad():  # tables are no weights of a layer, and say how much each block does
        for name, parameter in model.named_parameters():
            if name.endswith("scale_shift_table"):
                parameter.add_(0.5)
    return model


def scheduler() -> Any:
    """As the published folders have it."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear")


def pixart_pipeline(kind: str = "sigma") -> Any:
    from diffusers import PixArtAlphaPipeline, PixArtSigmaPipeline

    made = PixArtSigmaPipeline if kind == "sigma" else PixArtAlphaPipeline
    return quiet(
        made(
            tokenizer=t5_tokenizer(),
            text_encoder=t5(),
            vae=xl_autoencoder(),
            transformer=transformer(kind),
            scheduler=scheduler(),
        )
    )
