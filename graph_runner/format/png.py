"""Workflows inside pictures: a PNG that a run saved carries the workflow that made it, in a text chunk."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.format.workflow import Workflow, load, read

KEYWORD = "workflow"
"""The text chunk's keyword. Who saves a picture puts `Outputs.workflow` there."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def open_workflow(path: str | Path) -> Workflow:
    """Read a workflow from its file, or from a picture that carries one.

    Raises WorkflowError, naming the file, where it is absent, malformed, or a picture without a workflow.
    """
    path = Path(path)
    return read(_carried_by(path), f"the workflow inside {path}") if is_picture(path) else load(path)


def is_picture(path: Path) -> bool:
    """Whether a file begins as a PNG does; one that cannot be read does not."""
    with suppress(OSError, ValueError):
        if path.is_file():
            with path.open("rb") as file:
                return file.read(len(_SIGNATURE)) == _SIGNATURE
    return False


def texts_in(path: Path) -> Mapping[str, Any]:
    """The text chunks of a PNG by their keywords. Raises WorkflowError, naming the file, for a picture that cannot be read."""
    from PIL import Image, PngImagePlugin

    try:
        with Image.open(path, formats=["PNG"]) as image:
            assert isinstance(image, PngImagePlugin.PngImageFile)
            # What stands before the pixels is known by now; for what follows them they would all be decoded.
            return dict(image.info if KEYWORD in image.info else image.text)
    except (
        Exception
    ) as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, bombs and others
        raise WorkflowError([Problem(f"cannot read the picture {path}: {error or type(error).__name__}")]) from error


def _carried_by(path: Path) -> str:
    texts = texts_in(path)
    text = texts.get(KEYWORD)
    if text is None:
        remedy = "Pictures that a run saved do; editing one may remove it"
        if "parameters" in texts:
            remedy = "It is a picture of Stable Diffusion web UI, which carries its prompt only"
        raise WorkflowError([Problem(f"{path} carries no workflow", remedy=remedy)])
    return str(text)
