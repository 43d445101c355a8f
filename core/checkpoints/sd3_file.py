"""Stability's and ComfyUI's single files of Stable Diffusion 3: what their names and shapes tell.

The transformer lies under `model.diffusion_model.`, the autoencoder under `first_stage_model.`, and the encoders, where a file has
them, under `text_encoders.clip_l.`, `clip_g.` and `t5xxl.`. A file says neither the scale of its latents nor its noise process: there
is one of each, in all that was published.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.detect import detect_autoencoder, detect_clip
from core.checkpoints.diffusers_mmdit import renamed_from_diffusers
from core.checkpoints.diffusers_scheduler import FLOWS, schedule_from_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.forms import FIRST_STAGE, UNET, count
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.latent_scale import PUBLISHED, scale_buffers, with_quant_convs
from core.checkpoints.model_io import build
from core.checkpoints.sd3_text import t5_from_files
from core.checkpoints.sdxl_text import second_encoder
from core.conditioning.sd3 import SD3TextEmbedder
from core.models.autoencoder import KLAutoencoder
from core.models.mmdit import MMDiT
from core.models.presets import OPENCLIP_BIGG_TEXT

State = dict[str, Tensor]

TEXT = "text_encoders."
SCALE = PUBLISHED["Stable Diffusion 3"]
SHIFT = 3.0
"""Of the noise process, in every published model."""
OF_DIFFUSERS = ("pos_embed.pos_embed", "transformer_blocks.0.attn.add_q_proj.weight")
"""What diffusers' names of one are known by."""
HEAD = 64
"""Channels of a head, in every published transformer; where queries are normalised, the norm says it."""


def in_stability_names(state: Mapping[str, Tensor]) -> Mapping[str, Tensor] | None:
    """A file under CompVis' prefixes, if it holds such a transformer; also one of diffusers' without its configuration."""
    own = _under(state, UNET) or state
    if all(name in own for name in OF_DIFFUSERS):
        depth = count(own, r"transformer_blocks\.(\d+)\.")
        return {UNET + key: value for key, value in renamed_from_diffusers(own, depth).items()}
    return state if any(key.startswith(f"{UNET}joint_blocks.") for key in state) else None


def sd3_from_file(state: Mapping[str, Tensor], source: str | Path, dtype: torch.dtype | None) -> LatentDiffusion:
    """The parts that a file has. Raises CheckpointError, naming `source`, where one is incomplete."""
    try:
        return _parts(state, source, dtype)
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"{source} holds an incomplete Stable Diffusion 3 (there is no {error}).") from error
    except ValueError as error:
        raise CheckpointError(f"{source} holds no Stable Diffusion 3 that is known here ({error}).") from error


def _parts(state: Mapping[str, Tensor], source: str | Path, dtype: torch.dtype | None) -> LatentDiffusion:
    own = _under(state, UNET)
    unet = build(MMDiT, detect_mmdit(own), own, source, dtype)
    autoencoder = conditioner = None
    if first := _under(state, FIRST_STAGE):
        scale = {"scaling_factor": SCALE.factor, "shift_factor": SCALE.shift}
        first = with_quant_convs(first, first["decoder.conv_in.weight"].shape[1])
        config = detect_autoencoder(first, SCALE.factor).config | {"per_channel_scale": True}
        weights = first | scale_buffers(scale, config["embed_dim"], SCALE.factor)
        autoencoder = build(KLAutoencoder, config, weights, source, dtype)
    if texts := _under(state, TEXT):
        weights = _text_weights(texts)
        config = detect_sd3_text(weights, unet.context_dim)
        conditioner = build(SD3TextEmbedder, config, weights, source, dtype)
    schedule = schedule_from_diffusers({"_class_name": FLOWS[0], "num_train_timesteps": 1000, "shift": SHIFT})
    return LatentDiffusion(unet, autoencoder, conditioner, schedule=schedule)


def detect_mmdit(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """`MMDiT`'s arguments from its weights. Raises KeyError where they are none of such a transformer."""
    hidden, channels, patch = state["x_embedder.proj.weight"].shape[:3]
    depth = count(state, r"joint_blocks\.(\d+)\.")
    norm = state.get("joint_blocks.0.x_block.attn.ln_q.weight")
    head = HEAD if norm is None else len(norm)
    return {
        "in_channels": channels,
        "hidden_size": hidden,
        "depth": depth,
        "num_heads": max(1, hidden // head),
        "context_dim": state["context_embedder.weight"].shape[1],
        "vector_dim": state["y_embedder.mlp.0.weight"].shape[1],
        "patch_size": patch,
        "max_positions": math.isqrt(state["pos_embed"].shape[1]),
        "qk_norm": norm is not None,
        "dual_layers": [i for i in range(depth) if f"joint_blocks.{i}.x_block.attn2.qkv.weight" in state],
    }


def detect_sd3_text(state: Mapping[str, Tensor], context_dim: int) -> dict[str, Any]:
    """`SD3TextEmbedder`'s arguments from its weights; the end token is the vocabulary's last, which pads the first encoder."""
    clips = {name: detect_clip(_under(state, f"{name}.")) for name in ("clip_l", "clip_g")}
    clips["clip_g"]["hidden_act"] = OPENCLIP_BIGG_TEXT["hidden_act"]
    end = clips["clip_l"]["vocab_size"] - 1
    t5 = _under(state, "t5.transformer.")
    return clips | {
        "t5": detect_t5(t5) if t5 else None,
        "projection_dims": [state[f"projection_{half}.weight"].shape[0] for half in "lg"],
        "context_dim": context_dim,
        "end": end,
        "pads": [end, 0],
    }


def detect_t5(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """`T5TextEmbedder`'s arguments from its weights, without what stands before them."""
    vocab_size, width = state["embed_tokens.weight"].shape
    first = "block.0.layer"
    buckets, heads = state[f"{first}.0.SelfAttention.relative_attention_bias.weight"].shape
    gated = f"{first}.1.DenseReluDense.wi_0.weight" in state
    return {
        "vocab_size": vocab_size,
        "d_model": width,
        "d_kv": state[f"{first}.0.SelfAttention.q.weight"].shape[0] // heads,
        "d_ff": state[f"{first}.1.DenseReluDense.{'wi_0' if gated else 'wi'}.weight"].shape[0],
        "num_layers": count(state, r"block\.(\d+)\."),
        "num_heads": heads,
        "feed_forward_proj": "gated-gelu" if gated else "relu",
        "relative_attention_num_buckets": buckets,
    }


def _text_weights(texts: Mapping[str, Tensor]) -> State:
    weights: State = {}
    for half in "lg":
        # As XL's second encoder, a CLIP with a projection, is read.
        for key, value in second_encoder(_under(texts, f"clip_{half}.")).items():
            renamed = (
                f"projection_{half}.weight"
                if key == "text_projection.weight"
                else key.replace("clip_g.", f"clip_{half}.", 1)
            )
            weights[renamed] = value
    t5 = {key.removeprefix("transformer."): value for key, value in _under(texts, "t5xxl.").items()}
    return weights | {f"t5.{key}": value for key, value in t5_from_files(t5).items()}


def _under(state: Mapping[str, Tensor], prefix: str) -> State:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
