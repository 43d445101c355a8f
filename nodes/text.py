"""Text conditions: tokenizer, transformer, prompts (Rombach et al. 2022, section 4.3.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast

from pydantic import Field
from torch import Tensor

from core.checkpoints.model_io import build
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.conditioning import Conditioning as _Conditioning
from core.conditioning.dropout import drop_captions as drop
from core.conditioning.parts import Context, ContextMask
from core.conditioning.prompt_encoding import encode_prompts
from core.conditioning.prompt_syntax import Style
from core.conditioning.prompts import remarks, too_long, weighted_tokens
from core.conditioning.sd3 import SD3TextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.text import BERTEmbedder
from core.conditioning.text_condition import emphasised, text_condition
from core.conditioning.tokenizer import TextTokenizer, tokenizer_files, train_wordpiece
from core.data.caption_encoding import encode_captions as encode_all
from core.data.latents import LatentData, LatentOutline
from core.data.loader import take
from core.data.transfer import to_device
from graph_runner.context import Device, Progress, Rng, Tell
from graph_runner.contract import Inject, Neutral, PathTo, node
from nodes.data import field
from nodes.models import Channels, Deviation, Dropout, Layers
from nodes.wires import Batch, Captions, Conditioning, Dataset, LatentDataset, TextEncoder, Tokenizer

Length = Annotated[int, Field(ge=3, le=4096)]
TokenizerFolder = Annotated[str, PathTo("folder", tokenizer_files)]


@node(category="text")
def wordpiece_tokenizer(
    data: Dataset,
    tell: Tell,
    vocabulary: Annotated[int, Field(ge=8, le=2**20)] = 4096,
    length: Length = 77,
    samples: Annotated[int, Field(ge=1)] = 20_000,
) -> Tokenizer:
    """A WordPiece tokenizer whose vocabulary is learned from a data set's captions; nothing is downloaded.

    data: with captions.
    vocabulary: tokens at most; few captions give fewer.
    length: token ids of each text, start and end included.
    samples: how many captions are read.
    """
    count = min(samples, len(data))
    captions = [
        text for start in range(0, count, 256) for text in take(data, range(start, min(start + 256, count)))["captions"]
    ]
    if not any(captions):
        tell(f"none of the {len(captions)} captions that were read has a word: every text will be unknown")
    tokenizer = train_wordpiece(captions, vocabulary, length)
    if cut := too_long(tokenizer, captions):
        tell(f"{cut} of {len(captions)} captions are longer than {length} tokens and will be cut")
    return tokenizer


@node(category="text", words=("clip tokenizer",))
def load_tokenizer(
    path: TokenizerFolder,
    length: Annotated[int, Field(ge=0, le=4096)] = 0,
    small_letters: Annotated[bool, Neutral(False)] = False,
) -> Tokenizer:
    """A tokenizer from a folder: ours, or any that transformers reads.

    path: the folder.
    length: token ids of each text; 0 for what the folder says. PixArt-α has 120, PixArt-Σ 300.
    small_letters: all letters are read as small ones, and blanks around a text left out, as PixArt's captions are.
    """
    tokenizer = TextTokenizer.load(path, length or None)
    return tokenizer.in_small_letters() if small_letters else tokenizer


@node(category="text", words=("t5 tokenizer", "sd3 tokenizer"))
def join_tokenizers(first: Tokenizer, second: Tokenizer) -> Tokenizer:
    """A tokenizer of two: the ids of the second follow those of the first in each row, as Stable Diffusion 3 reads CLIP's and T5's.

    first: CLIP's; a second one that it has already is replaced.
    second: T5's, with the length that its part is to have: 256 in diffusers, 77 in the paper.
    """
    return first.beside(second)


@node(category="text", words=("clip", "text model"))
def bert_text_encoder(
    rng: Rng,  # noqa: ARG001
    tokenizer: Tokenizer,
    dim: Channels = 640,
    layers: Layers = 32,
    dropout: Dropout = 0.0,
    embedding_std: Deviation = 0.02,
) -> TextEncoder:
    """The paper's text transformer, untrained: it trains together with the UNet (CompVis' BERTEmbedder).

    tokenizer: whose vocabulary and length it takes.
    dim: width of the context: the UNet's context_dim.
    layers: of the transformer; the paper has 32.
    dropout: of the embedded tokens.
    embedding_std: deviation that embeddings begin with; small models learn from 1 what the published .02 hides.
    """
    return BERTEmbedder(dim, layers, tokenizer.vocab_size, tokenizer.length, dropout).start_from(embedding_std)


@node(category="text", words=("clip set last layer",))
def clip_skip(text_encoder: TextEncoder, layers: Annotated[int, Field(ge=0)] = 1) -> TextEncoder:
    """A CLIP text encoder without its last layers, as some fine-tuned models were trained ("clip skip").

    text_encoder: CLIP, or those of Stable Diffusion XL or 3, which leave out one layer of each CLIP as they come.
    layers: left out at the end; what web interfaces call clip skip 2 is 1 here.
    """
    if not isinstance(text_encoder, CLIPTextEmbedder | SDXLTextEmbedder | SD3TextEmbedder):
        raise ValueError(f"only CLIP text encoders skip layers, not a {type(text_encoder).__name__}")
    config = text_encoder.config | {"skip": layers}
    kind = type(text_encoder)
    return build(kind, config, text_encoder.state_dict(), "the text encoder", trusted=True).requires_grad_(False)


@node(
    category="text",
    version=3,
    words=(
        *("prompt", "clip text encode", "negative prompt", "text to image", "txt2img"),
        *("prompt weighting", "prompt editing", "long prompt", "break", "emphasis"),
    ),
)
def text_context(
    text_encoder: TextEncoder,
    tokenizer: Tokenizer,
    device: Device,
    tell: Tell,
    prompts: Annotated[list[str], Field(min_length=1)] = [""],  # noqa: B006
    style: Annotated[Style, Neutral("plain")] = "plain",
) -> Conditioning:
    """Prompts as a condition; the empty one is the null condition that guidance needs.

    (word:1.3) emphasises a word, (word:0.5) or [word] plays it down, (word:-1) leads away from it; a backslash takes a
    bracket literally. What other programs' prompts hold besides is told, as are unknown words and what is cut.

    text_encoder: CLIP, those of Stable Diffusion XL or 3, PixArt's T5, or the paper's transformer.
    tokenizer: the encoder's own.
    prompts: one for each sample, or one for all.
    style: how they are read (docs/prompts.md). Plain weighs words and cuts what is too long. The others encode long prompts in
        parts, as those programs do: a1111 keeps the mean of the context and knows [a:b:.5], [a|b], BREAK, AND and the bare names of
        learned words; comfyui weighs towards the empty prompt; compel hides words below 1, and else knows what a1111 does. A
        prompt that changes or joins several goes into denoise_prompt.
    """
    for remark in dict.fromkeys(remark for prompt in prompts for remark in remarks(tokenizer, prompt, style)):
        tell(remark)
    if style != "plain":
        return encode_prompts(text_encoder, tokenizer, prompts, style, device)
    if not any(mark in prompt for prompt in prompts for mark in "()[]"):
        return text_condition(text_encoder, tokenizer(prompts).to(device))
    tokens, weights = weighted_tokens(tokenizer, prompts)
    null = text_condition(text_encoder, tokenizer([""]).to(device))
    return emphasised(text_condition(text_encoder, tokens.to(device)), null, weights)


class EncodedCaptions(NamedTuple):
    """The data with its captions' context, and the context of the empty caption."""

    data: LatentDataset
    null: Conditioning


