"""Weights inside a prompt: `a (red:1.3) circle` makes the red count more; and what of a prompt is not understood.

The syntax is the one that people know from the web interfaces (`core.conditioning.prompt_syntax`). A weight w moves a token's
embedding along the line from its embedding in the empty prompt: null + w · (context - null); a negative one leads away from it.
"""

from __future__ import annotations

import re

import tokenizers
import torch
from torch import Tensor

from core.conditioning.prompt_schedule import every, fragments
from core.conditioning.prompt_syntax import READINGS, Style, Words, parse
from core.conditioning.tokenizer import TextTokenizer

_NETWORK = (
    re.compile(r"<(?:lora|lyco|hypernet):[^>]*>"),
    "loads a model in other programs; wire it by the node lora",
)
_CHOICE = (
    re.compile(r"\{[^{}]*\|[^{}]*\}"),
    "chooses a word at random in other programs; write the one that is meant",
)
_LEARNED = (
    re.compile(r"\bembedding:[\w-]+"),
    "is a trained word that is not known; wire its file by textual_inversion",
)
_LANGUAGE = (
    (re.compile(r"\[[^\[\]]*:[^\[\]]*\d[^\[\]]*\]"), "changes the prompt on the way in other programs"),
    (re.compile(r"\[[^\[\]]*\|[^\[\]]*\]"), "alternates words from step to step in other programs"),
    (re.compile(r"\b(?:BREAK|AND)\b"), "joins several prompts in other programs; make a text_context of each"),
)
_FOREIGN: dict[Style, tuple[tuple[re.Pattern[str], str], ...]] = {
    "plain": (
        _NETWORK,
        *((pattern, f"{meaning}; style a1111 does so") for pattern, meaning in _LANGUAGE),
        _CHOICE,
        _LEARNED,
    ),
    "a1111": (_CHOICE, _LEARNED),
    "comfyui": (_NETWORK, _CHOICE, _LEARNED),
    "compel": (_NETWORK, _CHOICE, _LEARNED),
}
"""What people bring along from other programs, and what it does there."""


def remarks(tokenizer: TextTokenizer, prompt: str, style: Style = "plain") -> list[str]:
    """What of a prompt will not have the effect that its writer expects: a sentence for each kind."""
    found = [f"{_quoted(prompt)}, {remark}" for remark in parse(prompt, READINGS[style]).remarks]
    for pattern, meaning in _FOREIGN[style]:
        if (match := pattern.search(prompt)) and not _taught(tokenizer, match.group()):
            found.append(f"{_quoted(match.group())} {meaning}; here it is read as words")
    if style == "a1111" and (match := _NETWORK[0].search(prompt)):
        found.append(f"{_quoted(match.group())} {_NETWORK[1]}; here it is left out")
    text = _words(prompt, style)
    encoding = tokenizer.backend.encode(text)
    if encoding.overflowing and style == "plain":
        lost = text[_start(encoding.overflowing[0]) :].strip()
        found.append(f"{_quoted(prompt)} is longer than {tokenizer.length} tokens and is cut: {_quoted(lost)} is lost")
    if unknown := _unknown(tokenizer, text):
        told = ", ".join(map(_quoted, unknown[:5])) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        found.append(f"the tokenizer does not know {told}; the model reads every unknown word alike")
    return found


def _words(prompt: str, style: Style) -> str:
    """All words of a prompt, without what weighs and changes them."""
    if style == "plain":
        return parse_weights(prompt)[0]
    items = [item for branch in parse(prompt, READINGS[style]).branches for item in every(branch.items)]
    return " ".join(item.text for item in items if isinstance(item, Words))


def _taught(tokenizer: TextTokenizer, word: str) -> bool:
    """Whether this is a trained word that the tokenizer was taught."""
    return word.startswith("embedding:") and tokenizer.backend.token_to_id(learned_token(word, 0)) is not None


def learned_token(word: str, number: int) -> str:
    """What a tokenizer that was taught `embedding:NAME` calls the token of one of its vectors."""
    return f"{word.lower()}::{number}"


def too_long(tokenizer: TextTokenizer, captions: list[str]) -> int:
    """How many captions do not fit into the tokenizer's rows, and would be cut."""
    return sum(bool(encoding.overflowing) for encoding in tokenizer.backend.encode_batch(captions))


def _start(encoding: tokenizers.Encoding) -> int:
    """Where the text of an encoding begins; start, end and padding have no place in it."""
    return min((a for a, b in encoding.offsets if b > a), default=0)


def _unknown(tokenizer: TextTokenizer, text: str) -> list[str]:
    name = getattr(tokenizer.backend.model, "unk_token", None)
    number = None if name is None else tokenizer.backend.token_to_id(name)
    encoding = tokenizer.backend.encode(text)
    pieces = [encoding, *encoding.overflowing]
    return list(
        dict.fromkeys(
            text[a:b]
            for piece in pieces
            for id, (a, b) in zip(piece.ids, piece.offsets, strict=True)
            if id == number and b > a
        )
    )


def _quoted(text: str) -> str:
    return f"“{text if len(text) <= 60 else text[:59] + '…'}”"


def parse_weights(prompt: str) -> tuple[str, list[float]]:
    """The plain text and a weight for each of its characters. Unbalanced brackets are taken literally."""
    plain = READINGS["plain"]
    [found] = fragments(parse(prompt, plain).branches[0].items, plain)
    return "".join(text for text, _ in found), [weight for text, weight in found for _ in text]


def weighted_tokens(tokenizer: TextTokenizer, prompts: list[str]) -> tuple[Tensor, Tensor]:
    """(b, n) token ids of the plain texts, and their (b, n) weights; start, end and padding weigh 1."""
    rows = []
    for prompt in prompts:
        text, weights = parse_weights(prompt)
        encoding = tokenizer.backend.encode(text)
        rows.append((encoding.ids, [weights[a] if b > a else 1.0 for a, b in encoding.offsets]))
    return torch.tensor([ids for ids, _ in rows]), torch.tensor([weights for _, weights in rows])


def apply_weights(context: Tensor, null: Tensor, weights: Tensor) -> Tensor:
    """Emphasise a (b, n, d) context's tokens by (b, n) weights, relative to `null`, the empty prompt's context."""
    return torch.lerp(null.expand_as(context), context, weights.to(context)[..., None])
