"""Prompts as conditions, as other programs encode them: rows of a text encoder joined, words weighted, changes and AND."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import Context, Vector
from core.conditioning.prompt_chunks import MOST_ROWS, Row, learned_names, rows
from core.conditioning.prompt_schedule import Fragment, at, every, fragments, moments
from core.conditioning.prompt_syntax import READINGS, Alternation, Branch, Change, Style, parse
from core.conditioning.prompted import Prompted
from core.conditioning.prompts import apply_weights
from core.conditioning.sd3 import SD3TextEmbedder
from core.conditioning.t5 import T5TextEmbedder
from core.conditioning.tokenizer import TextTokenizer

ROWS_AT_ONCE = 32
MOST_TEXTS = 512
LEAST_WEIGHT = 1e-5
"""What compel takes for no weight at all."""
EXTRA_NETWORK = re.compile(r"<\w+:[^<>]*>")
"""<lora:NAME:1>: A1111 takes it for an instruction and no words."""

LEARNED_WORD = re.compile(r"(?<![\w\\])embedding:(?=[\w-])")
"""Its colon separates nothing."""

Texts = tuple[tuple[Fragment, ...], ...]
"""What a prompt says at a moment: fragments, between BREAKs."""


def read(tokenizer: TextTokenizer, prompt: str, style: Style) -> tuple[Branch, ...]:
    """The prompts that one joins. In A1111's style words that were learned stand for themselves."""
    if READINGS[style].language:
        prompt = LEARNED_WORD.sub(r"embedding\:", prompt)
    if style == "a1111":
        prompt = EXTRA_NETWORK.sub("", prompt)
        for name in sorted(learned_names(tokenizer), key=len, reverse=True):
            prompt = re.sub(rf"(?i)(?<![\w:-]){re.escape(name)}(?![\w-])", f"embedding\\:{name}", prompt)
    return parse(prompt, READINGS[style]).branches


def is_prompted(prompt: str, style: Style) -> bool:
    """Whether a prompt changes on the way or joins several, so that its condition is a `Prompted`."""
    branches = parse(EXTRA_NETWORK.sub("", prompt), READINGS[style]).branches
    return (
        len(branches) > 1
        or branches[0].weight != 1
        or any(isinstance(item, Change | Alternation) for branch in branches for item in every(branch.items))
    )


def encode_prompts(
    text_encoder: nn.Module, tokenizer: TextTokenizer, prompts: Sequence[str], style: Style, device: torch.device
) -> Conditioning:
    """A condition of these prompts, a row for each: a context, or, where one changes or joins several, a `Prompted`.

    Contexts of several rows of the tokenizer's length n are joined to (b, k · n, d). Where prompts differ in rows, the shorter
    ones are repeated: cross-attention gives what it gives without. The vector of an encoder that `pools` is the first row's.
    Raises ValueError for prompts that are too long, change in too many ways, or are weighted in a way that the encoder lacks.
    """
    if style == "compel" and not isinstance(text_encoder, CLIPTextEmbedder):
        raise ValueError(f"compel's weights hide words from a CLIP text encoder, and this is a {type(text_encoder).__name__}; choose another style")  # fmt: skip
    if isinstance(text_encoder, SD3TextEmbedder | T5TextEmbedder):
        raise ValueError(
            f"a {type(text_encoder).__name__} reads prompts in the style plain alone, as diffusers does; choose that"
        )
    branches = [read(tokenizer, prompt, style) for prompt in prompts]
    joined = max(map(len, branches))
    weights = [[branch.weight for branch in each] + [0.0] * (joined - len(each)) for each in branches]
    padded = [[*each, *[each[0]] * (joined - len(each))] for each in branches]
    when = moments([branch.items for each in padded for branch in each])
    said: dict[tuple[tuple[Texts, ...], ...], int] = {}  # by branch, by prompt
    cells = []
    for cell in range(when.cells):
        texts = tuple(
            tuple(_texts(each[number], when.example(cell), style) for each in padded) for number in range(joined)
        )
        cells.append(said.setdefault(texts, len(said)))
    distinct = list(dict.fromkeys(text for moment in said for prompt in moment for text in prompt))
    if len(distinct) > MOST_TEXTS:
        raise ValueError(f"the prompts say {len(distinct)} different things on the way, and at most {MOST_TEXTS} are encoded; write fewer changes")  # fmt: skip
    alone = len(said) == joined == 1 and all(weight == 1 for row in weights for weight in row)
    pools = getattr(text_encoder, "pools", False)
    if pools and not alone:
        raise ValueError(f"a {type(text_encoder).__name__} gives one vector of the whole text, so its prompts neither change on the way nor join several by AND; write one prompt, or a text_context of each")  # fmt: skip
    encoded = dict(zip(distinct, _contexts(text_encoder, tokenizer, distinct, style, device), strict=True))
    contexts = [torch.cat([encoded[text] for text in prompt]) for moment in said for prompt in moment]
    if alone:
        told = Conditioning(context=contexts[0])
        if not pools:
            return told
        first = [rows(tokenizer, text, style)[0].ids for text in next(iter(said))[0]]
        _, vector = text_encoder(torch.tensor(first, device=device), pooled=True)
        return Conditioning(parts=[told[Context], Vector(vector)])
    table = torch.tensor(weights, device=device)
    starts = tuple(index * joined for index in cells)
    return Conditioning(parts=[Prompted(tuple(contexts), table, when.shares, when.steps, when.period, starts)])


