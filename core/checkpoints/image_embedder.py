"""The image encoder of Stable Diffusion unCLIP: from a pipeline's folder of diffusers, the original's single file, or ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from core.checkpoints.diffusers_folder import class_of, weights_in
from core.checkpoints.files import CheckpointError
from core.checkpoints.forms import count
from core.checkpoints.model_io import HEADER, build, load_model, model_files
from core.checkpoints.text_keys import OPENCLIP_MODULES
from core.checkpoints.weights import State, naming, read_json, read_metadata, read_weights, weight_files
from core.conditioning.image_embedder import ImageEmbedder
from core.models.registry import MODELS

KIND = "CLIPVisionModelWithProjection"
ENCODER, NORMALISER = "image_encoder", "image_normalizer"
"""Folders of a pipeline."""
VISUAL, STATISTICS = "embedder.model.visual.", "noise_augmentor.data_"
"""Beginnings of names in the original's files."""
SHAPE: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "projection_dim": 512,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
"""The arguments that transformers' CLIPVisionConfig and our ImageEmbedder share, and transformers' defaults."""
ENDS = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}
HEADS = {1280: 16, 1024: 16}
"""Attention heads of the published ones, ViT-H/14 and ViT-L/14, by width; others have 64 channels in each."""


def load_image_embedder(
    path: str | Path, dtype: torch.dtype | None = torch.float32, known: Mapping[str, type] = MODELS
) -> ImageEmbedder:
    """The image encoder and its noise's statistics, of a pipeline's folder or of a single file; the rest is not read.

    dtype: what floating-point weights are converted to; None keeps each. known: the classes that our own files may name.
    Raises CheckpointError naming the file and the remedy.
    """
    path = Path(path)
    with naming(path):
        if not path.exists():
            raise CheckpointError(f"{path} does not exist; check the path, or download it.")
        if _is_ours(path):
            model = load_model(path, dtype, known).model
            if not isinstance(model, ImageEmbedder):
                raise CheckpointError(f"{path} holds a {type(model).__name__}, not an image encoder; use load_model.")
            return model
        config, state = _from_folder(path) if path.is_dir() else _from_file(path)
        return build(ImageEmbedder, config, state, path, dtype)


def image_embedder_files(path: str | Path) -> dict[str, Path]:
    """The files that `load_image_embedder` reads, by their names at `path`; the file itself has none."""
    path = Path(path)
    if not path.is_dir():
        return weight_files(path)
    if _is_ours(path):
        return model_files(path)
    files = {f"{ENCODER}/config.json": path / ENCODER / "config.json"}
    for name in (ENCODER, NORMALISER):
        if (weights := weights_in(path / name)) is not None:
            files |= {f"{name}/{part or weights.name}": file for part, file in weight_files(weights).items()}
    return {name: file for name, file in files.items() if file.is_file()}


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        return (path / "config.json").is_file() and HEADER in read_json(path / "config.json")
    return HEADER in read_metadata(path)


def _from_folder(path: Path) -> tuple[dict[str, Any], State]:
    source = path / ENCODER / "config.json"
    encoder, normaliser = weights_in(path / ENCODER), weights_in(path / NORMALISER)
    if not source.is_file() or encoder is None or normaliser is None:
        raise CheckpointError(
            f"{path} is no folder of Stable Diffusion unCLIP, which has {ENCODER} and {NORMALISER} with their weights in it; give "
            "the whole pipeline's folder."
        )
    theirs = read_json(source)
    if (kind := class_of(theirs)) != KIND:
        raise CheckpointError(f"{source} describes a {kind[:60] or 'model without a class'}, not a {KIND}.")
    state = {f"network.{key}": value for key, value in read_weights(encoder).items()}
    state.pop("network.vision_model.embeddings.position_ids", None)
    statistics = read_weights(normaliser)
    if statistics.keys() != {"mean", "std"}:
        raise CheckpointError(f"{normaliser} does not hold mean and std; get the folder again.")
    return {name: theirs.get(name, default) for name, default in SHAPE.items()}, state | statistics


def _from_file(path: Path) -> tuple[dict[str, Any], State]:
    """The original's names, which are OpenCLIP's, as transformers'."""
    whole = read_weights(path)
    theirs = {key.removeprefix(VISUAL): value for key, value in whole.items() if key.startswith(VISUAL)}
    statistics = {name: whole.get(STATISTICS + name) for name in ("mean", "std")}
    if "conv1.weight" not in theirs or "proj" not in theirs or None in statistics.values():
        raise CheckpointError(
            f"{path} holds no image encoder of Stable Diffusion unCLIP ({VISUAL}* and {STATISTICS}*); give its whole checkpoint."
        )
    state: State = {name: value.reshape(1, -1) for name, value in statistics.items() if value is not None}
    state["network.visual_projection.weight"] = theirs["proj"].T.contiguous()
    for key, value in theirs.items():
        match = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)", key)
        if key in ENDS:
            state[f"network.vision_model.{ENDS[key]}"] = value
        elif match and match[2] == "attn.in_proj":
            for letter, part in zip("qkv", value.chunk(3), strict=True):
                layer = f"network.vision_model.encoder.layers.{match[1]}.self_attn.{letter}_proj"
                state[f"{layer}.{match[3]}"] = part.clone()
        elif match and match[2] in OPENCLIP_MODULES:
            layer = f"network.vision_model.encoder.layers.{match[1]}"
            state[f"{layer}.{OPENCLIP_MODULES[match[2]]}.{match[3]}"] = value
    width, _, patch, _ = theirs["conv1.weight"].shape
    places = theirs["positional_embedding"].shape[0] - 1
    config = {
        "hidden_size": width,
        "intermediate_size": theirs["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        "num_hidden_layers": count(theirs, r"transformer\.resblocks\.(\d+)\."),
        "num_attention_heads": HEADS.get(width, max(1, width // 64)),
        "image_size": round(places**0.5) * patch,
        "patch_size": patch,
        "projection_dim": theirs["proj"].shape[1],
        "hidden_act": "quick_gelu" if width == 1024 else "gelu",
    }
    return config, state
