"""diffusers' component configurations (the `config.json` of a folder) to our models' arguments, and back.

Weights' names are the business of `diffusers_keys`. A configuration that says something our models cannot do, or a
model of ours that diffusers' classes cannot be, is a ValueError that names the option. So is an option that is not known here
and says anything: what it would change, nobody can tell.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from core.checkpoints.latent_scale import is_per_channel

Config = dict[str, Any]

# Options that our models have in one form only. A folder that lacks one has diffusers' default, which is this.
UNET_ONLY: Config = {
    "center_input_sample": False,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
    "act_fn": "silu",
    "norm_eps": 1e-5,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "class_embed_type": None,
}
CONDITIONAL_ONLY: Config = UNET_ONLY | {
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "dual_cross_attention": False,
    "addition_embed_type": None,
    "class_embeddings_concat": False,
    "time_cond_proj_dim": None,
    "time_embedding_act_fn": None,
    "timestep_post_act": None,
    "resnet_skip_time_act": False,
    "resnet_out_scale_factor": 1.0,
    "attention_type": "default",
    "reverse_transformer_layers_per_block": None,
    "cross_attention_norm": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
}
AUTOENCODER_ONLY: Config = {
    "act_fn": "silu",
    "norm_type": "group",
    "lookup_from_codebook": False,
}
# Options that are read, and those that change nothing here.
SHAPE = {"in_channels", "out_channels", "down_block_types", "up_block_types", "block_out_channels", "layers_per_block"}
SHAPE |= {"norm_num_groups", "sample_size"}
UNET_READ = SHAPE | {"dropout", "num_class_embeds", "attention_head_dim", "resnet_time_scale_shift"}
CONDITIONAL_READ = UNET_READ | {"cross_attention_dim", "transformer_layers_per_block", "use_linear_projection"}
CONDITIONAL_READ |= {"num_attention_heads", "upcast_attention", "addition_embed_type_num_heads"}
CONDITIONAL_READ |= {"addition_time_embed_dim", "projection_class_embeddings_input_dim", "only_cross_attention"}
UNCONDITIONAL_READ = UNET_READ | {"downsample_type", "upsample_type", "attn_norm_num_groups", "num_train_timesteps"}
AUTOENCODER_READ = SHAPE | {"latent_channels", "vq_embed_dim", "num_vq_embeddings", "scaling_factor", "force_upcast"}
AUTOENCODER_READ |= {"mid_block_add_attention", "shift_factor", "latents_mean", "latents_std"}
AUTOENCODER_READ |= {"use_quant_conv", "use_post_quant_conv"}
BERT_ONLY: Config = {
    "encoder_attention_heads": 8,
    "head_dim": 64,
    "activation_function": "gelu",
    "scale_embedding": False,
}


# --- diffusers to ours ----------------------------------------------------------------------------------------------


def conditional_unet_from_diffusers(theirs: Mapping[str, Any]) -> Config:
    """UNet2DConditionModel's configuration as `UNet`'s arguments."""
    # Both are a vector, as adm_in_channels is: one that is given whole, or a text's with sizes behind it (SDXL).
    given = [{"class_embed_type": "projection"}, {"addition_embed_type": "text_time"}]
    vector = next((each for each in given if each.items() <= theirs.items()), {})
    require(theirs, CONDITIONAL_ONLY | vector, CONDITIONAL_READ)
    _require_numbers(theirs, "layers_per_block", "cross_attention_dim")
    if vector and theirs.get("num_class_embeds") is not None:
        raise ValueError(f"the option num_class_embeds beside {next(iter(vector))} is not supported")
    width = theirs.get("projection_class_embeddings_input_dim") if vector else None
    if vector and (not isinstance(width, int) or width < 1):
        name, value = next(iter(vector.items()))
        raise ValueError(
            f"the option {name} = {value} goes with projection_class_embeddings_input_dim, which is {width!r:.60}, not a number"
        )
    channels: list[int] = theirs["block_out_channels"]
    attended = _attended(theirs["down_block_types"], "DownBlock2D", "CrossAttnDownBlock2D")
    _require_mirrored(theirs)
    heads = _per_level(theirs.get("num_attention_heads") or theirs.get("attention_head_dim", 8), channels)
    depth = theirs.get("transformer_layers_per_block", 1)
    if not isinstance(depth, int) and (len(depth) != len(channels) or any(not isinstance(each, int) for each in depth)):
        raise ValueError(
            f"the option transformer_layers_per_block = {depth} is not supported, only one number for each level"
        )
    return (
        _unet_shape(theirs, attended)
        | {
            **_heads(
                [(c, h) for c, h, used in zip(channels, heads, attended, strict=True) if used], channels[-1], heads[-1]
            ),
            "context_dim": theirs["cross_attention_dim"],
            "transformer_depth": depth if isinstance(depth, int) else list(depth),
            "use_linear_in_transformer": theirs.get("use_linear_projection", False),
            "use_scale_shift_norm": _scale_shift(theirs),
            "adm_in_channels": width,
        }
        | _without_self_attention(theirs.get("only_cross_attention", False), len(channels))
    )


def _without_self_attention(told: Any, levels: int) -> Config:
    """Which levels attend to the context alone, where any does."""
    by_level = [told] * levels if isinstance(told, bool) else told
    if (
        not isinstance(by_level, list)
        or len(by_level) != levels
        or any(not isinstance(each, bool) for each in by_level)
    ):
        raise ValueError(f"the option only_cross_attention = {told} is not supported, only one for each level")
    return {"disable_self_attentions": by_level} if any(by_level) else {}


def unconditional_unet_from_diffusers(theirs: Mapping[str, Any]) -> Config:
    """UNet2DModel's configuration as `UNet`'s arguments."""
    require(theirs, UNET_ONLY | {"mid_block_type": "UNetMidBlock2D", "add_attention": True}, UNCONDITIONAL_READ)
    _require_numbers(theirs, "layers_per_block")
    _require_mirrored(theirs)
    if (up := theirs.get("upsample_type", "conv")) != theirs.get("downsample_type", "conv"):
        raise ValueError(f"the option upsample_type = {up} is not supported, only what downsample_type is")
    groups = theirs.get("norm_num_groups", 32)
    normed = theirs.get("attn_norm_num_groups", None if _scale_shift(theirs) else groups)
    if normed != groups and (normed is not None or _scale_shift(theirs)):
        raise ValueError(
            f"the option attn_norm_num_groups = {normed} is not supported, only {groups}, as norm_num_groups"
        )
    kinds: list[str] = theirs["down_block_types"]
    resnet = theirs.get("downsample_type", "conv") == "resnet" or "ResnetDownsampleBlock2D" in kinds
    head_channels = theirs.get("attention_head_dim", 8)
    return _unet_shape(theirs, _attended(kinds, "DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D")) | {
        **({"num_heads": 1} if head_channels is None else {"num_head_channels": head_channels}),
        "use_scale_shift_norm": _scale_shift(theirs),
        "resblock_updown": resnet,
    }


def autoencoder_from_diffusers_config(theirs: Mapping[str, Any]) -> Config:
    """AutoencoderKL's or VQModel's configuration as our autoencoder's arguments (a VQModel's has `codes`).

    A folder without a scaling_factor is of before there was one: then a KL autoencoder is Stable Diffusion's, with
    0.18215, and a VQ model one of the paper's, with 1 (diffusers itself would say 0.18215 of it too).
    """
    require(theirs, AUTOENCODER_ONLY, AUTOENCODER_READ)
    _require_numbers(theirs, "layers_per_block", "latent_channels")
    _require_mirrored(theirs, "DownEncoder", "UpDecoder")
    channels: list[int] = theirs["block_out_channels"]
    attended = _attended(theirs["down_block_types"], "DownEncoderBlock2D", "AttnDownEncoderBlock2D")
    is_vq = "num_vq_embeddings" in theirs
    config: Config = {
        "in_channels": theirs.get("in_channels", 3),
        "out_channels": theirs.get("out_channels", 3),
        "model_channels": channels[0],
        "channel_mult": _multiples(channels),
        "num_res_blocks": theirs.get("layers_per_block", 1),
        "z_channels": theirs["latent_channels"],
        "embed_dim": theirs.get("vq_embed_dim") or theirs["latent_channels"],
        "attention_factors": [2**level for level, used in enumerate(attended) if used],
        "mid_attention": theirs.get("mid_block_add_attention", True),
        "norm_groups": theirs.get("norm_num_groups", 32),
        "scale_factor": theirs.get("scaling_factor", 1.0 if is_vq else 0.18215),
    } | ({"per_channel_scale": True} if is_per_channel(theirs) else {})
    return config | ({"codes": theirs["num_vq_embeddings"], "legacy": True} if is_vq else {})


def bert_from_diffusers_config(theirs: Mapping[str, Any]) -> Config:
    """LDMBertModel's configuration as `BERTEmbedder`'s arguments."""
    require(theirs, BERT_ONLY | {"encoder_ffn_dim": 4 * theirs["d_model"]})
    return {
        "n_embed": theirs["d_model"],
        "n_layer": theirs["encoder_layers"],
        "vocab_size": theirs["vocab_size"],
        "max_seq_len": theirs["max_position_embeddings"],
    }


CLIP_SHAPE: Config = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
"""The arguments that transformers' CLIPTextConfig and our CLIPTextEmbedder share, and transformers' defaults."""


def clip_from_transformers_config(theirs: Mapping[str, Any]) -> Config:
    """CLIPTextModel's configuration as `CLIPTextEmbedder`'s arguments."""
    return {name: theirs.get(name, default) for name, default in CLIP_SHAPE.items()}


# --- ours to diffusers ----------------------------------------------------------------------------------------------


def unet_to_diffusers_config(ours: Mapping[str, Any], sample_size: int, size_dim: int | None = None) -> Config:
    """`UNet`'s arguments as UNet2DConditionModel's (with a context) or UNet2DModel's configuration.

    size_dim: width of each size's embedding where its vector is a text's with sizes behind it (SDXL).
    """
    conditional = ours["context_dim"] is not None
    if not ours["conv_resample"]:
        raise ValueError("diffusers has no UNet with conv_resample = False; save it as a CompVis file instead")
    if ours["adm_in_channels"] and not conditional:
        raise ValueError("diffusers has no UNet with adm_in_channels but no context; save it as a CompVis file instead")
    channels = [ours["model_channels"] * mult for mult in ours["channel_mult"]]
    attended = [2**level in ours["attention_factors"] for level in range(len(channels))]
    if any(width % ours["norm_groups"] for width in channels):
        raise ValueError(f"diffusers cannot split {channels} channels into {ours['norm_groups']} norm groups")
    shared: Config = {
        "sample_size": sample_size,
        "in_channels": ours["in_channels"],
        "out_channels": ours["out_channels"],
        "block_out_channels": channels,
        "layers_per_block": ours["num_res_blocks"],
        "norm_num_groups": ours["norm_groups"],
        "num_class_embeds": ours["num_classes"],
        "dropout": ours["dropout"],
    }
    if not conditional:
        return {"_class_name": "UNet2DModel"} | UNET_ONLY | shared | _unconditional_options(ours, channels, attended)
    if ours["resblock_updown"]:
        raise ValueError(
            "diffusers has no cross-attention UNet with resblock_updown; save it as a CompVis file instead"
        )
    heads = [ours["num_heads"] or width // ours["num_head_channels"] for width in channels]
    down = ["CrossAttnDownBlock2D" if used else "DownBlock2D" for used in attended]
    depth = ours["transformer_depth"]
    return (
        {"_class_name": "UNet2DConditionModel"}
        | CONDITIONAL_ONLY
        | shared
        | {
            "down_block_types": down,
            "up_block_types": [name.replace("Down", "Up") for name in reversed(down)],
            "attention_head_dim": heads[0]
            if len(set(heads)) == 1
            else heads,  # number of heads, whatever the name says
            "cross_attention_dim": ours["context_dim"],
            "transformer_layers_per_block": depth,
            "only_cross_attention": list(ours.get("disable_self_attentions") or ()) or False,
            "use_linear_projection": ours["use_linear_in_transformer"],
            "resnet_time_scale_shift": "scale_shift" if ours["use_scale_shift_norm"] else "default",
            "class_embed_type": "projection" if ours["adm_in_channels"] and not size_dim else None,
            "addition_embed_type": "text_time" if size_dim else None,
            "addition_time_embed_dim": size_dim,
            "projection_class_embeddings_input_dim": ours["adm_in_channels"],
        }
    )


def autoencoder_to_diffusers_config(ours: Mapping[str, Any], scale_factor: float) -> Config:
    """Our autoencoder's arguments as AutoencoderKL's or VQModel's configuration."""
    is_vq = "codes" in ours
    embed_dim = ours["embed_dim"] or ours["z_channels"]
    if not is_vq and embed_dim != ours["z_channels"]:
        raise ValueError("diffusers has no KL autoencoder whose embed_dim differs from z_channels")
    attended = [2**level in ours["attention_factors"] for level in range(len(ours["channel_mult"]))]
    down = ["AttnDownEncoderBlock2D" if used else "DownEncoderBlock2D" for used in attended]
    config: Config = {
        "_class_name": "VQModel" if is_vq else "AutoencoderKL",
        "in_channels": ours["in_channels"],
        "out_channels": ours["out_channels"],
        "down_block_types": down,
        "up_block_types": [name.replace("DownEncoder", "UpDecoder") for name in reversed(down)],
        "block_out_channels": [ours["model_channels"] * mult for mult in ours["channel_mult"]],
        "layers_per_block": ours["num_res_blocks"],
        "latent_channels": ours["z_channels"],
        "norm_num_groups": ours["norm_groups"],
        "scaling_factor": scale_factor,
        "mid_block_add_attention": ours["mid_attention"],
    }
    return config | ({"num_vq_embeddings": ours["codes"], "vq_embed_dim": embed_dim} if is_vq else {})


