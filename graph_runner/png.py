"""Workflows inside pictures: a PNG that a run saved carries the workflow that made it, in a text chunk."""

from __future__ import annotations

from pathlib import Path

from graph_runner.problems import Problem, WorkflowError
from graph_runner.workflow import Workflow, load, read

KEYWORD = "workflow"
"""The text chunk's keyword. Who saves a picture puts `Outputs.workflow` there."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def open_workflow(path: str | Path) -> Workflow:
    """Read a workflow from its file, or from a picture that carries one.

    Raises WorkflowError, naming the file, where it is absent, malformed, or a picture without a workflow.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            picture = file.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        picture = False  # `load` says why
    return read(_carried_by(path), f"the workflow inside {path}") if picture else load(path)


def _carried_by(path: Path) -> str:
    from PIL import Image, PngImagePlugin

    try:
        with Image.open(path, formats=["PNG"]) as image:
            assert isinstance(image, PngImagePlugin.PngImageFile)
            text = image.text.get(KEYWORD)
    except (OSError, SyntaxError, ValueError) as error:
        raise WorkflowError([Problem(f"cannot read the picture {path}: {error}")]) from error
    if text is None:
        raise WorkflowError(
            [Problem(f"{path} carries no workflow", remedy="Pictures that a run saved do; editing one may remove it")]
        )
    return str(text)