def _texts(branch: Branch, moment: tuple[int, float, int], style: Style) -> Texts:
    return tuple(tuple(part) for part in fragments(at(branch.items, *moment), READINGS[style]))


def _contexts(
    text_encoder: nn.Module, tokenizer: TextTokenizer, texts: Sequence[Texts], style: Style, device: torch.device
) -> list[Tensor]:
    """The context of each text, (1, n, d), all of one length."""
    cut = [rows(tokenizer, text, style) for text in texts]

    def encode(ids: list[list[int]], seen: list[list[int]] | None = None) -> Tensor:
        made = []
        for start in range(0, len(ids), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            tokens = torch.tensor(ids[part], device=device)
            made.append(
                text_encoder(tokens) if seen is None else text_encoder(tokens, torch.tensor(seen[part], device=device))
            )
        return torch.cat(made)

    plain = torch.split(encode([row.ids for each in cut for row in each]), [len(each) for each in cut])
    null = None if style == "a1111" else text_encoder(tokenizer([""]).to(device))
    widths = getattr(text_encoder, "widths", None)
    weighted = [_weighted(context, each, null, widths) for context, each in zip(plain, cut, strict=True)]
    if style == "compel":
        assert null is not None
        weighted = [_played_down(encode, *each, null) for each in zip(weighted, cut, texts, strict=True)]
    longest = math.lcm(*map(len, weighted))
    if longest > MOST_ROWS:
        counts = ", ".join(map(str, sorted(set(map(len, weighted)))))
        raise ValueError(f"the prompts have {counts} rows of tokens, and there is no small multiple of these; make them alike in length, or give each a text_context")  # fmt: skip
    return [each.repeat(longest // len(each), 1, 1).flatten(0, 1)[None] for each in weighted]


Encode = Callable[..., Tensor]


def _weighted(context: Tensor, cut: Sequence[Row], null: Tensor | None, widths: Sequence[int] | None = None) -> Tensor:
    """(rows, n, d). With `null`, along the line from the empty prompt's context; without, each row keeps its mean, as A1111 has it.

    widths: of encoders side by side, each of which keeps its own mean.
    """
    weights = torch.tensor([row.weights for row in cut], device=context.device, dtype=context.dtype)
    if null is not None:
        return apply_weights(context, null, weights)
    kept = []
    for each in torch.split(context, list(widths or context.shape[-1:]), dim=-1):
        made = each * weights[..., None]
        kept.append(made * (each.mean((1, 2), keepdim=True) / made.mean((1, 2), keepdim=True)))
    return torch.cat(kept, dim=-1)


def _played_down(encode: Encode, context: Tensor, cut: Sequence[Row], text: Texts, null: Tensor) -> Tensor:
    """compel's way with weights below 1: a mean with what the prompt says where these words are hidden, more of it the less they weigh."""
    found = [context]
    shares = [1.0]
    for number, fragment in enumerate(fragment for part in text for fragment in part):
        if fragment.weight >= 1 or not any(number in row.sources for row in cut):
            continue
        seen = [[int(source != number) for source in row.sources] for row in cut]
        without = encode([row.ids for row in cut], seen)
        found.append(_weighted(without, cut, null))
        shares.append(math.tan((1 - max(fragment.weight, LEAST_WEIGHT)) * math.pi / 2))
    total = sum(shares)
    return torch.stack([each * (share / total) for each, share in zip(found, shares, strict=True)]).sum(0)
