"""Random pipelines of a few thousand weights, made by diffusers and transformers, and the pictures that they give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tiny_ldm import VOCAB, randomise
from torch import Tensor

PROMPTS = ["a red circle", "two blue squares"]
STEPS, SCALE = 10, 5.0


def tiny_clip_tokenizer(folder: Path) -> Any:
    """A CLIP tokenizer of `VOCAB` ids, from files in the published form."""
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    merges = [("r", "e"), ("re", "d</w>"), ("b", "l")]
    tokens = [*letters, *(f"{c}</w>" for c in letters), *("".join(pair) for pair in merges)]
    tokens += [f"<unused{i}>" for i in range(VOCAB - 2 - len(tokens))] + ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    return CLIPTokenizer.from_pretrained(folder, model_max_length=77)


def scheduler(prediction_type: str = "epsilon", start: float = 0.00085, end: float = 0.012) -> Any:
    from diffusers import DDIMScheduler

    ldm = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    betas = {"beta_schedule": "scaled_linear", "beta_start": start, "beta_end": end}
    return DDIMScheduler(prediction_type=prediction_type, **betas, **ldm)


def unet(channels: int, context: int, **options: Any) -> Any:
    from diffusers import UNet2DConditionModel

    shape: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": context,
        "attention_head_dim": 2,
    }
    return randomise(UNet2DConditionModel(**shape | options), 1)


def autoencoder(is_vq: bool) -> Any:
    from diffusers import AutoencoderKL, VQModel

    shape = {
        "block_out_channels": (32, 32, 32, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1,
    }
    if is_vq:
        model = VQModel(**shape, latent_channels=3, num_vq_embeddings=64, scaling_factor=1.0)
    else:
        model = AutoencoderKL(**shape, latent_channels=4)
    return randomise(model, 2)


def stable_diffusion(folder: Path, version: int = 1) -> Any:
    """A StableDiffusionPipeline shaped like version 1, or 2 (linear projections, "gelu" text, v-prediction)."""
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextConfig, CLIPTextModel

    ends = {"bos_token_id": VOCAB - 2, "eos_token_id": VOCAB - 1, "pad_token_id": VOCAB - 1}
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    act = "gelu" if version == 2 else "quick_gelu"
    text = CLIPTextModel(CLIPTextConfig(vocab_size=VOCAB, hidden_act=act, projection_dim=32, **shape, **ends))
    options = {"use_linear_projection": True, "attention_head_dim": (2, 4)} if version == 2 else {}
    return quiet(
        StableDiffusionPipeline(
            vae=autoencoder(is_vq=False),
            text_encoder=randomise(text, 3),
            tokenizer=tiny_clip_tokenizer(folder / "made"),
            unet=unet(4, 32, **options),
            scheduler=scheduler("v_prediction" if version == 2 else "epsilon"),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def ldm_text() -> Any:
    """An LDMTextToImagePipeline with an LDMBert and a VQ first stage."""
    from diffusers import LDMTextToImagePipeline
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel
    from transformers import BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "circle", "two", "blue", "square", "##s"]
    bert = LDMBertConfig(vocab_size=VOCAB, d_model=24, encoder_layers=2, encoder_ffn_dim=96)
    return quiet(
        LDMTextToImagePipeline(
            vqvae=autoencoder(is_vq=True),
            bert=randomise(LDMBertModel(bert), 3),
            tokenizer=BertTokenizer(vocab={word: i for i, word in enumerate(words)}, model_max_length=77),
            unet=unet(3, 24),
            scheduler=scheduler(start=0.0015, end=0.0195),
        )
    )


def ldm_unconditional() -> Any:
    """An LDMPipeline with a VQ first stage."""
    from diffusers import LDMPipeline, UNet2DModel

    model = UNet2DModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=16,
    )
    return quiet(LDMPipeline(autoencoder(is_vq=True), randomise(model, 1), scheduler(start=0.0015, end=0.0195)))


PIPELINES: dict[str, Callable[[Path], Any]] = {
    "Stable Diffusion 1": stable_diffusion,
    "Stable Diffusion 2": lambda folder: stable_diffusion(folder, version=2),
    "LDM text": lambda _: ldm_text(),
    "LDM unconditional": lambda _: ldm_unconditional(),
}


def quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def noise(channels: int) -> Tensor:
    return torch.randn(len(PROMPTS), channels, 8, 8, generator=torch.Generator().manual_seed(7))


def modules(pipeline: Any) -> dict[str, torch.nn.Module]:
    return {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
