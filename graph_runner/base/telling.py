"""How a value is put in a line, on the command line and on the canvas."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

LONGEST = 2000
"""Characters of a text, or of what is neither number nor tensor."""
SMALL = 64
"""A tensor of no more numbers is told whole."""
MANY = 8
"""Items of a list that are told one by one."""


def in_a_line(value: Any) -> str:
    """A value for people: numbers, texts and small tensors as they are, large tensors and models by their measures."""
    # By what they have, not by their classes: telling of a number needs no torch.
    if hasattr(value, "parameters") and hasattr(value, "state_dict"):
        count = sum(p.numel() for p in value.parameters())
        return f"{type(value).__name__}, {count:,} parameter{'' if count == 1 else 's'}"
    if hasattr(value, "numel") and hasattr(value, "dtype"):
        return _tensor(value)
    if isinstance(value, Mapping) and type(value).__repr__ is dict.__repr__:
        return _several(list(value.values()), [f"{name}: " for name in value], "{}")
    if type(value) in (list, tuple):
        return _several(value, [""] * len(value), "[]")
    return _cut(str(value))


def _tensor(value: Any) -> str:
    kind = f"{str(value.dtype).removeprefix('torch.')} {'×'.join(str(side) for side in value.shape)}".strip()
    if not value.numel():
        return kind
    if value.numel() <= SMALL:
        return _numbers(value.tolist())
    x = value.detach().double()
    return f"{kind}, mean {x.mean():.4g}, std {x.std():.4g}, from {x.min():.4g} to {x.max():.4g}"


def _numbers(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_numbers, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _several(values: Sequence[Any], names: Sequence[str], brackets: str) -> str:
    """The first few items; of large ones, how many there are and what the first is like."""
    texts = [repr(value) if isinstance(value, str) else in_a_line(value) for value in values[:MANY]]
    if values and ("×" in texts[0] or " parameter" in texts[0]):
        return f"{len(values)} × {names[0]}{texts[0]}"
    more = [f"… ({len(values):,} in all)"] if len(values) > MANY else []
    told = [_cut(name + text) for name, text in zip(names, texts, strict=False)]
    return brackets[0] + ", ".join([*told, *more]) + brackets[1]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def large(number: float, unit: str = "") -> str:
    """Three figures, a thousand's letter and a unit: "4.74 T", "820 G", "3.1 k", "12"; "3.1 kB", "0 B"."""
    letters = iter(("", "k", "M", "G", "T", "P", "E"))
    letter = next(letters)
    while number >= 999.5 and letter != "E":
        number, letter = number / 1000, next(letters)
    return f"{number:.3g} {letter}{unit}".strip()


def binary(size: int) -> str:
    """Bytes as PyTorch's allocators say them: "2.50 GiB", "512.0 MiB"."""
    return f"{size / 2**30:,.2f} GiB" if size >= 2**27 else f"{size / 2**20:,.1f} MiB"


def bytes_of(text: str) -> int:
    """Bytes from "20GB", "1.5 MB" or a number of bytes. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*([kmgt]?)b?", text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no size; write 20GB, 500MB or a number of bytes")
    return int(float(found[1]) * 1000 ** " kmgt".index(found[2] or " "))