def bert_to_diffusers_config(ours: Mapping[str, Any]) -> Config:
    """`BERTEmbedder`'s arguments as LDMBertModel's configuration."""
    return BERT_ONLY | {
        "architectures": ["LDMBertModel"],
        "model_type": "ldmbert",
        "d_model": ours["n_embed"],
        "encoder_ffn_dim": 4 * ours["n_embed"],
        "encoder_layers": ours["n_layer"],
        "vocab_size": ours["vocab_size"],
        "max_position_embeddings": ours["max_seq_len"],
        "dropout": 0.0,
        "pad_token_id": 0,
    }


def clip_to_transformers_config(ours: Mapping[str, Any]) -> Config:
    """`CLIPTextEmbedder`'s arguments as CLIPTextModel's configuration. Raises ValueError for skipped layers."""
    if ours["skip"]:
        raise ValueError("a folder cannot say that a text encoder skips layers; save it with skip = 0")
    ends = {"bos_token_id": ours["vocab_size"] - 2, "eos_token_id": ours["vocab_size"] - 1, "pad_token_id": 1}
    model = {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "projection_dim": ours["hidden_size"]}
    return model | {name: ours[name] for name in CLIP_SHAPE} | ends


def sdxl_text_from_transformers_config(theirs: Mapping[str, Any]) -> Config:
    """CLIPTextModelWithProjection's configuration as those of an `SDXLTextEmbedder` that has it alone."""
    clip_g = clip_from_transformers_config(theirs)
    told = theirs.get("eos_token_id", OLD_END)
    end = clip_g["vocab_size"] - 1 if told == OLD_END else told
    projection = theirs.get("projection_dim", 512)
    return {"clip_l": None, "clip_g": clip_g, "projection_dim": projection, "end": end, "pads": [end, 0]}


