"""The options of an engine and of a run: one list for the command line, for the server and its workers, and for the canvas."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from graph_runner.base.telling import bytes_of


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not re.fullmatch(r"[0-9]{1,15}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def several(text: str) -> int | tuple[int, ...]:
    """How many devices, or the numbers of several."""
    if not re.fullmatch(r"[0-9]{1,4}(,[0-9]{1,4})*", text) or (numbers := tuple(map(int, text.split(",")))) == (0,):
        raise argparse.ArgumentTypeError(f"{text:.40} is neither a number of devices nor several numbers such as 0,2")
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"{text:.40} names a device twice")
    return numbers[0] if len(numbers) == 1 else numbers


def size(text: str) -> int:
    """Bytes from "20GB", "1.5 MB" or a number of bytes."""
    try:
        return bytes_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


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
"""What `argparse` is told of each option of an engine, by the engine's own name of it."""
OF_A_RUN: dict[str, dict[str, Any]] = {
    "device": {"default": "auto", "help": "auto (a GPU where there is one), cpu, cuda, cuda:N or mps"},
    "devices": {"type": several, "metavar": "N|A,B,…", "help": "train on so many GPUs together, or on those of these numbers; with --device cpu, in so many processes (see docs/scale.md)"},
    "shard": {"action": "store_true", "default": False, "help": "split models that train, with their averages and optimizers' states, among the processes of the run"},
    "on": {"default": "here", "metavar": "NAME[:OPTION=VALUE,…]", "help": "who does the items of for_each: here, ray (a cluster of this machine), ray://HOST:PORT, or what an installed package brings"},
    "threads": {"type": count, "metavar": "N", "help": "threads that a processor computes with (default: as many as there are free processors)"},
}  # fmt: skip
"""The same of what is of one run: where it is done."""


def add_to(parser: argparse.ArgumentParser, *, run: bool = False) -> None:
    """Have a parser take those of an engine, or those of a run."""
    for name, told in (OF_A_RUN if run else OPTIONS).items():
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


def read(given: Mapping[str, Any]) -> dict[str, Any]:
    """Values for options of either kind by their names, checked as the command line checks them. Raises ValueError.

    None stands for what is used otherwise, and is left out.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        told = {**OPTIONS, **OF_A_RUN}.get(name)
        if told is None:
            raise ValueError(f"there is no option {name!r}; there is {', '.join([*OPTIONS, *OF_A_RUN])}")
        if value is not None:
            found[name] = _read(name, told, value)
    return found


def _read(name: str, told: Mapping[str, Any], value: Any) -> Any:
    if is_flag(told):
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r}; it can be true or false")
        return value
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{name} is {value!r}, which is neither a text nor a whole number")
    try:
        read = told.get("type", str)(str(value))
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"{name}: {error}") from error
    if read not in told.get("choices", [read]):
        raise ValueError(f"{name} is {read!r}; it can be {', '.join(told['choices'])}")
    return read


def is_flag(told: Mapping[str, Any]) -> bool:
    """Whether an option is on or off."""
    return "action" in told


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _is_file(word: str) -> bool:
    path = Path(word)
    return not word.startswith("-") and (bool(path.suffix) or len(path.parts) > 1 or path.is_file())
