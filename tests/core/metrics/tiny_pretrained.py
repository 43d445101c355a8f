"""Folders of the transformers library with small random networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from core.conditioning.tokenizer import train_wordpiece

WORDS = ["a red circle", "a blue square", "nothing at all"]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def _varied(network: Any) -> Any:
    """Random weights that do something: those of a new network are nearly nothing."""
    generator = torch.Generator().manual_seed(1)
    for value in network.state_dict().values():
        value.copy_(torch.randn(value.shape, generator=generator) * (0.3 if value.ndim > 1 else 0.1) + (value.ndim < 2))
    return network.eval()


def dinov2(folder: Path) -> Any:
    """A DINOv2 in a folder."""
    from transformers import Dinov2Config, Dinov2Model

    network = _varied(Dinov2Model(Dinov2Config(**SMALL, image_size=224, patch_size=56)))
    network.save_pretrained(folder)
    return network


def clip_vision(folder: Path) -> Any:
    """CLIP's image half in a folder."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    seen = {**SMALL, "intermediate_size": 32, "image_size": 32, "patch_size": 8, "projection_dim": 8}
    network = _varied(CLIPVisionModelWithProjection(CLIPVisionConfig(**seen)))
    network.save_pretrained(folder)
    return network


def clip(folder: Path) -> Any:
    """A CLIP in a folder, its tokenizer beside it."""
    from transformers import CLIPConfig, CLIPModel

    tokenizer = train_wordpiece(WORDS, 64, 12)
    tokenizer.save(folder)
    ends = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    text = {**SMALL, "intermediate_size": 32, "vocab_size": tokenizer.vocab_size, "max_position_embeddings": 12, **ends}
    seen = {**SMALL, "intermediate_size": 32, "image_size": 32, "patch_size": 8}
    network = _varied(CLIPModel(CLIPConfig(text_config=text, vision_config=seen, projection_dim=8)))
    network.save_pretrained(folder)
    return network
