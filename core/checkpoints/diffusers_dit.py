"""The diffusion transformer under diffusers' names (DiTTransformer2DModel) and under the paper's (ours), both ways.

diffusers keeps an embedder of time steps and classes in every block, all with the same weights where the model is a
published one; here there is one. Its numbers differ from the paper's code in two places, which `DiT` has options for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.diffusers_config import require
from core.checkpoints.fused import Names
from core.checkpoints.outline import outline
from core.checkpoints.weights import State
from core.models.dit import DiT

Config = dict[str, Any]

NUMBERS: Config = {"freq_shift": 1, "mlp_norm_eps": 1e-5}
"""What DiTTransformer2DModel computes otherwise than the paper's code, as arguments of `DiT`."""

ONLY: Config = {
    "norm_type": "ada_norm_zero",
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "norm_elementwise_affine": False,
    "dropout": 0.0,
    "cross_attention_dim": None,
    "caption_channels": None,
    "attention_type": "default",
}
"""Options that ours has in one form. A folder that lacks one has diffusers' default, which is this."""

CARRIED = (
    "num_attention_heads",
    "attention_head_dim",
    "in_channels",
    "out_channels",
    "num_layers",
    "sample_size",
    "patch_size",
    "num_embeds_ada_norm",
    "norm_eps",
)
"""Options that are carried over."""
UNUSED = ("norm_num_groups", "upcast_attention")
"""Options that change nothing of what is computed."""

MODULES = {
    "x_embedder.proj": "pos_embed.proj",
    "t_embedder.mlp.0": "transformer_blocks.0.norm1.emb.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "transformer_blocks.0.norm1.emb.timestep_embedder.linear_2",
    "y_embedder.embedding_table": "transformer_blocks.0.norm1.emb.class_embedder.embedding_table",
    "final_layer.adaLN_modulation.1": "proj_out_1",
    "final_layer.linear": "proj_out_2",
}
BLOCK = {
    "attn.proj": "attn1.to_out.0",
    "mlp.fc1": "ff.net.0.proj",
    "mlp.fc2": "ff.net.2",
    "adaLN_modulation.1": "norm1.linear",
}
FUSED = {"attn.qkv": ("attn1.to_q", "attn1.to_k", "attn1.to_v")}


def dit_from_diffusers_config(theirs: Mapping[str, Any]) -> Config:
    """DiTTransformer2DModel's configuration as `DiT`'s arguments. Raises ValueError for what ours cannot do."""
    require(theirs, ONLY, {*CARRIED, *UNUSED})
    channels, out = theirs.get("in_channels", 4), theirs.get("out_channels")
    if out not in (None, channels, 2 * channels):
        raise ValueError(f"out_channels = {out} is neither in_channels nor twice as many")
    heads = theirs.get("num_attention_heads", 16)
    return {
        "in_channels": channels,
        "hidden_size": heads * theirs.get("attention_head_dim", 72),
        "depth": theirs.get("num_layers", 28),
        "num_heads": heads,
        "patch_size": theirs.get("patch_size", 2),
        "sample_size": theirs.get("sample_size", 32),
        "num_classes": theirs.get("num_embeds_ada_norm", 1000),
        "learn_sigma": out == 2 * channels,
        **NUMBERS,
        "mlp_norm_eps": theirs.get("norm_eps", 1e-5),
    }


def dit_to_diffusers_config(ours: Mapping[str, Any]) -> Config:
    """The inverse. Raises ValueError naming what diffusers cannot express."""
    if ours["num_classes"] is None or ours["context_dim"] is not None:
        raise ValueError("diffusers has only DiTs with classes and without a context; save this one as one of ours")
    if ours["mlp_ratio"] != 4:
        raise ValueError(f"diffusers has no DiT whose MLPs are {ours['mlp_ratio']} times as wide, only 4")
    if ours["freq_shift"] != NUMBERS["freq_shift"]:
        raise ValueError(
            "diffusers' DiT embeds time steps with freq_shift 1; train with that option, or save this one as one of ours"
        )
    return {
        "_class_name": "DiTTransformer2DModel",
        "in_channels": ours["in_channels"],
        "out_channels": ours["in_channels"] * (2 if ours["learn_sigma"] else 1),
        "num_attention_heads": ours["num_heads"],
        "attention_head_dim": ours["hidden_size"] // ours["num_heads"],
        "num_layers": ours["depth"],
        "patch_size": ours["patch_size"],
        "sample_size": ours["sample_size"],
        "num_embeds_ada_norm": ours["num_classes"],
        "norm_eps": ours["mlp_norm_eps"],
        **{name: ONLY[name] for name in ("norm_type", "activation_fn", "attention_bias", "norm_elementwise_affine")},
    }


def dit_from_diffusers(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> State:
    """A DiT's weights under our names. Raises ValueError where the blocks embed time and class differently."""
    outline(DiT, config, state)  # a configuration is followed only as far as its weights reach
    own = {key: tensor for key, tensor in state.items() if key != "pos_embed.pos_embed"}  # computed from the grid
    for i in range(1, config["depth"]):
        _without_copies(own, state, f"transformer_blocks.{i}.norm1.emb.")
    return _names(config["depth"]).from_theirs(own)


def dit_to_diffusers(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> State:
    """A DiT's weights under diffusers' names, every block with its copy of the embedder."""
    out = _names(config["depth"]).to_theirs(state)
    embedder = "transformer_blocks.0.norm1.emb."
    shared = {key.removeprefix(embedder): tensor for key, tensor in out.items() if key.startswith(embedder)}
    for i in range(1, config["depth"]):
        out |= {f"transformer_blocks.{i}.norm1.emb.{key}": tensor.clone() for key, tensor in shared.items()}
    return out


def _names(depth: int) -> Names:
    names = Names(dict(MODULES))
    for i in range(depth):
        names.add_block(f"blocks.{i}", f"transformer_blocks.{i}", BLOCK, FUSED)
    return names


def _without_copies(rest: State, state: Mapping[str, Tensor], prefix: str) -> None:
    """Take a block's embedder out of `rest`, which must be that of the first block."""
    for key in [key for key in rest if key.startswith(prefix)]:
        first = state.get(key.replace(prefix, "transformer_blocks.0.norm1.emb."))
        if first is None or not torch.equal(rest.pop(key), first):
            raise ValueError(f"{key} is not what the first block has; this model embeds time and class in each block")
