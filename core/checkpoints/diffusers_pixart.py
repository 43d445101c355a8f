"""The transformer of PixArt-α and PixArt-Σ under diffusers' names (PixArtTransformer2DModel) and under the papers' (ours), both ways.

diffusers has three projections where there is one `qkv`, and two where there is one `kv_linear`. Its first folders call the class
Transformer2DModel, as they do DiT's; the kind of norm tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from core.checkpoints.diffusers_config import require
from core.checkpoints.fused import Names
from core.checkpoints.outline import outline
from core.checkpoints.weights import State
from core.models.pixart import SIZED, PixArt

Config = dict[str, Any]

KIND = "PixArtTransformer2DModel"
NORM = "ada_norm_single"
"""What a Transformer2DModel's norm_type is, where it is one of these."""
DEFAULTS: Config = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 28,
    "cross_attention_dim": 1152,
    "sample_size": 128,
    "patch_size": 2,
    "norm_eps": 1e-6,
    "interpolation_scale": None,
    "use_additional_conditions": None,
    "caption_channels": None,
}
"""The options that are carried over, and what one that a folder lacks is."""
ONLY: Config = {
    "dropout": 0.0,
    "attention_bias": True,
    "activation_fn": "gelu-approximate",
    "norm_type": NORM,
    "norm_elementwise_affine": False,
    "attention_type": "default",
}
"""Options that ours has in one form, which is diffusers' default."""
UNUSED = ("norm_num_groups", "num_embeds_ada_norm", "upcast_attention")
"""Options that change nothing of what is computed."""

MODULES = {
    "x_embedder.proj": "pos_embed.proj",
    "t_embedder.mlp.0": "adaln_single.emb.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "adaln_single.emb.timestep_embedder.linear_2",
    "csize_embedder.mlp.0": "adaln_single.emb.resolution_embedder.linear_1",
    "csize_embedder.mlp.2": "adaln_single.emb.resolution_embedder.linear_2",
    "ar_embedder.mlp.0": "adaln_single.emb.aspect_ratio_embedder.linear_1",
    "ar_embedder.mlp.2": "adaln_single.emb.aspect_ratio_embedder.linear_2",
    "t_block.1": "adaln_single.linear",
    "y_embedder.y_proj.fc1": "caption_projection.linear_1",
    "y_embedder.y_proj.fc2": "caption_projection.linear_2",
    "final_layer.linear": "proj_out",
}
BLOCK = {
    "attn.proj": "attn1.to_out.0",
    "cross_attn.q_linear": "attn2.to_q",
    "cross_attn.proj": "attn2.to_out.0",
    "mlp.fc1": "ff.net.0.proj",
    "mlp.fc2": "ff.net.2",
}
FUSED = {
    "attn.qkv": ("attn1.to_q", "attn1.to_k", "attn1.to_v"),
    "cross_attn.kv_linear": ("attn2.to_k", "attn2.to_v"),
}
TABLE = "scale_shift_table"


def pixart_from_diffusers_config(theirs: Mapping[str, Any]) -> Config:
    """PixArtTransformer2DModel's configuration as `PixArt`'s arguments. Raises ValueError for what ours cannot do."""
    require(theirs, ONLY, {*DEFAULTS, *UNUSED})
    told = DEFAULTS | {name: theirs[name] for name in DEFAULTS if name in theirs}
    channels, out = told["in_channels"], told["out_channels"]
    if out not in (None, channels, 2 * channels):
        raise ValueError(f"the option out_channels = {out} is not supported, only in_channels or twice as many")
    width = told["num_attention_heads"] * told["attention_head_dim"]
    if not told["caption_channels"]:
        raise ValueError(f"the option caption_channels = {told['caption_channels']} is not supported, only a number")
    if told["cross_attention_dim"] != width:
        raise ValueError(f"the option cross_attention_dim = {told['cross_attention_dim']} is not supported, only the tokens' {width}")  # fmt: skip
    scale, sizes = told["interpolation_scale"], told["use_additional_conditions"]
    return {
        "in_channels": channels,
        "hidden_size": width,
        "depth": told["num_layers"],
        "num_heads": told["num_attention_heads"],
        "context_dim": told["caption_channels"],
        "patch_size": told["patch_size"],
        "sample_size": told["sample_size"],
        "interpolation_scale": max(told["sample_size"] // 64, 1) if scale is None else scale,
        "sizes": told["sample_size"] == SIZED if sizes is None else bool(sizes),
        "learn_sigma": out == 2 * channels,
        "norm_eps": told["norm_eps"],
    }


def pixart_to_diffusers_config(ours: Mapping[str, Any]) -> Config:
    """The inverse. Raises ValueError naming what diffusers cannot express."""
    if ours["mlp_ratio"] != 4:
        raise ValueError(f"diffusers has no PixArt whose MLPs are {ours['mlp_ratio']} times as wide, only 4")
    return {
        "_class_name": KIND,
        "num_attention_heads": ours["num_heads"],
        "attention_head_dim": ours["hidden_size"] // ours["num_heads"],
        "in_channels": ours["in_channels"],
        "out_channels": ours["in_channels"] * (2 if ours["learn_sigma"] else 1),
        "num_layers": ours["depth"],
        "cross_attention_dim": ours["hidden_size"],
        "sample_size": ours["sample_size"],
        "patch_size": ours["patch_size"],
        "norm_eps": ours["norm_eps"],
        "interpolation_scale": ours["interpolation_scale"],
        "use_additional_conditions": ours["sizes"],
        "caption_channels": ours["context_dim"],
        **ONLY,
    }


def pixart_from_diffusers(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> State:
    """A PixArt's weights under our names. Raises ValueError for weights that the configuration does not have."""
    outline(PixArt, config, state)  # a configuration is followed only as far as its weights reach
    return renamed_from_diffusers(state, config["depth"])


def renamed_from_diffusers(state: Mapping[str, Tensor], depth: int) -> State:
    """A PixArt's weights of so many blocks under our names. Raises KeyError and ValueError for others."""
    return _names(depth).from_theirs(state)


def pixart_to_diffusers(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> State:
    """A PixArt's weights under diffusers' names."""
    return _names(config["depth"]).to_theirs(state)


def _names(depth: int) -> Names:
    names = Names(dict(MODULES), tensors={f"final_layer.{TABLE}": TABLE})
    for i in range(depth):
        ours, theirs = f"blocks.{i}", f"transformer_blocks.{i}"
        names.add_block(ours, theirs, BLOCK, FUSED)
        names.tensors[f"{ours}.{TABLE}"] = f"{theirs}.{TABLE}"
    return names
