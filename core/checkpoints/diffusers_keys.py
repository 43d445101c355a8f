"""Weights under CompVis' names (ours) and under diffusers': pure renaming, both ways, bit-equal.

A UNet with a context is diffusers' UNet2DConditionModel, one without its UNet2DModel; a KL autoencoder is its AutoencoderKL, a VQ
autoencoder its VQModel. What the two sides keep differently: diffusers splits an AttentionBlock's fused `qkv`, stores 1×1 projections
of attention blocks as matrices, and holds the latent scale in its configuration, so `scale_factor`, `shift_factor` and the codebook's
idle counts have no diffusers key. `config` is always the model's own, `model.config`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from core.models.autoencoder import KLAutoencoder, VQAutoencoder
from core.models.unet import UNet

Names = dict[str, tuple[str, ...]]
"""Our key → diffusers' key, or the three of q, k and v for a fused projection."""

RES_BLOCK = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
UNET_ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "label_emb": "class_embedding",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
AUTOENCODER_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""diffusers' names of an attention block's projections before 0.13, still found in published folders."""


def unet_to_diffusers(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """A UNet's weights under diffusers' names. Raises ValueError for keys that the configured UNet does not have, or lacks."""
    names, heads = _unet_names(config), _attention_heads(config)
    _check_keys(state, set(names), "the UNet's own")
    out: dict[str, Tensor] = {}
    for ours, theirs in names.items():
        if len(theirs) == 3:
            out.update(zip(theirs, _split_qkv(state[ours], heads[ours]), strict=True))
        else:
            out[theirs[0]] = _squeeze(state[ours], theirs[0])
    return out


def unet_from_diffusers(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of `unet_to_diffusers`; diffusers' older attention names are understood too."""
    names, heads = _unet_names(config), _attention_heads(config)
    return state
