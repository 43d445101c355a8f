"""Weights of UNets and autoencoders under CompVis' names (ours) and under diffusers': renaming both ways, bit-equal.

A UNet with a context is diffusers' UNet2DConditionModel, one without its UNet2DModel; a KL autoencoder is its
AutoencoderKL, a VQ autoencoder its VQModel. Three things differ beyond names: diffusers splits an AttentionBlock's
fused `qkv`, stores the projections of attention blocks as matrices, and keeps the latent scale in its configuration, so
that `scale_factor`, `shift_factor` and a codebook's idle counts have no key there and are left out. `config` is always
the model's own, `model.config`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from core.checkpoints.outline import outline
from core.models.attention import SpatialTransformer
from core.models.autoencoder import Autoencoder, KLAutoencoder, VQAutoencoder
from core.models.blocks import AttentionBlock, Downsample, ResBlock, TokenConv
from core.models.controlnet import ENCODER, ControlNet
from core.models.encoder_decoder import AttnBlock, ResnetBlock
from core.models.unet import UNet

State = dict[str, Tensor]

LEAVES: dict[type[nn.Module], dict[str, str]] = {
    ResBlock: {
        "in_layers.0": "norm1",
        "in_layers.2": "conv1",
        "emb_layers.1": "time_emb_proj",
        "out_layers.0": "norm2",
        "out_layers.3": "conv2",
        "skip_connection": "conv_shortcut",
    },
    ResnetBlock: {"nin_shortcut": "conv_shortcut"},
    AttentionBlock: {"norm": "group_norm", "proj_out": "to_out.0"},
    AttnBlock: {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"},
    Downsample: {"op": "conv"},
}
"""Names inside a block that differ; all others are the same on both sides."""

OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""The projections' names in folders saved by diffusers before 0.13."""


UNMAPPED = {"scale_factor", "shift_factor", "quantize.idle"}


@dataclass(frozen=True)
class Slot:
    """Where one of our tensors lives in diffusers: under one key, or by `heads` under three; as a `matrix` or not."""

    shape: torch.Size
    theirs: tuple[str, ...]
    heads: int = 0
    matrix: bool = False


