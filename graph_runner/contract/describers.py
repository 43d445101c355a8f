"""Who can say what a file of a model is: functions of node packages, found where their nodes are.

    @describes_models
    def described(path: Path) -> Described | None: ...

The engine knows no kind of model; it walks folders, and asks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Described(NamedTuple):
    """What a file or folder of a model is.

    what: in words, with an article. dtype: of most weights, as torch calls it. parameters: how many numbers there are. words: what
    a prompt calls it up by. problem: why it cannot be read or used, a sentence; empty where it can. shows_data: the hash of the
    weights without the header says more than that of the file, as for adapters whose header changes.
    """

    what: str
    dtype: str = ""
    parameters: int = 0
    words: tuple[str, ...] = ()
    problem: str = ""
    shows_data: bool = False


Describer = Callable[[Path], Described | None]
"""Says of a file or folder what it is; None where it is no model."""


def describes_models(describe: Describer) -> Describer:
    """Mark a function as one that says what a model's file or folder is. It must not raise for what it cannot read."""
    describe.__describes__ = "models"  # type: ignore[attr-defined]
    return describe
