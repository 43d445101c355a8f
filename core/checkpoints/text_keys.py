"""Parameter names of text encoders: ours (CompVis' and transformers') against diffusers' LDMBert and OpenCLIP."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

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
