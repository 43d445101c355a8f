"""What a file of weights holds, without the weights: names, shapes and dtypes, and the texts of its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch

from core.checkpoints.weights import header_of, naming, read_metadata, read_weights

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
"""safetensors' names of dtypes, and torch's."""

MOST_NAME = 300
"""Characters of a tensor's name."""


class Entry(NamedTuple):
    """A tensor that a file lists."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Listing:
    """The tensors of a file by name, and the texts of its header."""

    tensors: Mapping[str, Entry]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def names(self) -> str:
        """All names, one a line: what patterns are looked for in. Longer ones than a model has are left out."""
        return "\n".join(name for name in self.tensors if len(name) <= MOST_NAME and "\n" not in name)

    @property
    def parameters(self) -> int:
        """How many numbers the tensors have in all."""
        return sum(_product(entry.shape) for entry in self.tensors.values())

    @property
    def dtype(self) -> str:
        """The dtype of most of the numbers; empty where there are none."""
        held: dict[str, int] = {}
        for entry in self.tensors.values():
            held[entry.dtype] = held.get(entry.dtype, 0) + _product(entry.shape)
        return max(held, key=lambda name: held[name], default="")


def read_listing(path: str | Path) -> Listing:
    """What the file lists; of safetensors only the header is read. Raises CheckpointError naming the file and the remedy."""
    path = Path(path)
    with naming(path):
        if (header := header_of(path)) is not None:
            held = {name: each for name, each in json.loads(header).items() if name != "__metadata__"}
            entries = {
                name: Entry(tuple(each["shape"]), DTYPES.get(each["dtype"], each["dtype"]))
                for name, each in held.items()
            }
            return Listing(entries, read_metadata(path))
        return Listing(
            {
                name: Entry(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
                for name, tensor in read_weights(path).items()
            }
        )


def _product(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())