def sdxl_text_to_transformers_config(ours: Mapping[str, Any]) -> Config:
    """The second encoder of an `SDXLTextEmbedder` as CLIPTextModelWithProjection's configuration.

    Raises ValueError where another number of layers than diffusers' pipeline leaves out is skipped.
    """
    if ours["skip"] != 1:
        raise ValueError(f"a folder cannot say that a text encoder skips {ours['skip']} layers; save it with skip = 1")
    own = {"architectures": ["CLIPTextModelWithProjection"], "projection_dim": ours["projection_dim"]}
    ends = {"bos_token_id": ours["end"] - 1, "eos_token_id": ours["end"]}
    return clip_to_transformers_config(ours["clip_g"]) | own | ends


OLD_END = 2
"""The end token in configurations older than the correction, which mean the vocabulary's last token."""


# --- the shapes' arithmetic -----------------------------------------------------------------------------------------


def _unet_shape(theirs: Mapping[str, Any], attended: Sequence[bool]) -> Config:
    if (out := theirs["out_channels"]) > theirs["in_channels"]:  # a learned variance, say
        raise ValueError(
            f"the option out_channels = {out} is not supported, only in_channels = {theirs['in_channels']} or fewer"
        )
    return {
        "in_channels": theirs["in_channels"],
        "out_channels": theirs["out_channels"],
        "model_channels": theirs["block_out_channels"][0],
        "channel_mult": _multiples(theirs["block_out_channels"]),
        "num_res_blocks": theirs.get("layers_per_block", 2),
        "attention_factors": [2**level for level, used in enumerate(attended) if used],
        "num_classes": theirs.get("num_class_embeds"),
        "norm_groups": theirs.get("norm_num_groups", 32),
        "dropout": theirs.get("dropout", 0.0),
    }


