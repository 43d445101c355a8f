"""The options of an engine on a command line: one list for a run, for the server, and for the workers that it hands them to."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any


def size(text: str) -> int:
    """Bytes from "20GB", "1.5 MB" or a number of bytes."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*([kmgt]?)b?", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 20GB, 500MB or a number of bytes")
    return int(float(found[1]) * 1000 ** " kmgt".index(found[2] or " "))


DTYPES = ("float32", "bfloat16", "float16")
WEIGHTS = (*DTYPES, "float8")
OPTIONS: dict[str, dict[str, Any]] = {
    "dtype": {"default": "float32", "choices": DTYPES, "help": "what heavy operations compute in (default float32); weights, losses and metrics stay float32"},
    "weights": {"default": "float32", "choices": WEIGHTS, "help": "what the weights of models that do not train are kept in (default float32)"},
    "tf32": {"action": argparse.BooleanOptionalAction, "default": None, "help": "let GPUs compute float32 products with 10 bits of fraction, or not (default: as PyTorch has it)"},
    "vram": {"type": size, "metavar": "SIZE", "help": "take at most so much of the device's memory, such as 8GB: models leave it when others need room, and one that is larger is streamed (default: what is free)"},
    "compile": {"nargs": "?", "const": "default", "default": "off", "choices": ["off", "default", "reduce-overhead", "max-autotune"], "help": "compile denoisers and first stages block by block (torch.compile); reduce-overhead records CUDA graphs, max-autotune measures kernels first (default off)"},
    "attention": {"default": "auto", "metavar": "NAME", "help": "what computes attention: auto, math, flash, efficient, cudnn, or a package that is installed: xformers, flash-attn, sage"},
    "channels_last": {"action": argparse.BooleanOptionalAction, "default": False, "help": "order the memory of convolutions as tensor cores read it"},
}  # fmt: skip
"""What `argparse` is told of each, by the engine's own name of it."""


def add_to(parser: argparse.ArgumentParser) -> None:
    """Have a parser take them all."""
    for name, told in OPTIONS.items():
        parser.add_argument(_flag(name), **told)


def apart(words: Sequence[str]) -> list[str]:
    """A command line on which an option that may stand alone does so where a file follows it: `--compile FILE`.

    argparse would take the file for the option's value. A word that is neither a value nor looks like a file stays, for argparse to
    refuse with the values that there are.
    """
    alone = {_flag(name): told for name, told in OPTIONS.items() if told.get("nargs") == "?"}
    made = list(words)
    for i, (word, following) in enumerate(pairwise(made)):
        told = alone.get(word)
        if told is not None and following not in told["choices"] and _is_file(following):
            made[i] = f"{word}={told['const']}"
    return made


def chosen(options: argparse.Namespace) -> dict[str, Any]:
    """What was chosen, as `Engine` takes it."""
    return {name: getattr(options, name) for name in OPTIONS}


def words(engine: Mapping[str, Any]) -> list[str]:
    """The command line that says the same."""
    said: list[str] = []
    for name, value in engine.items():
        if isinstance(value, bool):
            said.append(_flag(name if value else f"no_{name}"))
        elif value is not None:
            said += [_flag(name), str(value)]
    return said


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _is_file(word: str) -> bool:
    path = Path(word)
    return not word.startswith("-") and (bool(path.suffix) or len(path.parts) > 1 or path.is_file())
