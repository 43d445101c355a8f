"""The architecture of a CompVis checkpoint, read from the names and shapes of its weights.

What shapes cannot tell is the number of attention heads, the latents' scale and the schedule: those are known for the
published models, and else have to be given by the yaml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from core.checkpoints.compvis_config import class_embedder_config
from core.checkpoints.files import CheckpointError
from core.checkpoints.forms import count
from core.checkpoints.latent_diffusion import Part
from core.conditioning.classes import ClassEmbedder
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.spatial import SpatialRescaler
from core.conditioning.text import BERTEmbedder
from core.models.autoencoder import KLAutoencoder, VQAutoencoder
from core.models.presets import LATENT_DIFFUSION, OPENCLIP_BIGG_TEXT, OPENCLIP_TEXT, UPSCALER, Preset
from core.models.unet import UNet

State = Mapping[str, Tensor]


def published(unet: Mapping[str, Any]) -> Preset | None:
    """The published model with a UNet of these widths, whatever its heads and input channels are."""

    def widths(config: Mapping[str, Any]) -> tuple[Any, ...]:
        return config["model_channels"], tuple(config["channel_mult"]), config.get("context_dim")

    presets = (*LATENT_DIFFUSION.values(), UPSCALER)
    return next((preset for preset in presets if widths(preset["unet"]) == widths(unet)), None)


def detect_unet(state: State, source: str | Path) -> Part:
    """A UNet under its own names (without `model.diffusion_model.`).

    Raises CheckpointError where the weights are no UNet's, or one that has not been published with its heads.
    """
    try:
        config = _unet_shape(state)
    except KeyError as error:
        raise CheckpointError(f"{source} holds no UNet of latent diffusion (there is no {error}).") from error
    except (ArithmeticError, IndexError, ValueError) as error:
        raise CheckpointError(f"{source} holds no UNet of latent diffusion ({error}).") from error
    told = published_heads(config, source, "give its yaml (config=…)")
    preset = published(config)
    depth = preset["unet"].get("transformer_depth", 1) if preset is not None else 1
    if _depths(config, config["transformer_depth"]) == _depths(config, depth):
        told["transformer_depth"] = depth  # which also has a number where there is no attention to see
    return Part(UNet, config | told)


def published_heads(config: Mapping[str, Any], source: str | Path, otherwise: str) -> dict[str, Any]:
    """`num_heads` or `num_head_channels` of the published UNet of these widths. Raises CheckpointError, saying what to do
    otherwise, where there is none."""
    preset = published(config)
    if preset is None:
        raise CheckpointError(
            f"{source}: the number of attention heads does not show in the weights, and the UNet is none of the "
            f"published ones; {otherwise}."
        )
    heads = ("num_heads", "num_head_channels")
    return {name: preset["unet"][name] for name in heads if name in preset["unet"]}


def _depths(config: Mapping[str, Any], depth: Any) -> list[int]:
    """Of the levels with attention, and of the middle."""
    levels = len(config["channel_mult"])
    each = depth if isinstance(depth, list) else [depth] * levels
    used = [each[level] for level in range(levels) if 2**level in config["attention_factors"]]
    return [*used, each[-1]]


def _unet_shape(state: State) -> dict[str, Any]:
    outputs = count(state, r"output_blocks\.(\d+)\.")
    # A level of the way up ends in an upsampler: a convolution, a second residual block, or nothing to see.
    ends = [
        i
        for i in range(outputs)
        if any(
            f"output_blocks.{i}.{j}.{leaf}" in state for j in (1, 2) for leaf in ("conv.weight", "in_layers.0.weight")
        )
    ]
    if not count(state, r"input_blocks\.(\d+)\."):  # refuses numbers out of all proportion
        raise KeyError("input_blocks.0.0.weight")
    inputs = {int(match[1]) for key in state if (match := re.match(r"input_blocks\.(\d+)\.", key))}
    unseen = [i for i in range(max(inputs)) if i not in inputs]
    conv_resample = not unseen
    num_res_blocks = unseen[0] - 1 if unseen else (ends[0] if ends else outputs - 1)
    return encoder_shape(state, num_res_blocks, outputs // (num_res_blocks + 1), conv_resample) | {
        "out_channels": state["out.2.weight"].shape[0]
    }


def encoder_shape(state: State, num_res_blocks: int, levels: int, conv_resample: bool = True) -> dict[str, Any]:
    """What the contracting half of a UNet tells of it: its arguments but for out_channels and heads. Raises KeyError where it is
    none of so many levels and blocks."""
    first = state["input_blocks.0.0.weight"]
    model_channels = first.shape[0]
    starts = [1 + level * (num_res_blocks + 1) for level in range(levels)]
    depths = [count(state, rf"input_blocks\.{i}\.1\.transformer_blocks\.(\d+)\.") for i in starts]
    mid_depth = count(state, r"middle_block\.1\.transformer_blocks\.(\d+)\.")
    depths = [depth or mid_depth for depth in depths[:-1]] + [mid_depth]
    widths = [state[f"input_blocks.{i}.0.out_layers.3.weight"].shape[0] for i in starts]
    transformer = "middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    label = state.get("label_emb.weight", state.get("label_emb.0.0.weight"))
    return {
        "in_channels": first.shape[1],
        "model_channels": model_channels,
        "channel_mult": [width // model_channels for width in widths],
        "num_res_blocks": num_res_blocks,
        "attention_factors": [2**level for level, i in enumerate(starts) if _has(state, f"input_blocks.{i}.1.norm.")],
        "context_dim": state[transformer].shape[1] if transformer in state else None,
        "transformer_depth": (depths[0] if len(set(depths)) == 1 else depths) if mid_depth else 1,
        "use_linear_in_transformer": mid_depth > 0 and state["middle_block.1.proj_in.weight"].ndim == 2,
        "num_classes": label.shape[0] if label is not None and "label_emb.weight" in state else None,
        "adm_in_channels": label.shape[1] if label is not None and "label_emb.weight" not in state else None,
        "use_scale_shift_norm": state["middle_block.0.emb_layers.1.weight"].shape[0] == 2 * widths[-1],
        "resblock_updown": conv_resample and levels > 1 and f"input_blocks.{starts[1] - 1}.0.op.weight" not in state,
        "conv_resample": conv_resample,
    } | _without_self_attention(state, starts)


def _without_self_attention(state: State, starts: Sequence[int]) -> dict[str, Any]:
    """`disable_self_attentions` where a level's first attention has the context's width and not its own."""
    first = [f"input_blocks.{i}.1.transformer_blocks.0.attn1.to_k.weight" for i in starts]
    disabled = [key in state and state[key].shape[1] != state[key].shape[0] for key in first]
    return {"disable_self_attentions": disabled} if any(disabled) else {}


def detect_autoencoder(state: State, scale_factor: float) -> Part:
    """An autoencoder under its own names (without `first_stage_model.`). Raises KeyError where it is none."""
    conv_in, z = state["encoder.conv_in.weight"], state["decoder.conv_in.weight"].shape[1]
    levels = count(state, r"encoder\.down\.(\d+)\.")
    widths = [state[f"encoder.down.{i}.block.0.conv2.weight"].shape[0] for i in range(levels)]
    config: dict[str, Any] = {
        "in_channels": conv_in.shape[1],
        "out_channels": state["decoder.conv_out.weight"].shape[0],
        "model_channels": conv_in.shape[0],
        "channel_mult": [width // conv_in.shape[0] for width in widths],
        "num_res_blocks": count(state, r"encoder\.down\.0\.block\.(\d+)\."),
        "z_channels": z,
        "embed_dim": state["post_quant_conv.weight"].shape[1],
        "attention_factors": [2**i for i in range(levels) if _has(state, f"encoder.down.{i}.attn.")],
        "mid_attention": _has(state, "encoder.mid.attn_1."),
        "scale_factor": scale_factor,
    }
    codebook = state.get("quantize.embedding.weight")
    if codebook is None:
        return Part(KLAutoencoder, config)
    return Part(VQAutoencoder, config | {"codes": codebook.shape[0], "legacy": True})


def detect_conditioner(state: State, autoencoder: Part | None) -> Part | None:
    """A conditioner under its own names (without `cond_stage_model.`), CLIP's being ours; None where there is none.

    A spatial rescaler shrinks as often as the autoencoder does.
    """
    if "embedding.weight" in state:
        return Part(ClassEmbedder, class_embedder_config(*state["embedding.weight"].shape))
    if "transformer.token_emb.weight" in state:
        vocab_size, n_embed = state["transformer.token_emb.weight"].shape
        layers = count(state, r"transformer\.attn_layers\.layers\.(\d+)\.")
        length = state["transformer.pos_emb.emb.weight"].shape[0]
        return Part(
            BERTEmbedder,
            {"n_embed": n_embed, "n_layer": layers // 2, "vocab_size": vocab_size, "max_seq_len": length},
        )
    if "transformer.embeddings.token_embedding.weight" in state:
        return Part(CLIPTextEmbedder, detect_clip(state))
    if "text_projection.weight" in state:
        return Part(SDXLTextEmbedder, _sdxl_text(state))
    if "channel_mapper.weight" in state:
        out_channels, in_channels = state["channel_mapper.weight"].shape[:2]
        config = {"in_channels": in_channels, "out_channels": out_channels, "bias": "channel_mapper.bias" in state}
        stages = len(autoencoder.config["channel_mult"]) - 1 if autoencoder else 2
        return Part(SpatialRescaler, config | {"n_stages": stages})
    return None


def _sdxl_text(state: State) -> dict[str, Any]:
    """`SDXLTextEmbedder`'s arguments from its weights; the end token is the vocabulary's last, which pads the first encoder."""

    def half(prefix: str) -> dict[str, Any] | None:
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        return detect_clip(own) if own else None

    clip_g = half("clip_g.") or {}
    end = clip_g["vocab_size"] - 1
    clip_g["hidden_act"] = OPENCLIP_BIGG_TEXT["hidden_act"]
    return {
        "clip_l": half("clip_l."),
        "clip_g": clip_g,
        "projection_dim": state["text_projection.weight"].shape[0],
        "end": end,
        "pads": [end, 0],
    }


def detect_clip(state: State) -> dict[str, Any]:
    """`CLIPTextEmbedder`'s arguments from its weights: heads of 64 channels; SD 2's width means its activation."""
    vocab_size, hidden_size = state["transformer.embeddings.token_embedding.weight"].shape
    return {
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "intermediate_size": state["transformer.encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": count(state, r"transformer\.encoder\.layers\.(\d+)\."),
        "num_attention_heads": max(1, hidden_size // 64),
        "max_position_embeddings": state["transformer.embeddings.position_embedding.weight"].shape[0],
        "hidden_act": OPENCLIP_TEXT["hidden_act"] if hidden_size == OPENCLIP_TEXT["hidden_size"] else "quick_gelu",
    }


def _has(state: State, prefix: str) -> bool:
    return any(key.startswith(prefix) for key in state)
