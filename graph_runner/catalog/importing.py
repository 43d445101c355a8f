"""Another program's workflow, from its file or from a picture that carries it, as one of ours."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.contract.foreign import Folders, Imported, Importer
from graph_runner.format.carried import carried_texts
from graph_runner.format.document import MOST_BYTES, parse
from graph_runner.format.png import is_picture
from graph_runner.format.workflow import read, write

CHUNKS = ("workflow", "prompt")
"""Text chunks of pictures in which programs leave their workflows, the fuller one first."""


def import_workflow(path: Path, importers: Iterable[Importer], folders: Folders | None = None) -> Imported | None:
    """The workflow that a file holds, or a PNG's text chunks; None where no importer knows it. Nothing is executed.

    Raises WorkflowError where the file cannot be read, is larger than a workflow may be, or is malformed.
    """
    importers, folders = list(importers), folders or Folders()
    for document in _documents(path):
        for each in importers:
            if (found := each(document, folders)) is not None:
                read(write(found.workflow), str(path))  # within our limits, too
                return found
    return None


def _documents(path: Path) -> Iterable[dict[str, Any]]:
    if is_picture(path):
        texts = carried_texts(path)
        for name in CHUNKS:
            if name in texts:
                yield parse(texts[name], f"the {name} inside {path}")[0]
        return
    try:
        if not path.is_file():
            raise OSError(None, "it is no file" if path.exists() else "there is no such file")
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except OSError as error:
        problem = Problem(f"cannot read {path}: {error.strerror or error}", remedy="Give the path of a workflow's file")
        raise WorkflowError([problem]) from error
    yield parse(text, str(path))[0]  # what is odd in a stranger's JSON, such as NaN, is not read
