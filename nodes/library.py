"""What the files of models are that lie on this machine, for the engine's list of them."""

from __future__ import annotations

from pathlib import Path

from core.checkpoints.card import card
from graph_runner.contract import Described, describes_models


@describes_models
def described(path: Path) -> Described | None:
    """What a file or folder is; None where it is no model."""
    found = card(path)
    if found is None:
        return None
    what = found.identity.name if found.identity is not None else "a file that cannot be read" if found.problem else "weights of an unknown model"  # fmt: skip
    return Described(
        what,
        found.listing.dtype if found.listing is not None else "",
        found.listing.parameters if found.listing is not None else 0,
        found.words,
        found.problem,
        shows_data=found.identity is not None and found.identity.use == "lora",
    )
