"""Random pipelines of Stable Diffusion 3 in a few thousand weights, made by diffusers and transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tiny_ldm import VOCAB, randomise
from tiny_pipelines import quiet
from tiny_xl import tokenizers

WIDTHS, PROJECTIONS = (16, 24), (12, 20)
"""Of the two CLIPs, and of their halves of the vector."""
CONTEXT = 48
T5_WORDS = ["▁a", "▁red", "▁circle", "▁two", "▁blue", "▁square", "s", "▁", "b", "l", "u", "r", "e", "d"]
KINDS: dict[str, dict[str, Any]] = {
    "3": {},
    "3.5": {"qk_norm": "rms_norm", "dual_attention_layers": (0,)},
}


def transformer(kind: str = "3") -> Any:
    from diffusers import SD3Transformer2DModel

    model = SD3Transformer2DModel(
        sample_size=8,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=CONTEXT,
        caption_projection_dim=32,
        pooled_projection_dim=sum(PROJECTIONS),
        pos_embed_max_size=12,
        **KINDS[kind],
    )
    return randomise(model, 1)


def clip(second: bool, seed: int) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTHS[second],
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        hidden_act="gelu" if second else "quick_gelu",
        projection_dim=PROJECTIONS[second],
        bos_token_id=VOCAB - 2,
        eos_token_id=2,  # as in the published folders
        pad_token_id=1,
    )
    return randomise(CLIPTextModelWithProjection(config), seed)


def t5() -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=130,
        d_model=CONTEXT,
        d_kv=8,
        d_ff=40,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    model = randomise(T5EncoderModel(config), 5)
    with torch.no_grad():
        model.shared.weight.mul_(10)  # T5 norms what it reads, and adds to it
    return model


def t5_tokenizer() -> Any:
    from transformers import T5Tokenizer

    scores = [(word, -float(number)) for number, word in enumerate(T5_WORDS, 1)]
    return T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *scores], model_max_length=512)


def sd3_autoencoder() -> Any:
    from diffusers import AutoencoderKL

    model = AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=16,
        scaling_factor=1.5305,
        shift_factor=0.0609,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    return randomise(model, 2)


def sd3_pipeline(folder: Path, kind: str = "3", with_t5: bool = True) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline

    first, second = tokenizers(folder)
    return quiet(
        StableDiffusion3Pipeline(
            transformer=transformer(kind),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=sd3_autoencoder(),
            text_encoder=clip(False, 3),
            tokenizer=first,
            text_encoder_2=clip(True, 4),
            tokenizer_2=second,
            text_encoder_3=t5() if with_t5 else None,
            tokenizer_3=t5_tokenizer() if with_t5 else None,
        )
    )
