"""The transformer of Stable Diffusion 3 under diffusers' names (SD3Transformer2DModel) and under Stability's (ours), both ways.

diffusers has three projections where there is one `qkv`, and says the scale before the shift where nothing comes after a norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from core.checkpoints.diffusers_config import require
from core.checkpoints.fused import Names
from core.checkpoints.outline import outline
from core.checkpoints.weights import State
from core.models.mmdit import MMDiT

Config = dict[str, Any]

KIND = "SD3Transformer2DModel"
DEFAULTS: Config = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "num_layers": 18,
    "attention_head_dim": 64,
    "num_attention_heads": 18,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1152,
    "pooled_projection_dim": 2048,
    "out_channels": 16,
    "pos_embed_max_size": 96,
    "dual_attention_layers": [],
    "qk_norm": None,
}
"""All options that there are, and what one that a folder lacks is."""

MODULES = {
    "x_embedder.proj": "pos_embed.proj",
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    "context_embedder": "context_embedder",
    "final_layer.linear": "proj_out",
}
BLOCK = {
    "x_block.adaLN_modulation.1": "norm1.linear",
    "x_block.attn.proj": "attn.to_out.0",
    "x_block.attn.ln_q": "attn.norm_q",
    "x_block.attn.ln_k": "attn.norm_k",
    "x_block.attn2.proj": "attn2.to_out.0",
    "x_block.attn2.ln_q": "attn2.norm_q",
    "x_block.attn2.ln_k": "attn2.norm_k",
    "x_block.mlp.fc1": "ff.net.0.proj",
    "x_block.mlp.fc2": "ff.net.2",
    "context_block.attn.proj": "attn.to_add_out",
    "context_block.attn.ln_q": "attn.norm_added_q",
    "context_block.attn.ln_k": "attn.norm_added_k",
    "context_block.mlp.fc1": "ff_context.net.0.proj",
    "context_block.mlp.fc2": "ff_context.net.2",
}
FUSED = {
    "x_block.attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
    "context_block.attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
}
TEXT_NORM = "context_block.adaLN_modulation.1", "norm1_context.linear"
END_NORM = "final_layer.adaLN_modulation.1", "norm_out.linear"
POSITIONS = "pos_embed", "pos_embed.pos_embed"


def mmdit_from_diffusers_config(theirs: Mapping[str, Any]) -> Config:
    """SD3Transformer2DModel's configuration as `MMDiT`'s arguments. Raises ValueError for what ours cannot do."""
    require(theirs, {}, DEFAULTS)
    told = DEFAULTS | {name: theirs[name] for name in DEFAULTS if name in theirs}
    if told["out_channels"] not in (None, told["in_channels"]):
        raise ValueError(f"the option out_channels = {told['out_channels']} is not supported, only in_channels")
    if told["qk_norm"] not in (None, "rms_norm"):
        raise ValueError(f"the option qk_norm = {told['qk_norm']} is not supported, only rms_norm")
    width = told["num_attention_heads"] * told["attention_head_dim"]
    if told["caption_projection_dim"] != width:
        raise ValueError(f"the option caption_projection_dim = {told['caption_projection_dim']} is not supported, only the tokens' {width}")  # fmt: skip
    if not told["pos_embed_max_size"]:
        raise ValueError(
            f"the option pos_embed_max_size = {told['pos_embed_max_size']} is not supported, only a number"
        )
    return {
        "in_channels": told["in_channels"],
        "hidden_size": width,
        "depth": told["num_layers"],
        "num_heads": told["num_attention_heads"],
        "context_dim": told["joint_attention_dim"],
        "vector_dim": told["pooled_projection_dim"],
        "patch_size": told["patch_size"],
        "sample_size": told["sample_size"],
        "max_positions": told["pos_embed_max_size"],
        "qk_norm": told["qk_norm"] is not None,
        "dual_layers": list(told["dual_attention_layers"] or ()),
    }


def mmdit_to_diffusers_config(ours: Mapping[str, Any]) -> Config:
    """The inverse. Raises ValueError naming what diffusers cannot express."""
    if ours["mlp_ratio"] != 4:
        raise ValueError(f"diffusers has no MMDiT whose MLPs are {ours['mlp_ratio']} times as wide, only 4")
    dual = ours["dual_layers"]
    return {
        "_class_name": KIND,
        "sample_size": ours["sample_size"],
        "patch_size": ours["patch_size"],
        "in_channels": ours["in_channels"],
        "out_channels": ours["in_channels"],
        "num_layers": ours["depth"],
        "attention_head_dim": ours["hidden_size"] // ours["num_heads"],
        "num_attention_heads": ours["num_heads"],
        "joint_attention_dim": ours["context_dim"],
        "caption_projection_dim": ours["hidden_size"],
        "pooled_projection_dim": ours["vector_dim"],
        "pos_embed_max_size": ours["max_positions"],
        "dual_attention_layers": list(range(dual) if isinstance(dual, int) else dual),
        "qk_norm": "rms_norm" if ours["qk_norm"] else None,
    }


def mmdit_from_diffusers(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> State:
    """An MMDiT's weights under our names. Raises ValueError for weights that the configuration does not have."""
    outline(MMDiT, config, state)  # a configuration is followed only as far as its weights reach
    return renamed_from_diffusers(state, config["depth"])


def renamed_from_diffusers(state: Mapping[str, Tensor], depth: int) -> State:
    """An MMDiT's weights of so many blocks under our names. Raises KeyError and ValueError for others."""
    return _names(depth).from_theirs(state)


def mmdit_to_diffusers(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> State:
    """An MMDiT's weights under diffusers' names."""
    return _names(config["depth"]).to_theirs(state)


def _names(depth: int) -> Names:
    names = Names(dict(MODULES), turned=dict([END_NORM]), tensors=dict([POSITIONS]), sparse=True)
    for i in range(depth):
        ours, theirs = f"joint_blocks.{i}", f"transformer_blocks.{i}"
        names.add_block(ours, theirs, BLOCK, FUSED)
        norms = names.turned if i == depth - 1 else names.plain
        norms[f"{ours}.{TEXT_NORM[0]}"] = f"{theirs}.{TEXT_NORM[1]}"
    return names