def unet_to_diffusers(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> State:
    """A UNet's weights under diffusers' names. Raises ValueError for missing, unknown or misshapen tensors."""
    return _to_diffusers(state, _unet_slots(config, state))


def unet_from_diffusers(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> State:
    """The inverse of `unet_to_diffusers`; it also reads diffusers' older names."""
    return _from_diffusers(state, _unet_slots(config, state))


def autoencoder_to_diffusers(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> State:
    """A KL or VQ autoencoder's weights under diffusers' names. Raises ValueError as `unet_to_diffusers` does."""
    return _to_diffusers(state, _autoencoder_slots(config, state))


def autoencoder_from_diffusers(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> State:
    """The inverse of `autoencoder_to_diffusers`, without the scale buffers; it also reads diffusers' older names."""
    return _from_diffusers(state, _autoencoder_slots(config, state))


def controlnet_to_diffusers(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> State:
    """A ControlNet's weights under diffusers' names. Raises ValueError as `unet_to_diffusers` does."""
    return _to_diffusers(state, _controlnet_slots(config, state))


def controlnet_from_diffusers(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> State:
    """The inverse of `controlnet_to_diffusers`."""
    return _from_diffusers(state, _controlnet_slots(config, state))


def _controlnet_slots(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Slot]:
    """Those of the UNet whose encoder it is, and its own."""
    model = outline(ControlNet, config, state)
    own = ("hint_channels", "hint_widths", "global_pool")
    unet = {name: value for name, value in config.items() if name not in own} | {"out_channels": config["in_channels"]}
    shared = {ours: slot for ours, slot in _unet_slots(unet, state).items() if ours.startswith(ENCODER)}
    convolutions = [i for i, layer in enumerate(model.input_hint_block) if isinstance(layer, nn.Conv2d)]
    names = ["conv_in", *(f"blocks.{i}" for i in range(len(convolutions) - 2)), "conv_out"]
    modules = {
        f"input_hint_block.{i}": f"controlnet_cond_embedding.{name}"
        for i, name in zip(convolutions, names, strict=True)
    }
    modules |= {f"zero_convs.{i}.0": f"controlnet_down_blocks.{i}" for i in range(len(model.zero_convs))}
    modules |= {"middle_block_out.0": "controlnet_mid_block"}
    return shared | dict(_slots(model, modules))


def _unet_slots(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Slot]:
    model = outline(UNet, config, state)
    modules = {
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
        "input_blocks.0.0": "conv_in",
        "middle_block.0": "mid_block.resnets.0",
        "middle_block.1": "mid_block.attentions.0",
        "middle_block.2": "mid_block.resnets.1",
        "out.0": "conv_norm_out",
        "out.2": "conv_out",
    }
    if isinstance(model.label_emb, nn.Embedding):
        modules["label_emb"] = "class_embedding"
    elif model.label_emb is not None:
        modules |= {"label_emb.0.0": "add_embedding.linear_1", "label_emb.0.2": "add_embedding.linear_2"}
    blocks = model.config["num_res_blocks"]
    for i in range(1, len(model.input_blocks)):
        level, j = divmod(i - 1, blocks + 1)
        names = ["downsamplers.0"] if j == blocks else [f"resnets.{j}", f"attentions.{j}"]
        modules |= {f"input_blocks.{i}.{k}": f"down_blocks.{level}.{name}" for k, name in enumerate(names)}
    for i, block in enumerate(model.output_blocks):
        level, j = divmod(i, blocks + 1)
        attended = any(isinstance(layer, (AttentionBlock, SpatialTransformer)) for layer in block.children())
        names = [f"resnets.{j}", *[f"attentions.{j}"] * attended, "upsamplers.0"]
        modules |= {f"output_blocks.{i}.{k}": f"up_blocks.{level}.{name}" for k, name in enumerate(names)}
    return dict(_slots(model, modules))


def _autoencoder_slots(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Slot]:
    kind: type[Autoencoder] = VQAutoencoder if "codes" in config else KLAutoencoder
    model = outline(kind, config, state)
    modules = {name: name for name in ("quant_conv", "post_quant_conv", "quantize.embedding")}
    for side, levels in (("encoder", model.encoder.down), ("decoder", model.decoder.up)):
        modules |= {f"{side}.conv_in": f"{side}.conv_in", f"{side}.conv_out": f"{side}.conv_out"}
        modules |= {f"{side}.norm_out": f"{side}.conv_norm_out", f"{side}.mid.attn_1": f"{side}.mid_block.attentions.0"}
        modules |= {f"{side}.mid.block_{k + 1}": f"{side}.mid_block.resnets.{k}" for k in (0, 1)}
        for i in range(len(levels)):
            ours = f"encoder.down.{i}" if side == "encoder" else f"decoder.up.{i}"
            theirs = f"encoder.down_blocks.{i}" if side == "encoder" else f"decoder.up_blocks.{len(levels) - 1 - i}"
            modules |= {f"{ours}.{way}sample": f"{theirs}.{way}samplers.0" for way in ("down", "up")}
            for j in range(model.config["num_res_blocks"] + 1):  # the encoder has one fewer
                modules |= {
                    f"{ours}.block.{j}": f"{theirs}.resnets.{j}",
                    f"{ours}.attn.{j}": f"{theirs}.attentions.{j}",
                }
    return dict(_slots(model, modules))


def _slots(model: nn.Module, modules: Mapping[str, str]) -> Iterator[tuple[str, Slot]]:
    """The slot of every tensor, given diffusers' names of our blocks (those that this model lacks are skipped)."""
    present = dict(model.named_modules())
    for ours, theirs in modules.items():
        block = present.get(ours, nn.Identity())
        leaves = LEAVES.get(type(block), {})
        for key, tensor in block.state_dict(keep_vars=True).items():
            leaf, _, parameter = key.rpartition(".")
            if isinstance(block, AttentionBlock) and leaf == "qkv":
                keys = tuple(f"{theirs}.to_{letter}.{parameter}" for letter in "qkv")
                yield f"{ours}.{key}", Slot(tensor.shape, keys, block.heads, matrix=True)
            elif isinstance(tensor, nn.Parameter):
                name = ".".join(part for part in (theirs, leaves.get(leaf, leaf), parameter) if part)
                matrix = isinstance(block, (AttentionBlock, AttnBlock)) and isinstance(
                    present.get(f"{ours}.{leaf}"), TokenConv
                )
                yield f"{ours}.{key}", Slot(tensor.shape, (name,), matrix=matrix)


def _to_diffusers(state: Mapping[str, Tensor], slots: Mapping[str, Slot]) -> State:
    weights = {key: tensor for key, tensor in state.items() if key not in UNMAPPED}
    _check({key: tensor.shape for key, tensor in weights.items()}, {key: slot.shape for key, slot in slots.items()})
    out: State = {}
    for ours, slot in slots.items():
        tensor = weights[ours].flatten(1) if slot.matrix and weights[ours].dim() > 1 else weights[ours]
        if slot.heads:
            q, k, v = (part.flatten(0, 1) for part in tensor.reshape(slot.heads, 3, -1, *tensor.shape[1:]).unbind(1))
            out |= zip(slot.theirs, (q, k, v), strict=True)
        else:
            out[slot.theirs[0]] = tensor
    return out


def _from_diffusers(state: Mapping[str, Tensor], slots: Mapping[str, Slot]) -> State:
    theirs = {_modern(key): tensor for key, tensor in state.items()}
    wanted = {key: None for slot in slots.values() for key in slot.theirs}
    _check(dict.fromkeys(theirs), wanted)
    out: State = {}
    for ours, slot in slots.items():
        parts = [theirs[key] for key in slot.theirs]
        split = [part.reshape(slot.heads, -1, *part.shape[1:]) for part in parts] if slot.heads else []
        tensor = torch.stack(split, dim=1) if slot.heads else parts[0]
        if tensor.numel() != slot.shape.numel():
            raise ValueError(
                f"{slot.theirs[0]} has shape {tuple(parts[0].shape)}; the configuration wants {tuple(slot.shape)}"
            )
        out[ours] = tensor.reshape(slot.shape)
    return out


def _modern(key: str) -> str:
    """A key of today's diffusers for one of its older folders."""
    if ".attentions." not in key or ".transformer_blocks." in key:
        return key
    head, _, parameter = key.rpartition(".")
    module, _, leaf = head.rpartition(".")
    return f"{module}.{OLD_ATTENTION.get(leaf, leaf)}.{parameter}"


def _check(given: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    problems = [
        f"{word} {', '.join(sorted(keys)[:3])}{' …' * (len(keys) > 3)}"
        for word, keys in (
            ("missing:", wanted.keys() - given.keys()),
            ("unknown:", given.keys() - wanted.keys()),
            ("of another shape:", {key for key in wanted.keys() & given.keys() if wanted[key] != given[key]}),
        )
        if keys
    ]
    if problems:
        raise ValueError(f"these weights do not fit the configuration ({'; '.join(problems)}); is it theirs?")
