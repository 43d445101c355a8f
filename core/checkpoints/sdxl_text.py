"""Stable Diffusion XL's text encoders in files, and what its UNet's vector is made of.

Single files keep them under `conditioner.embedders.0.` and `.1.` (the refiner's one under `.0.`), folders in `text_encoder` and
`text_encoder_2`, each with a tokenizer of the same words that pads otherwise. Here they are one conditioner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_diffusion import LatentDiffusion, Part
from core.checkpoints.outline import outline
from core.checkpoints.text_keys import clip_from_files, clip_to_compvis, clip_to_transformers, openclip_from_files
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.tokenizer import TextTokenizer

State = dict[str, Tensor]

EMBEDDERS = "conditioner.embedders."
BIGG_WIDTH = 1280
SIZE_NUMBERS, REFINER_NUMBERS = 6, 5
"""How many numbers follow the text in the vector: two sizes and a crop; the refiner has a score in place of the second size."""
PUBLISHED_VECTORS = {1280 + 6 * 256: 256, 1280 + 5 * 256: 256}
"""Widths of the published UNets' vectors, and of each number's embedding in them."""


def size_dim(unet: Mapping[str, Any], conditioner: Part | None) -> int | None:
    """Width of the embedding of each size in the vector of a UNet of this configuration, diffusers' `addition_time_embed_dim`.

    None where its vector is not made of a text's and of sizes, as far as its text encoder, or else the published widths, tell.
    """
    whole = unet.get("adm_in_channels")
    if whole is None or unet["context_dim"] is None:
        return None
    if conditioner is None:
        return PUBLISHED_VECTORS.get(whole)
    if conditioner.kind is not SDXLTextEmbedder:
        return None
    numbers = REFINER_NUMBERS if conditioner.config["clip_l"] is None else SIZE_NUMBERS
    dim, rest = divmod(whole - conditioner.config.get("projection_dim", 1280), numbers)
    return dim if dim > 0 and not rest else None


# --- single files ---------------------------------------------------------------------------------------------------


def is_bigg(state: Mapping[str, Tensor]) -> bool:
    """Whether a text encoder's weights, in any published naming, are Stable Diffusion XL's second one with its projection."""
    table = next((value for key, value in state.items() if key.endswith("token_embedding.weight")), None)
    projected = any(key.removesuffix(".weight").endswith("text_projection") for key in state)
    return projected and table is not None and table.shape[-1] == BIGG_WIDTH


def second_encoder(state: Mapping[str, Tensor]) -> State:
    """`SDXLTextEmbedder`'s weights `clip_g.*` and `text_projection.weight` from transformers' or OpenCLIP's naming.

    Raises ValueError for weights without a projection.
    """
    if not any(key.removesuffix(".weight").endswith("text_projection") for key in state):
        raise ValueError("the text encoder of Stable Diffusion XL lacks its text_projection")
    if any(key.startswith("model.transformer.resblocks.") for key in state):
        named = openclip_from_files({key.removeprefix("model."): value for key, value in state.items()})
        transposed = state.get("model.text_projection")
        projection = state["model.text_projection.weight"] if transposed is None else transposed.T.contiguous()
    else:
        named = clip_from_files(state)
        plain = {key.removeprefix("transformer."): value for key, value in state.items()}
        projection = plain["text_projection.weight"]
    return {f"clip_g.{key}": value for key, value in named.items()} | {"text_projection.weight": projection}


def text_from_embedders(state: Mapping[str, Tensor]) -> State:
    """`SDXLTextEmbedder`'s weights from those under `conditioner.embedders.`; empty where there are none."""
    encoders: dict[int, State] = {}
    for key, value in state.items():
        if match := re.fullmatch(re.escape(EMBEDDERS) + r"(\d)\.(.+)", key):
            encoders.setdefault(int(match[1]), {})[match[2]] = value
    if not encoders:
        return {}
    *firsts, last = (encoders[number] for number in sorted(encoders))
    first = clip_from_files(firsts[0]) if firsts else {}
    return {f"clip_l.{key}": value for key, value in first.items()} | second_encoder(last)


