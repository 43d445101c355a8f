"""Textual inversion: words that were learned as vectors of a text encoder's embedding (Gal et al. 2022).

A prompt names one as `embedding:NAME`, as ComfyUI has it. It stands for as many tokens as it has vectors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast

import tokenizers
import torch
from tokenizers import normalizers
from torch import Tensor, nn

from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import refusal
from core.checkpoints.model_io import build
from core.checkpoints.weights import naming, read_weights, refuse_spoilt, write_weights
from core.conditioning.learned_word import token_embedding
from core.conditioning.prompts import learned_token
from core.conditioning.tokenizer import TextTokenizer
from core.models.graft import refuse_grafted

MOST_VECTORS = 64
"""A text has 75 tokens."""

Encoder = TypeVar("Encoder", bound=nn.Module)


class Taught(NamedTuple, Generic[Encoder]):
    """A text encoder and its tokenizer that know a word more."""

    text_encoder: Encoder
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
    text_encoder: Encoder, tokenizer: TextTokenizer, name: str, vectors: Tensor, source: str | Path
) -> Taught[Encoder]:
    """Copies that know `embedding:NAME` as the vectors (n, d); the tokens are the last of the vocabulary.

    Raises ValueError for a name that is no plain word or is known already, CheckpointError for vectors of another width.
    """
    refuse_grafted(text_encoder)
    table = token_embedding(text_encoder).weight
    if vectors.shape[1] != table.shape[1]:
        raise CheckpointError(
            f"{source} has vectors of {vectors.shape[1]} numbers, and this text encoder's have {table.shape[1]}; use it with the "
            "base model that it was made for."
        )
    speller = tokenizer_with(tokenizer, name, len(table), len(vectors))
    state: dict[str, Tensor] = {}
    for key, kept in text_encoder.state_dict(keep_vars=True).items():
        value = state[key] = kept.detach()
        if kept is table:
            state[key] = torch.cat([value, vectors.to(value)])
        elif key.startswith("transformer.to_logits."):  # a head that nobody reads has a row for each token too
            state[key] = torch.cat([value, value.new_zeros(len(vectors), *value.shape[1:])])
    config = cast(Any, text_encoder).config | {"vocab_size": len(table) + len(vectors)}
    taught = build(type(text_encoder), config, state, source, trusted=True).requires_grad_(False)
    return Taught(taught, speller)


def tokenizer_with(tokenizer: TextTokenizer, name: str, first: int, count: int) -> TextTokenizer:
    """A tokenizer that knows `embedding:NAME` as so many tokens, numbered from `first`, the size of the text encoder's vocabulary.

    Raises ValueError for a name that is no plain word or is known already, and for a tokenizer of another text encoder.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name):
        raise ValueError(f"the name {name!r:.60} is no plain word; give letters, digits, '_' and '-' alone")
    word = f"embedding:{name}".lower()
    words = [learned_token(word, number) for number in range(count)]
    backend = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
    if backend.token_to_id(words[0]) is not None:
        raise ValueError(f"{word} is known already; give this one another name")
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
    return TextTokenizer(backend, tokenizer.length, tokenizer.pad_token, tokenizer.kind)


def write_embedding(path: str | Path, vectors: Tensor, word: str, form: Literal["a1111", "diffusers"]) -> None:
    """Write the vectors (n, d) of a word as A1111 and ComfyUI read them, or diffusers, which finds the word in the file."""
    state = {"emb_params" if form == "a1111" else f"<{word}>": vectors.detach().float().cpu()}
    write_weights(state, path)
