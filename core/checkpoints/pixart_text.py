"""PixArt's text encoder in folders: T5 alone, whose padding nobody reads, and its tokenizer, which reads small letters.

Source: diffusers' PixArtAlphaPipeline and PixArtSigmaPipeline (`encode_prompt`, without `clean_caption`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from core.checkpoints.files import CheckpointError
from core.conditioning.t5 import T5TextEmbedder
from core.conditioning.tokenizer import TextTokenizer
from core.models.pixart import SIZED, TOKENS, PixArt

ALPHA, SIGMA = "PixArtAlphaPipeline", "PixArtSigmaPipeline"
LENGTHS = {ALPHA: TOKENS["alpha"], SIGMA: TOKENS["sigma"]}
"""Tokens of a caption in each of diffusers' pipelines, whatever the tokenizer's folder says."""


def joined(
    encoders: Mapping[str, nn.Module], tokenizers: Mapping[str, TextTokenizer], pipeline: str, folder: str | Path
) -> dict[str, Any]:
    """The conditioner and the tokenizer of a pipeline's folder, by the names of their folders there.

    pipeline: its class. Raises CheckpointError for an encoder that is no T5.
    """
    found: dict[str, Any] = {}
    pad = 0
    if (tokenizer := tokenizers.get("tokenizer")) is not None:
        length = LENGTHS.get(pipeline, tokenizer.length)
        found["tokenizer"] = tokenizer.of_length(length).in_small_letters()
        pad = int(tokenizer.backend.token_to_id(tokenizer.pad_token) or 0)
    if (encoder := encoders.get("text_encoder")) is not None:
        if not isinstance(encoder, T5TextEmbedder):
            raise CheckpointError(
                f"{folder}: the text encoder of a {pipeline} is T5, and this is none; get the folder again."
            )
        found["conditioner"] = without_padding(encoder, pad)
    return found


def without_padding(encoder: T5TextEmbedder, pad: int | None) -> T5TextEmbedder:
    """The same T5, of the same weights, kept as they are, which leaves the padding of this id unread; None: it is read as any token."""
    memo: dict[int, Any] = {id(each): nn.Parameter(each.detach(), each.requires_grad) for each in encoder.parameters()}
    made = copy.deepcopy(encoder, memo)  # what the memo holds is not copied; parameters of its own, to be frozen alone
    made.pad, made.config = pad, encoder.config | {"pad": pad}
    return made.eval()


def pipeline_of(transformer: PixArt, encoder: nn.Module | None, tokenizer: TextTokenizer | None) -> str | None:
    """The class of diffusers' pipeline that encodes and samples as these do; None where none does."""
    if not isinstance(encoder, T5TextEmbedder) or encoder.pad is None or tokenizer is None or tokenizer.second:
        return None
    if not tokenizer(["A"]).equal(tokenizer(["a "])):
        return None
    sized = bool(transformer.config["sizes"])
    found = next((name for name, length in LENGTHS.items() if length == tokenizer.length), None)
    fits = (
        found == ALPHA and transformer.config["sample_size"] == SIZED if sized else True
    )  # as that pipeline tells them
    return found if fits else None
