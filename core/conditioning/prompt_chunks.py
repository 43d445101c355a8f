"""Prompts of any length as rows of token ids of a text encoder's length, each with its start and end, as A1111 and ComfyUI cut them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from core.conditioning.prompt_schedule import Fragment
from core.conditioning.prompt_syntax import Style
from core.conditioning.tokenizer import TextTokenizer

BACKTRACK = 20
"""So many tokens behind a comma may move to the next row with what follows (A1111's comma_padding_backtrack)."""
SHORT_WORD = 8
"""ComfyUI keeps fragments of fewer tokens together."""
MOST_ROWS = 64


class Row(NamedTuple):
    """One row for the text encoder. ids: as many as the tokenizer's length. weights: of each. sources: the number of the fragment
    that each came from; −1 for start, end and padding."""

    ids: list[int]
    weights: list[float]
    sources: list[int]


class Token(NamedTuple):
    """A token of a fragment."""

    id: int
    weight: float
    source: int


class Frame(NamedTuple):
    """What a tokenizer puts around a text: the ids of start, end and padding."""

    start: list[int]
    end: list[int]
    padding: int
    length: int

    @classmethod
    def of(cls, tokenizer: TextTokenizer) -> Frame:
        """The frame that a tokenizer's rows have. Raises ValueError where there is no room for a token within."""
        encoding = tokenizer.backend.encode("a")
        ids = [id for id, real in zip(encoding.ids, encoding.attention_mask, strict=True) if real]
        own = [index for index, special in enumerate(encoding.special_tokens_mask[: len(ids)]) if not special]
        first, last = (own[0], own[-1] + 1) if own else (min(1, len(ids)), min(1, len(ids)))
        padding = tokenizer.backend.token_to_id(tokenizer.pad_token)
        assert padding is not None, "a TextTokenizer's padding token is in its vocabulary"
        frame = cls(ids[:first], ids[last:], padding, tokenizer.length)
        if frame.room < 1:
            raise ValueError(f"rows of {tokenizer.length} tokens have no room for words; load a longer tokenizer")
        return frame

    @property
    def room(self) -> int:
        """How many tokens stand between start and end."""
        return self.length - len(self.start) - len(self.end)

    def row(self, tokens: Sequence[Token]) -> Row:
        """Tokens, at most `room`, in their frame."""
        rest = self.room - len(tokens)
        around = len(self.end) + rest
        return Row(
            [*self.start, *(token.id for token in tokens), *self.end, *[self.padding] * rest],
            [1.0] * len(self.start) + [token.weight for token in tokens] + [1.0] * around,
            [-1] * len(self.start) + [token.source for token in tokens] + [-1] * around,
        )


def rows(tokenizer: TextTokenizer, parts: Sequence[Sequence[Fragment]], style: Style) -> list[Row]:
    """The rows of a prompt, one at least. parts: its fragments; each part begins a row.

    A row is full where no further token fits. A1111 lets what follows a near comma move with the rest; ComfyUI keeps a fragment of
    few tokens in one row. A learned word stands in one row.
    Raises ValueError for a prompt of more than 64 rows.
    """
    frame = Frame.of(tokenizer)
    comma = _comma(tokenizer) if style == "a1111" else None
    found, first = list[list[Token]](), 0
    for part in parts:
        pieces = [
            [[Token(id, fragment.weight, first + number) for id in word] for word in _words(tokenizer, fragment.text)]
            for number, fragment in enumerate(part)
        ]
        found += _by_fragment(pieces, frame.room) if style == "comfyui" else _by_comma(pieces, frame.room, comma)
        first += len(part)
    if len(found) > 1 and not found[-1]:  # nothing follows the last BREAK
        found.pop()
    if len(found) > MOST_ROWS:
        raise ValueError(f"a prompt has {len(found)} rows of {frame.length} tokens, and at most {MOST_ROWS} are encoded; shorten it")  # fmt: skip
    return [frame.row(tokens) for tokens in found]


def learned_names(tokenizer: TextTokenizer) -> list[str]:
    """The words that a tokenizer was taught by textual inversion, without "embedding:"."""
    known = (token.content for token in tokenizer.backend.get_added_tokens_decoder().values())
    return [match.group(1) for content in known if (match := re.fullmatch(r"embedding:(.+)::0", content))]


def _words(tokenizer: TextTokenizer, text: str) -> list[list[int]]:
    """The ids of a text without start and end: each alone, those of a learned word together."""
    encoding = tokenizer.backend.encode(text)
    found: list[list[int]] = []
    for piece in (encoding, *encoding.overflowing):
        marks = zip(piece.ids, piece.tokens, piece.special_tokens_mask, piece.attention_mask, strict=True)
        for id, token, special, real in marks:
            if special or not real:
                continue
            number = re.fullmatch(r"embedding:.+::([0-9]+)", token)
            if number and number.group(1) != "0" and found:
                found[-1].append(id)
            else:
                found.append([id])
    return found


def _comma(tokenizer: TextTokenizer) -> int | None:
    backend = tokenizer.backend
    number = backend.token_to_id(",</w>")
    return backend.token_to_id(",") if number is None else number


def _by_comma(fragments: Sequence[Sequence[Sequence[Token]]], room: int, comma: int | None) -> Iterator[list[Token]]:
    row: list[Token] = []
    after_comma = 0  # where in the row the last comma ends; 0 for none
    for word in (word for fragment in fragments for word in fragment):
        for tokens in (word[start : start + room] for start in range(0, len(word), room)):
            if word[0].id != comma and len(row) == room and after_comma and room - after_comma < BACKTRACK:
                yield row[:after_comma]
                row, after_comma = row[after_comma:], 0
            if len(row) + len(tokens) > room:
                yield row
                row, after_comma = [], 0
            row = [*row, *tokens]
            if word[0].id == comma:
                after_comma = len(row)
    yield row


def _by_fragment(fragments: Sequence[Sequence[Sequence[Token]]], room: int) -> Iterator[list[Token]]:
    row: list[Token] = []
    for piece in _pieces(fragments):
        rest = list(piece)
        while len(row) + len(rest) > room:
            taken = room - len(row) if len(piece) >= min(SHORT_WORD, room) else 0
            yield [*row, *rest[:taken]]
            row, rest = [], rest[taken:]
        row = [*row, *rest]
    yield row


def _pieces(fragments: Sequence[Sequence[Sequence[Token]]]) -> Iterator[list[Token]]:
    """Fragments, parted by the learned words in them."""
    for fragment in fragments:
        plain: list[Token] = []
        for word in fragment:
            if len(word) == 1:
                plain += word
            else:
                yield plain
                yield list(word)
                plain = []
        yield plain
