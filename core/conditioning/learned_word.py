"""A word that is learned as vectors of a text encoder's embedding, while all else stays as it is (textual inversion, Gal et al. 2022).

The vectors are a model of their own, `LearnedWord`: they alone train. `with_word` gives a text encoder that knows them
(`core.models.graft`), as the tokens after the last of its vocabulary.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from core.models.graft import Graft, Views, class_name
from core.models.registry import model

Encoder = TypeVar("Encoder", bound=nn.Module)

CHILD = "learned"
"""What holds the words within an embedding."""


@model
class LearnedWord(Graft):
    """The vectors (count, dim) of one word."""

    config: dict[str, Any]

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.zeros(count, dim))
        self.views = Views()


def token_embedding(text_encoder: nn.Module) -> nn.Embedding:
    """The table (vocabulary, dim) of a text encoder's token embedding: the one that has its `vocab_size`.

    Raises ValueError for a model that has none.
    """
    size = getattr(text_encoder, "config", {}).get("vocab_size")
    for module in text_encoder.modules():
        if isinstance(module, nn.Embedding) and module.num_embeddings == size:
            return module
    raise ValueError(f"a {class_name(text_encoder)} has no embedding of tokens; wire a text encoder")


def vocabulary(text_encoder: nn.Module) -> int:
    """How many tokens a text encoder knows, with the words that were grafted onto it."""
    embedding = token_embedding(text_encoder)
    return embedding.num_embeddings + sum(len(word.vectors) for word in _words_of(embedding))


@torch.no_grad()
def word_like(text_encoder: nn.Module, tokens: list[int], count: int) -> LearnedWord:
    """A word of so many vectors that begin as the embeddings of tokens, one after the other, the last one again where they are few."""
    table = token_embedding(text_encoder).weight
    word = LearnedWord(count, table.shape[1])
    word.vectors.copy_(torch.stack([table[tokens[min(i, len(tokens) - 1)]].float() for i in range(count)]))
    return word


def with_word(text_encoder: Encoder, word: LearnedWord) -> Encoder:
    """The text encoder, knowing a word: as the tokens that follow on those that it knows. The same two give the same object again.

    Raises ValueError for vectors of another width.
    """
    width = token_embedding(text_encoder).embedding_dim
    if word.vectors.shape[1] != width:
        raise ValueError(
            f"the word has vectors of {word.vectors.shape[1]} numbers, and this text encoder's have {width}; wire the text encoder that it "
            "was made for"
        )

    def graft(shell: Encoder) -> None:
        embedding = token_embedding(shell)
        if not _words_of(embedding):
            embedding.add_module(CHILD, nn.ModuleList())
            embedding.register_forward_pre_hook(_known_tokens)
            embedding.register_forward_hook(_learned_vectors)
        cast(nn.ModuleList, getattr(embedding, CHILD)).append(word)

    return word.views.once(text_encoder, None, graft)


def _words_of(embedding: nn.Module) -> list[LearnedWord]:
    return [cast(LearnedWord, word) for word in getattr(embedding, CHILD, ())]


def _known_tokens(embedding: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Tokens of the table alone, for the table."""
    embedding.__dict__["_given"] = given[0]
    return (given[0].clamp(max=cast(int, embedding.num_embeddings) - 1),)


def _learned_vectors(embedding: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:  # noqa: ARG001 - as hooks are called
    """Put the vectors of words in the places of their tokens."""
    tokens: Tensor = embedding.__dict__.pop("_given")
    first = cast(int, embedding.num_embeddings)
    for word in _words_of(embedding):
        count = len(word.vectors)
        here = (tokens >= first) & (tokens < first + count)
        learned = word.vectors[(tokens - first).clamp(0, count - 1)].to(out.dtype)
        out = torch.where(here[..., None], learned, out)
        first += count
    return out
