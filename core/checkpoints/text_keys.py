"""Parameter names of text encoders: ours (CompVis' and transformers') against diffusers', OpenCLIP's and Stable Diffusion's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.models.presets import OPENCLIP_TEXT

State = dict[str, Tensor]


def rename_modules(state: Mapping[str, Tensor], names: Mapping[str, str]) -> State:
    """Rename `module.weight` and `module.bias` by a table of module names. Raises KeyError for a module not in it."""
    renamed: State = {}
    for key, value in state.items():
        module, _, parameter = key.rpartition(".")
        renamed[f"{names[module]}.{parameter}"] = value
    return renamed


def ldm_bert_names(n_layer: int) -> dict[str, str]:
    """Module names of `BERTEmbedder` to those of diffusers' LDMBertModel."""
    names = {
        "transformer.token_emb": "model.embed_tokens",
        "transformer.pos_emb.emb": "model.embed_positions",
        "transformer.norm": "model.layer_norm",
        "transformer.to_logits": "to_logits",
    }
    for i in range(n_layer):
        ours, theirs = "transformer.attn_layers.layers", f"model.layers.{i}"
        names[f"{ours}.{2 * i}.0"] = f"{theirs}.self_attn_layer_norm"
        for a, b in (("to_q", "q_proj"), ("to_k", "k_proj"), ("to_v", "v_proj"), ("to_out", "out_proj")):
            names[f"{ours}.{2 * i}.1.{a}"] = f"{theirs}.self_attn.{b}"
        names[f"{ours}.{2 * i + 1}.0"] = f"{theirs}.final_layer_norm"
        names[f"{ours}.{2 * i + 1}.1.net.0.0"] = f"{theirs}.fc1"
        names[f"{ours}.{2 * i + 1}.1.net.2"] = f"{theirs}.fc2"
    return names


def ldm_bert_to_diffusers(state: Mapping[str, Tensor], n_layer: int) -> State:
    """`BERTEmbedder` weights under LDMBertModel's names."""
    return rename_modules(state, ldm_bert_names(n_layer))


def ldm_bert_from_diffusers(state: Mapping[str, Tensor], n_layer: int) -> State:
    """LDMBertModel weights under `BERTEmbedder`'s names."""
    return rename_modules(state, {theirs: ours for ours, theirs in ldm_bert_names(n_layer).items()})


def clip_from_files(state: Mapping[str, Tensor]) -> State:
    """`CLIPTextEmbedder` weights from any published naming of a CLIP text encoder.

    Known are transformers' (with and without its old `text_model.`), the same under Stable Diffusion 1's
    `transformer.`, and OpenCLIP's under Stable Diffusion 2's `model.`. Constants, projections, the image half and the last layer
    of Stable Diffusion 2's 24 are left out.
    """
    if "model.token_embedding.weight" in state:
        plain = {key.removeprefix("model."): value for key, value in state.items()}
        return openclip_from_files(plain, without=OPENCLIP_TEXT["num_hidden_layers"])
    plain = {key.removeprefix("transformer.").removeprefix("text_model."): value for key, value in state.items()}
    left_out = ("embeddings.position_ids", "text_projection", "logit_scale", "vision_model.", "visual_projection.")
    return {f"transformer.{key}": value for key, value in plain.items() if not key.startswith(left_out)}


def clip_to_transformers(state: Mapping[str, Tensor]) -> State:
    """`CLIPTextEmbedder` weights under the names in published folders, which start with `text_model.`."""
    return {f"text_model.{key.removeprefix('transformer.')}": value for key, value in state.items()}


def is_openclip(config: Mapping[str, Any]) -> bool:
    """Whether a `CLIPTextEmbedder` of this configuration is Stable Diffusion 2's, which its activation tells."""
    return bool(config["hidden_act"] == OPENCLIP_TEXT["hidden_act"])


def clip_to_compvis(state: Mapping[str, Tensor], openclip: bool) -> State:
    """`CLIPTextEmbedder` weights as Stable Diffusion 1 or 2 (openclip) keeps them under `cond_stage_model.`."""
    if not openclip:
        return {f"transformer.{key}": value for key, value in clip_to_transformers(state).items()}
    return {f"model.{key}": value for key, value in _to_openclip(state).items()}


OPENCLIP_MODULES = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
OPENCLIP_ENDS = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}


def openclip_from_files(state: Mapping[str, Tensor], without: int | None = None) -> State:
    """`CLIPTextEmbedder` weights from OpenCLIP's names. without: a layer that is left out."""
    renamed: State = {}
    for key, value in state.items():
        if key in OPENCLIP_ENDS:
            renamed[f"transformer.{OPENCLIP_ENDS[key]}"] = value
            continue
        match = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)", key)
        if match is None or int(match[1]) == without:
            continue
        layer = f"transformer.encoder.layers.{match[1]}"
        if match[2] == "attn.in_proj":
            for letter, part in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{layer}.self_attn.{letter}_proj.{match[3]}"] = part.clone()
        else:
            renamed[f"{layer}.{OPENCLIP_MODULES[match[2]]}.{match[3]}"] = value
    return renamed


def _to_openclip(state: Mapping[str, Tensor]) -> State:
    modules = {theirs: ours for ours, theirs in OPENCLIP_MODULES.items()}
    ends = {theirs: ours for ours, theirs in OPENCLIP_ENDS.items()}
    renamed: State = {}
    for key, value in state.items():
        name = key.removeprefix("transformer.")
        if name in ends:
            renamed[ends[name]] = value
            continue
        _, _, index, rest = name.split(".", 3)
        module, _, parameter = rest.rpartition(".")
        layer = f"transformer.resblocks.{index}"
        if module in modules:
            renamed[f"{layer}.{modules[module]}.{parameter}"] = value
        elif module == "self_attn.q_proj":
            parts = [state[key.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            renamed[f"{layer}.attn.in_proj_{parameter}"] = torch.cat(parts)
    return renamed
