"""Words that were learned as vectors, for prompts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from core.checkpoints.textual_inversion import read_embedding, teach
from core.conditioning.clip import CLIPTextEmbedder
from graph_runner.contract import node
from nodes.wires import TextEncoder, Tokenizer, WeightFile


class Taught(NamedTuple):
    """Both know the word; wire both to the prompt."""

    text_encoder: TextEncoder
    tokenizer: Tokenizer


@node(category="text", words=("embedding", "embeddings", "trained word", "negative embedding"))
def textual_inversion(text_encoder: TextEncoder, tokenizer: Tokenizer, path: WeightFile, word: str = "") -> Taught:
    """A text encoder that knows a learned word, which prompts write as embedding:WORD (textual inversion, Gal et al. 2022).

    text_encoder: CLIP, of the base model that the word was learned for.
    tokenizer: the encoder's own.
    path: the file of the word, A1111's, diffusers' or ComfyUI's.
    word: what prompts call it after "embedding:"; the file's name where this is empty.
    """
    if not isinstance(text_encoder, CLIPTextEmbedder):
        raise ValueError(f"only CLIP text encoders learn words so, not a {type(text_encoder).__name__}")
    name = word or re.sub(r"[^A-Za-z0-9_-]+", "-", Path(path).stem)
    taught = teach(text_encoder, tokenizer, name, read_embedding(path), path)
    return Taught(taught.text_encoder, taught.tokenizer)
