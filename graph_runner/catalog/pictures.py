"""How a picture was made, as packages of nodes say it of the texts that it carries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from graph_runner.contract.describers import Made, PictureDescriber
from graph_runner.format.carried import carried_texts


def made_by(path: Path, describers: Sequence[PictureDescriber]) -> Made | None:
    """What a picture says; None where nobody knows its texts. Raises WorkflowError as `carried_texts`."""
    texts = carried_texts(path)
    return next((made for describe in describers if (made := describe(texts)) is not None), None)
