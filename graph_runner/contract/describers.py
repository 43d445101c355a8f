"""Who can say what a file of a model is: functions of node packages, found where their nodes are.

    @describes_models
    def described(path: Path) -> Described | None: ...

The engine knows no kind of model; it walks folders, and asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


class Made(NamedTuple):
    """What a picture says of how it was made.

    program: that made it. facts: by name, in the order in which they are told. workflow: the text of a workflow file that does the
    same, as far as it can be; empty where there is none. left: what that does not do, in sentences. problem: why what the picture
    carries cannot be read, a sentence; empty where it can.
    """

    program: str
    facts: Mapping[str, str] = {}
    workflow: str = ""
    left: tuple[str, ...] = ()
    problem: str = ""


PictureDescriber = Callable[[Mapping[str, str]], Made | None]
"""Says of the texts that a picture carries, by keyword, how it was made; None where they are none that it knows."""


def describes_pictures(describe: PictureDescriber) -> PictureDescriber:
    """Mark a function as one that says how another program's picture was made. It must not raise for what it cannot read."""
    describe.__describes__ = "pictures"  # type: ignore[attr-defined]
    return describe