def _tokens_alone(text_encoder: TextEncoder) -> TextEncoder:
    """The encoder, where its context is all that it says of a text."""
    if getattr(text_encoder, "pools", False):
        raise ValueError(
            f"a {type(text_encoder).__name__} gives a vector of the whole text beside its tokens, which is not kept with the data;"
            " encode the captions in the training (embed_captions)"
        )
    return text_encoder


def _fields(told: Conditioning) -> dict[str, Tensor]:
    """The tokens of a condition, and which of them are read, as a batch has them."""
    mask = told.get(ContextMask)
    return {"context": told[Context].tokens} | ({} if mask is None else {ContextMask.name: mask.read})


def _encode_a_part(
    text_encoder: TextEncoder, tokenizer: Tokenizer, data: LatentDataset, device: Device, batch_size: int = 64, **_: Any
) -> EncodedCaptions:
    """A few captions are encoded; the others are of the same shape."""
    _tokens_alone(text_encoder)
    several = min(batch_size, len(data))
    told = text_condition(text_encoder, tokenizer([""] * several).to(device))
    some = {**take(data, range(several))} | {name: tensor.cpu() for name, tensor in _fields(told).items()}
    null = text_condition(text_encoder, tokenizer([""]).to(device))
    return EncodedCaptions(cast(LatentData, LatentOutline(some, len(data), data.classes)), null)


