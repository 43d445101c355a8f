"""Weights inside a prompt: `a (red:1.3) circle` makes the red count more.

The syntax is the one that people know from the web interfaces: `(text:1.3)` sets a weight, `(text)` means 1.1, `[text]`
means 1/1.1, brackets nest and multiply, a backslash takes a bracket literally. A weight w moves a token's embedding
along the line from its embedding in the empty prompt: null + w · (context - null).
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from core.conditioning.tokenizer import TextTokenizer

_TOKEN = re.compile(r"\\[()\[\]\\]|[()\[\]]|:\s*([0-9]*\.?[0-9]+)\s*\)|[^\\()\[\]:]+|.", re.DOTALL)


def parse_weights(prompt: str) -> tuple[str, list[float]]:
    """The plain text and a weight for each of its characters. Unbalanced brackets are taken literally."""
    text: list[str] = []
    weights: list[float] = []
    open_brackets: list[tuple[str, int]] = []  # the bracket, and where its text starts

    def close(bracket: str, factor: float) -> bool:
        if not open_brackets or open_brackets[-1][0] != bracket:
            return False
        start = open_brackets.pop()[1]
        text[start] = ""
        weights[start:] = [weight * factor for weight in weights[start:]]
        return True

    for match in _TOKEN.finditer(prompt):
        part = match.group()
        if part in ("(", "["):
            open_brackets.append((part, len(text)))
        factor = float(match.group(1)) if match.group(1) else 1.1
        if part[-1] == ")" and part[0] != "\\" and close("(", factor):
            continue
        if part == "]" and close("[", 1 / 1.1):
            continue
        literal = part[1:] if part[0] == "\\" and len(part) == 2 else part
        text.extend(literal)
        weights.extend([1.0] * len(literal))
    kept = [(character, weight) for character, weight in zip(text, weights, strict=True) if character]
    return "".join(character for character, _ in kept), [weight for _, weight in kept]


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