def _unconditional_options(ours: Mapping[str, Any], channels: Sequence[int], attended: Sequence[bool]) -> Config:
    widths = {width for width, used in zip(channels, attended, strict=True) if used} | {channels[-1]}
    head_channels = {ours["num_head_channels"] or width // ours["num_heads"] for width in widths}
    if len(head_channels) > 1:
        raise ValueError(
            "diffusers' UNet2DModel has the same channels in every head, which differ here by level; "
            "save it as a CompVis file instead"
        )
    plain = "ResnetDownsampleBlock2D" if ours["resblock_updown"] else "DownBlock2D"
    down = ["AttnDownBlock2D" if used else plain for used in attended]
    resample = "resnet" if ours["resblock_updown"] else "conv"
    options: Config = {
        "down_block_types": down,
        "up_block_types": [name.replace("Down", "Up") for name in reversed(down)],
        "attention_head_dim": head_channels.pop(),
        "downsample_type": resample,
        "upsample_type": resample,
    }
    if ours["use_scale_shift_norm"]:
        options |= {"resnet_time_scale_shift": "scale_shift", "attn_norm_num_groups": ours["norm_groups"]}
    return options


def _heads(levels: Sequence[tuple[int, int]], mid_channels: int, mid_heads: int) -> Config:
    """`num_heads` or `num_head_channels`, from the channels and heads of each level with attention and the middle."""
    used = [*levels, (mid_channels, mid_heads)]
    if len({heads for _, heads in used}) == 1:
        return {"num_heads": mid_heads}
    widths = {channels / heads for channels, heads in used}
    if len(widths) > 1:
        raise ValueError(f"attention with {[heads for _, heads in used]} heads is not supported")
    return {"num_head_channels": int(widths.pop())}


def _per_level(value: int | Sequence[int], channels: Sequence[int]) -> list[int]:
    return [value] * len(channels) if isinstance(value, int) else list(value)


def _multiples(channels: Sequence[int]) -> list[int]:
    if any(width % channels[0] for width in channels):
        raise ValueError(f"block_out_channels {list(channels)} are not multiples of the first")
    return [width // channels[0] for width in channels]


def _attended(kinds: Sequence[str], plain: str, attended: str, other_plain: str = "") -> list[bool]:
    for kind in kinds:
        if kind not in (plain, attended, other_plain):
            raise ValueError(f"the block {kind} is not supported")
    return [kind == attended for kind in kinds]


def _scale_shift(theirs: Mapping[str, Any]) -> bool:
    if (kind := theirs.get("resnet_time_scale_shift", "default")) not in ("default", "scale_shift"):
        raise ValueError(f"the option resnet_time_scale_shift = {kind} is not supported, only default or scale_shift")
    return bool(kind == "scale_shift")


def _require_numbers(theirs: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if not isinstance(theirs.get(name, 1), int):
            raise ValueError(f"the option {name} = {theirs[name]} is not supported, only one number for all levels")


def _require_mirrored(theirs: Mapping[str, Any], down: str = "Down", up: str = "Up") -> None:
    mirrored = [kind.replace(down, up) for kind in reversed(theirs["down_block_types"])]
    if list(theirs.get("up_block_types", mirrored)) != mirrored:
        raise ValueError(f"the option up_block_types = {theirs['up_block_types']} is not supported, only {mirrored}")


def require(theirs: Mapping[str, Any], only: Mapping[str, Any], read: Collection[str] | None = None) -> None:
    """Raise ValueError for an option that is not what it has to be, and for one that is not known and says something."""
    for name, wanted in only.items():
        if theirs.get(name, wanted) != wanted:
            raise ValueError(f"the option {name} = {theirs[name]} is not supported, only {wanted}")
    if read is None:
        return
    for name, value in theirs.items():
        if not (name.startswith("_") or name in only or name in read or value in (None, False)):
            raise ValueError(f"the option {name} = {value} is not known here, and so not supported")
