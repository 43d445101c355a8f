"""Workflows inside pictures: a PNG that a run saved carries the workflow that made it, in a text chunk."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

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
    picture = False
    with suppress(OSError, ValueError):  # `load` says why
        if path.is_file():
            with path.open("rb") as file:
                picture = file.read(len(_SIGNATURE)) == _SIGNATURE
    return read(_carried_by(path), f"the workflow inside {path}") if picture else load(path)


def _carried_by(path: Path) -> str:
    from PIL import Image, PngImagePlugin

    try:
        with Image.open(path, formats=["PNG"]) as image:
            assert isinstance(image, PngImagePlugin.PngImageFile)
            # What stands before the pixels is known by now; for what follows them they would all be decoded.
            texts = image.info if KEYWORD in image.info else image.text
            text = texts.get(KEYWORD)
    except (
        Exception
    ) as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, bombs and others
        raise WorkflowError([Problem(f"cannot read the picture {path}: {error or type(error).__name__}")]) from error
    if text is None:
        remedy = "Pictures that a run saved do; editing one may remove it"
        if "parameters" in texts:
            remedy = (
                "It is a picture of Stable Diffusion web UI; the command `picture` makes a workflow of what it tells"
            )
        raise WorkflowError([Problem(f"{path} carries no workflow", remedy=remedy)])
    return str(text)
