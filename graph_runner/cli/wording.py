"""How the command line says things: durations, numbers, places, values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from graph_runner.base.problems import Problem


def duration(seconds: float) -> str:
    """A duration for people: "0.4 s", "42 s", "2 min 31 s", "1 h 05 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(number: int, noun: str, several: str = "") -> str:
    """ "1 node", "3 nodes"."""
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"


def figures(values: dict[str, float]) -> str:
    """Losses and other numbers on one line, those of one kind together: "loss unet 0.231  critic 0.98 · lr unet 0.001"."""
    kinds: dict[str, list[str]] = {}
    for name, number in values.items():
        kind, slash, rest = name.partition("/")
        text = f"{number:,.0f}" if 1e4 <= abs(number) < 1e8 else f"{number:.4g}"
        kinds.setdefault(kind if slash else "", []).append(f"{rest or kind} {text}")
    return " · ".join(f"{kind} {'  '.join(texts)}".strip() for kind, texts in kinds.items())


def place(path: Path) -> str:
    """A path as one would type it here: relative where it lies below the current folder."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def value(result: Any) -> str:
    """A computed value in a line or few: small ones whole, tensors and models by their figures."""
    if hasattr(result, "parameters") and hasattr(result, "state_dict"):
        weights = sum(parameter.numel() for parameter in result.parameters())
        return f"{type(result).__name__}, {count(weights, 'parameter')}"
    if hasattr(result, "numel") and hasattr(result, "dtype"):
        if result.numel() <= 64:
            return json.dumps(result.tolist())
        numbers = result.detach().double()
        shape = " × ".join(str(size) for size in result.shape)
        return (
            f"{shape}, {str(result.dtype).removeprefix('torch.')}, mean {numbers.mean():.4g}, "
            f"std {numbers.std():.4g}, from {numbers.min():.4g} to {numbers.max():.4g}"
        )
    if isinstance(result, list | tuple) and type(result) in (list, tuple):
        return "[" + ", ".join(value(item) for item in result[:8]) + (", …]" if len(result) > 8 else "]")
    text = repr(result)
    return text if len(text) <= 300 else text[:299] + "…"


def complain(problems: Sequence[Problem]) -> None:
    """Print problems for a person to mend, what to do below each."""
    console = Console(stderr=True)
    for problem in problems:
        warning = problem.severity == "warning"
        where = ".".join(part for part in (problem.node, problem.port) if part)
        line = Text("warning: " if warning else "error: ", "yellow" if warning else "red")
        line.append(f"{where}: " if where else "", "bold").append(problem.message, "default not bold")
        console.print(line, soft_wrap=True)
        if problem.remedy:
            console.print(Text(f"  {problem.remedy}", "dim"), soft_wrap=True)