def text_to_embedders(conditioner: SDXLTextEmbedder) -> State:
    """A conditioner's weights as single files have them."""
    halves = [half for half in (conditioner.clip_l, conditioner.clip_g) if half is not None]
    state: State = {}
    for number, half in enumerate(halves):
        names = clip_to_compvis(half.state_dict(), openclip=half is conditioner.clip_g)
        state |= {f"{EMBEDDERS}{number}.{key}": value for key, value in names.items()}
    projection = conditioner.text_projection.weight.detach().T.contiguous()
    return state | {f"{EMBEDDERS}{len(halves) - 1}.model.text_projection": projection}


# --- folders --------------------------------------------------------------------------------------------------------


def second_to_transformers(conditioner: SDXLTextEmbedder) -> State:
    """The weights of the second encoder under CLIPTextModelWithProjection's names."""
    names = clip_to_transformers(conditioner.clip_g.state_dict())
    return names | {"text_projection.weight": conditioner.text_projection.weight.detach()}


def beside_each_other(first: CLIPTextEmbedder, second: SDXLTextEmbedder) -> SDXLTextEmbedder:
    """Both encoders as one conditioner, of the same weights. second: the second alone."""
    config = second.config | {"clip_l": first.config | {"skip": 0}}
    both = outline(SDXLTextEmbedder, config, first.state_dict() | second.state_dict())
    both.clip_l, both.clip_g, both.text_projection = first, second.clip_g, second.text_projection
    return both.eval()


def joined(
    encoders: Mapping[str, nn.Module], tokenizers: Mapping[str, TextTokenizer], folder: str | Path
) -> dict[str, Any]:
    """The conditioner and the tokenizer of a pipeline's folder, by the names of their folders there.

    Raises CheckpointError for encoders or tokenizers that do not belong together.
    """
    encoder, second = encoders.get("text_encoder"), encoders.get("text_encoder_2")
    if not isinstance(second, SDXLTextEmbedder):
        parts = {"conditioner": encoders, "tokenizer": tokenizers}
        return {name: list(found.values())[-1] for name, found in parts.items() if found}
    own = [tokenizers[name] for name in ("tokenizer", "tokenizer_2") if name in tokenizers]
    if len(own) > 1 and own[0].backend.get_vocab() != own[1].backend.get_vocab():
        raise CheckpointError(
            f"{folder}: tokenizer and tokenizer_2 know other words; its files do not belong together."
        )
    pads = [int(each.backend.token_to_id(each.pad_token) or 0) for each in own]
    both = beside_each_other(encoder, second) if isinstance(encoder, CLIPTextEmbedder) else second
    if pads:
        both.pads = pads[0], pads[-1]
        both.config |= {"pads": list(both.pads)}
    return {"conditioner": both} | ({"tokenizer": own[0]} if own else {})


def tokenizers_of(model: LatentDiffusion) -> dict[str, TextTokenizer]:
    """A model's tokenizer by the names of its folders: Stable Diffusion XL's encoders have one each, which pads as they read."""
    if model.tokenizer is None or not isinstance(model.conditioner, SDXLTextEmbedder):
        return {} if model.tokenizer is None else {"tokenizer": model.tokenizer}
    own = model.tokenizer.to_dict()
    names = ("tokenizer", "tokenizer_2") if model.conditioner.clip_l is not None else (None, "tokenizer_2")
    return {
        name: TextTokenizer.from_dict(own | {"pad_token": model.tokenizer.backend.id_to_token(pad)})
        for name, pad in zip(names, model.conditioner.pads, strict=True)
        if name is not None
    }


def index_of(conditioner: SDXLTextEmbedder, pipeline: str) -> dict[str, Any]:
    """What the index of a Stable Diffusion XL folder says beside its parts."""
    absent = [None, None]
    alone = conditioner.clip_l is None
    index: dict[str, Any] = {"feature_extractor": absent, "image_encoder": absent}
    index["force_zeros_for_empty_prompt"] = not alone
    if alone:
        index |= {"text_encoder": absent, "tokenizer": absent}
    if pipeline != "StableDiffusionXLPipeline":
        index["requires_aesthetics_score"] = alone
    return index