@node(category="text", keep=True, dry=_encode_a_part, words=("clip text encode", "prompt"))
def encode_captions(
    text_encoder: TextEncoder,
    tokenizer: Tokenizer,
    data: LatentDataset,
    device: Device,
    progress: Progress,
    batch_size: Annotated[int, Field(ge=1)] = 64,
    half: bool = False,
    folder: Annotated[Path | None, Inject("value_folder")] = None,
    tell: Annotated[Tell | None, Inject("tell")] = None,
) -> EncodedCaptions:
    """Encode a data set's captions once: a training on their context needs no text encoder in memory.

    The context lies beside the latents, in shards of its own; batch_context reads it. Brackets count as plain letters.

    text_encoder: as it will be used; it does not train.
    tokenizer: the encoder's own.
    data: encoded images, with captions.
    batch_size: captions encoded at once.
    half: keep the context in float16, in half the room.
    """

    _tokens_alone(text_encoder)

    def told(captions: list[str]) -> Conditioning:
        return text_condition(text_encoder, tokenizer(captions).to(device))

    def encode(captions: list[str]) -> dict[str, Tensor]:
        return _fields(told(captions))

    null = told([""])
    return EncodedCaptions(encode_all(data, encode, batch_size, folder, half, progress, tell), null)


@node(category="text")
def batch_context(batch: Batch) -> Conditioning:
    """The captions of a batch as a condition, encoded beforehand by encode_captions."""
    mask = [ContextMask(batch[ContextMask.name])] if ContextMask.name in batch else []
    return _Conditioning(context=field(batch, "context"), parts=mask)


@node(category="text")
def batch_captions(batch: Batch) -> Captions:
    """The captions of a batch."""
    return field(batch, "captions")


@node(category="text", version=2, draws_when=lambda given: given["probability"] > 0)
def drop_captions(captions: Captions, rng: Rng, probability: Annotated[float, Field(ge=0, le=1)] = 0.1) -> Captions:
    """Replace captions by the empty one at random: the training half of classifier-free guidance.

    captions: of a batch.
    probability: of each caption's being dropped.
    """
    return drop(captions, rng.on("cpu").rand(len(captions)), probability)


@node(category="text", words=("clip text encode", "prompt"))
def embed_captions(text_encoder: TextEncoder, tokenizer: Tokenizer, captions: Captions, device: Device) -> Conditioning:
    """The captions of a batch as a condition; gradients reach the text encoder.

    text_encoder: trained with the UNet.
    tokenizer: the encoder's own.
    captions: of a batch.
    """
    return text_condition(text_encoder, to_device(tokenizer(captions), device))
