"""Textual inversion: words that were learned as vectors of a text encoder's embedding (Gal et al. 2022).

A prompt names one as `embedding:NAME`, as ComfyUI has it. It stands for as many tokens as it has vectors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import tokenizers
import torch
from tokenizers import normalizers
from torch import Tensor

from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import refusal
from core.checkpoints.model_io import build
from core.checkpoints.weights import naming, read_weights, refuse_spoilt
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.prompts import learned_token
from core.conditioning.tokenizer import TextTokenizer

MOST_VECTORS = 64
"""A text has 75 tokens."""
TABLE = "transformer.embeddings.token_embedding.weight"


class Taught(NamedTuple):
    """A text encoder and its tokenizer that know a word more."""

    text_encoder: CLIPTextEmbedder
    tokenizer: TextTokenizer


def read_embedding(path: str | Path) -> Tensor:
    """The vectors (n, d) of a file of A1111 (`string_to_param`, `emb_params`), diffusers (one tensor) or ComfyUI (`clip_l`).

    Raises CheckpointError naming the file and the remedy.
    """
    try:
        with naming(path):
            state = read_weights(path)
            refuse_spoilt(state, path)
            vectors = _vectors(state)
            if vectors is None or vectors.dim() != 2 or not 1 <= len(vectors) <= MOST_VECTORS:
                raise CheckpointError(f"{path} is no embedding of textual inversion; load it as what it is.")
            return vectors.float()
    except CheckpointError as error:
        raise refusal(path, error, "embedding") from error


def _vectors(state: Mapping[str, Tensor]) -> Tensor | None:
    for pattern in (r"string_to_param\..+", r"emb_params|clip_l"):
        if found := [value for key, value in state.items() if re.fullmatch(pattern, key)]:
            return found[0][None] if found[0].dim() == 1 else found[0]
    only = next(iter(state.values())) if len(state) == 1 else None
    return only[None] if only is not None and only.dim() == 1 else only


def teach(
    text_encoder: CLIPTextEmbedder, tokenizer: TextTokenizer, name: str, vectors: Tensor, source: str | Path
) -> Taught:
    """Copies that know `embedding:NAME` as the vectors (n, d); the tokens are the last of the vocabulary.

    Raises ValueError for a name that is no plain word or is known already, CheckpointError for vectors of another width.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name):
        raise ValueError(f"the name {name!r:.60} is no plain word; give letters, digits, '_' and '-' alone")
    table = text_encoder.state_dict()[TABLE]
    if vectors.shape[1] != table.shape[1]:
        raise CheckpointError(
            f"{source} has vectors of {vectors.shape[1]} numbers, and this text encoder's have {table.shape[1]}; use it with the "
            "base model that it was made for."
        )
    word = f"embedding:{name}".lower()
    words = [learned_token(word, number) for number in range(len(vectors))]
    backend = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
    if backend.token_to_id(words[0]) is not None:
        raise ValueError(f"{word} is known already; give this one another name")
    first = len(table)
    missing = first - backend.get_vocab_size()
    if missing < 0:
        raise ValueError(
            f"the tokenizer has {backend.get_vocab_size()} tokens and the text encoder {first}; wire the encoder's own"
        )
    backend.add_tokens([f"<|unused {number}|>" for number in range(missing)])  # so that numbers are rows of the table
    backend.add_tokens([tokenizers.AddedToken(each, normalized=True, special=False) for each in words])
    spelt = normalizers.Replace(tokenizers.Regex(rf"(?i){re.escape(word)}(?![\w-]|::)"), " ".join(words))
    own = [backend.normalizer] if backend.normalizer is not None else []
    backend.normalizer = normalizers.Sequence([*own, spelt])
    state = text_encoder.state_dict() | {TABLE: torch.cat([table, vectors.to(table)])}
    config = text_encoder.config | {"vocab_size": first + len(vectors)}
    taught = build(CLIPTextEmbedder, config, state, source, trusted=True).requires_grad_(False)
    return Taught(taught, TextTokenizer(backend, tokenizer.length, tokenizer.pad_token, tokenizer.kind))
