"""Workflows inside pictures: a PNG that a run saved carries the workflow that made it, in a text chunk."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.format.carried import carried_texts
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


def _carried_by(path: Path) -> str:
    texts = carried_texts(path)
    text = texts.get(KEYWORD)
    if text is None:
        remedy = "Pictures that a run saved do; editing one may remove it"
        if "parameters" in texts:
            remedy = (
                "It is a picture of Stable Diffusion web UI; the command `picture` makes a workflow of what it tells"
            )
        raise WorkflowError([Problem(f"{path} carries no workflow", remedy=remedy)])
    return text
