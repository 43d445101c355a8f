"""Words that are learned as vectors, for prompts: loaded, trained and saved (Gal et al. 2022)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from core.checkpoints.textual_inversion import MOST_VECTORS, read_embedding, teach, tokenizer_with, write_embedding
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.learned_word import vocabulary, with_word, word_like
from core.conditioning.text import BERTEmbedder
from graph_runner.context import Saving
from graph_runner.contract import Name, node
from nodes.wires import LearnedWord, TextEncoder, Tokenizer, WeightFile


class Taught(NamedTuple):
    """Both know the word; wire both to the prompt."""

    text_encoder: TextEncoder
    tokenizer: Tokenizer


@node(category="text", words=("embedding", "embeddings", "trained word", "negative embedding"))
def textual_inversion(text_encoder: TextEncoder, tokenizer: Tokenizer, path: WeightFile, word: str = "") -> Taught:
    """A text encoder that knows a learned word, which prompts write as embedding:WORD (textual inversion, Gal et al. 2022).

    text_encoder: CLIP or the paper's transformer, of the base model that the word was learned for.
    tokenizer: the encoder's own.
    path: the file of the word, A1111's, diffusers' or ComfyUI's.
    word: what prompts call it after "embedding:"; the file's name where this is empty.
    """
    if not isinstance(text_encoder, CLIPTextEmbedder | BERTEmbedder):
        raise ValueError(f"only text encoders that read token ids learn words so, not a {type(text_encoder).__name__}")
    name = word or re.sub(r"[^A-Za-z0-9_-]+", "-", Path(path).stem)
    taught = teach(text_encoder, tokenizer, name, read_embedding(path), path)
    return Taught(taught.text_encoder, taught.tokenizer)


class NewWord(NamedTuple):
    """The word, to be trained, and a tokenizer that knows it."""

    word: LearnedWord
    tokenizer: Tokenizer


@node(category="text", words=("textual inversion", "train embedding", "personalise", "dreambooth"))
def new_word(
    text_encoder: TextEncoder,
    tokenizer: Tokenizer,
    word: str = "thing",
    begins_as: str = "circle",
    vectors: Annotated[int, Field(ge=1, le=MOST_VECTORS)] = 1,
) -> NewWord:
    """A word that prompts write as embedding:WORD and that a training learns: its vectors alone train (Gal et al. 2022).

    Let a training zone carry the word, and inside of it give it to the text encoder by add_word.

    text_encoder: that is to know it; it stays as it is. After another word, the one that add_word gave.
    tokenizer: the encoder's own; after another word, the one with it.
    word: what prompts call it after "embedding:".
    begins_as: a word or more that it begins as: the kind of thing that it is.
    vectors: how many tokens it stands for.
    """
    first = vocabulary(text_encoder)
    known = tokenizer.backend.encode(begins_as, add_special_tokens=False)
    tokens = [number for number, mask in zip(known.ids, known.attention_mask, strict=True) if mask]
    if not tokens or tokenizer.backend.token_to_id("[UNK]") in tokens:
        raise ValueError(f"begins_as is {begins_as!r:.60}, which the tokenizer does not know; give words that it knows")
    return NewWord(word_like(text_encoder, tokens, vectors), tokenizer_with(tokenizer, word, first, vectors))


@node(category="text", words=("textual inversion", "embedding"))
def add_word(text_encoder: TextEncoder, word: LearnedWord) -> TextEncoder:
    """A text encoder that knows a word as its vectors are now; gradients reach them, and nothing else changes.

    text_encoder: that the word was made for; a wire from before this node is the encoder without it.
    word: of new_word, or of the training that carries it.
    """
    return with_word(text_encoder, word)


def _saved(given: Mapping[str, Any]) -> list[str]:
    return [f"models/{given['name'].removesuffix('.safetensors')}.safetensors"]


@node(
    category="text",
    effect=True,
    saves=_saved,
    words=("textual inversion", "export", "embedding", "a1111"),
)
def save_word(
    saving: Saving, word: LearnedWord, name: Name = "word", form: Literal["a1111", "diffusers"] = "a1111"
) -> None:
    """Save a learned word below the workspace's models folder, as other programs load it.

    word: as a training left it.
    name: of the file, by which prompts of other programs call it.
    form: A1111's, which ComfyUI reads too, or diffusers'. diffusers' holds words of one vector alone, and calls them <NAME>.
    """
    vectors = word.vectors
    if form == "diffusers" and len(vectors) > 1:
        raise ValueError(
            f"the word has {len(vectors)} vectors, and diffusers' form holds one; choose a1111, which diffusers reads too"
        )
    given = {"name": name}
    write_embedding(saving(_saved(given)[0]), vectors[0] if form == "diffusers" else vectors, Path(name).stem, form)
