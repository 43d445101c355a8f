"""Workflows in files: the shipped ones, which are only read, and the user's in the workspace's folder `workflows`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import graph_runner
from graph_runner.contract import NodeSpec
from graph_runner.engine import place_paths
from graph_runner.graph import Scope
from graph_runner.png import open_workflow
from graph_runner.problems import Problem, WorkflowError
from graph_runner.validate import errors, validate
from graph_runner.workflow import Workflow, read, write, write_atomically
from ui import models
from ui.models import Document, Solved, Validation, WorkflowEntry
from ui.refusal import RefusedError
from ui.workspace import Workspace

SHIPPED, OWN = "shipped", "workflows"
LARGEST = 16 * 2**20
"""The largest workflow that is read, in bytes of its text."""
PICTURES = (".webp", ".png", ".jpg")
TOO_DEEP = Problem(
    "the workflow is nested too deep", remedy="Check that it is a workflow file; zones may nest some 50 deep"
)
HALF_CHARACTER = Problem("the workflow holds half a character (a lone surrogate)", remedy="Type that text again")


class Library:
    """The workflows of one server."""

    def __init__(self, workspace: Workspace, shipped: Path | None = None) -> None:
        assert graph_runner.__file__ is not None
        self.workspace = workspace
        self.shipped = shipped or Path(graph_runner.__file__).parents[1] / "workflows"
        self._known: dict[Path, tuple[float, WorkflowEntry]] = {}

    def listing(self) -> list[WorkflowEntry]:
        """Every workflow, shipped ones first."""
        own = self.workspace.root / OWN
        shipped = [self._entry(path, f"{SHIPPED}/{path.name}", True) for path in sorted(self.shipped.glob("*.json"))]
        users = [
            self._entry(path, f"{OWN}/{path.relative_to(own).as_posix()}", False)
            for path in sorted(own.rglob("*.json"))
            if not any(part.startswith(".") for part in path.relative_to(own).parts)
        ]
        return [*shipped, *users]

    def open(self, path: str) -> Document:
        """A workflow from a file, or from a picture that carries one."""
        shipped, found = self._find(path)
        try:
            document = document_of(_read_file(found))
        except WorkflowError as error:
            raise RefusedError.wrong(error) from error
        return document.model_copy(update={"path": path, "etag": _etag(found.read_bytes()), "shipped": shipped})

    def save(self, path: str, workflow: Workflow, etag: str, overwrite: bool) -> Document:
        """Write a user's workflow. Raises RefusedError (409) where another one has been written there meanwhile."""
        target = self._own(path)
        if target.exists() and not overwrite and _etag(target.read_bytes()) != etag:
            raise RefusedError(409, f"{path} was changed by somebody else; save under another name, or overwrite it")
        document = document_of(workflow)
        content = document.text.encode()
        try:
            write_atomically(target, content)
        except OSError as error:
            raise RefusedError(400, f"cannot write {path}: {error.strerror}; choose another name") from error
        return document.model_copy(update={"path": path, "etag": _etag(content)})

    def discard(self, path: str) -> None:
        """Delete a user's workflow."""
        target = self._own(path)
        if not target.is_file():
            raise RefusedError(404, f"there is no workflow {path!r}")
        target.unlink()

    def stamp(self, path: str) -> str:
        """The etag of a workflow file as it is now; empty where there is none."""
        try:
            return _etag(self._find(path)[1].read_bytes())
        except (RefusedError, OSError):
            return ""

    def extract(self, content: bytes) -> Document:
        """The workflow in the bytes of a picture or of a JSON file. Raises RefusedError where there is none."""
        if not content.startswith(b"\x89PNG") and not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            raise RefusedError(
                415, "this is neither a workflow nor a PNG that carries one; drop a .json or a saved .png"
            )
        with tempfile.NamedTemporaryFile(dir=self.workspace.own) as file:
            file.write(content)
            file.flush()
            try:
                return document_of(_read_file(Path(file.name)))
            except WorkflowError as error:
                said = str(error).replace(file.name, "the file")
                raise RefusedError(415 if "carries no workflow" in said else 422, said) from error

    def picture(self, path: str) -> Path:
        """The picture beside a workflow file."""
        _, found = self._find(path)
        for suffix in PICTURES:
            if (picture := found.with_suffix(suffix)).is_file():
                return picture
        raise RefusedError(404, f"{path} has no picture")

    def named(self, name: str) -> str:
        """The path of the workflow that an app's address names: `NAME` (the user's, else the shipped one) or `shipped/NAME`."""
        candidates = (
            [f"{name}.json"] if name.startswith(f"{SHIPPED}/") else [f"{OWN}/{name}.json", f"{SHIPPED}/{name}.json"]
        )
        for path in candidates:
            try:
                self._find(path)
            except RefusedError:
                continue
            return path
        raise RefusedError(404, f"there is no workflow {name!r}")

    def _find(self, path: str) -> tuple[bool, Path]:
        if not path.startswith(f"{SHIPPED}/"):
            return False, self.workspace.file(path)
        name = path.removeprefix(f"{SHIPPED}/")
        found = self.shipped / name
        if not re.fullmatch(r"[\w\-]+\.json", name) or not found.is_file():
            raise RefusedError(404, f"there is no shipped workflow {name!r}")
        return True, found

    def _own(self, path: str) -> Path:
        if not path.startswith(f"{OWN}/") or path.startswith(f"{OWN}/{SHIPPED}/") or not path.endswith(".json"):
            raise RefusedError(400, f"{path!r} is no place for a workflow; save as {OWN}/NAME.json")
        if not re.fullmatch(r"[\w\-. ()/]+", path):
            raise RefusedError(
                400, f"{path!r} holds characters that some file systems refuse; use letters, digits, - and _"
            )
        return self.workspace.inside(path)

    def _entry(self, found: Path, path: str, shipped: bool) -> WorkflowEntry:
        modified = found.stat().st_mtime
        if found in self._known and self._known[found][0] == modified:
            return self._known[found][1]
        title = about = problem = ""
        try:
            workflow = _read_file(found)
            title, about = workflow.title, workflow.about
        except WorkflowError as error:
            problem = str(error.problems[0])
        picture = any(found.with_suffix(suffix).is_file() for suffix in PICTURES)
        name = path.removesuffix(".json").removeprefix(f"{OWN}/")
        entry = WorkflowEntry(
            path=path,
            name=name.removeprefix(f"{SHIPPED}/"),
            title=title,
            about=about,
            shipped=shipped,
            modified=modified,
            thumbnail=f"thumbnails/{quote(path)}" if picture else None,
            app=f"app/{quote(name)}/",
            problem=problem,
        )
        self._known[found] = (modified, entry)
        return entry


def _read_file(path: Path) -> Workflow:
    """A workflow from a file or a picture. Raises WorkflowError where it is wrong, too large or too deep."""
    with path.open("rb") as file:
        picture = file.read(4) == b"\x89PNG"
    if not picture and path.stat().st_size > LARGEST:
        raise WorkflowError([Problem(f"{path.name} is larger than {LARGEST >> 20} MiB, and no workflow is")])
    try:
        workflow = open_workflow(path)
        write(workflow).encode()
    except RecursionError as error:
        raise WorkflowError([TOO_DEEP]) from error
    except UnicodeEncodeError as error:
        raise WorkflowError([HALF_CHARACTER]) from error
    return workflow


def parsed(workflow: dict[str, Any] | str) -> Workflow:
    """A workflow from a JSON object or its text. Raises WorkflowError with every problem of form."""
    try:
        result = read(workflow if isinstance(workflow, str) else json.dumps(workflow))
        write(result).encode()
    except RecursionError as error:
        raise WorkflowError([TOO_DEEP]) from error
    except UnicodeEncodeError as error:
        raise WorkflowError([HALF_CHARACTER]) from error
    return result


def checked(
    workflow: dict[str, Any] | str, registry: Mapping[str, NodeSpec], workspace: Path, confined: bool
) -> tuple[Workflow | None, Validation]:
    """A workflow (None where its form is wrong) and all that is wrong with it: what the command line's `check` says.

    confined: files outside of the workspace are wrong besides.
    """
    try:
        result = parsed(workflow)
        top, problems = validate(result, registry)
    except WorkflowError as error:
        return None, Validation(problems=[_told(problem) for problem in error.problems], types={})
    except RecursionError:
        return None, Validation(problems=[_told(TOO_DEEP)], types={})
    types = _types(top)
    if confined:
        problems += _paths_outside(top, workspace)
    if not errors(problems):
        try:
            place_paths(top, workspace)
        except WorkflowError as error:
            problems += error.problems
    return result, Validation(problems=[_told(problem) for problem in problems], types=types)


def document_of(workflow: Workflow) -> Document:
    """A workflow that is in no file, as it is sent."""
    text = write(workflow)
    return Document(path="", text=text, workflow=json.loads(text), etag="", shipped=False)


def _types(top: Scope) -> dict[str, Solved]:
    """The type of every output, and of every inner port of a zone, where its type variables are solved."""
    types: dict[str, Solved] = {}
    for bound in top.walk():
        inner = bound.body.ports if bound.body is not None else {}
        for slot, kind in {**bound.outputs, **inner}.items():
            if not kind.variable:
                types[".".join(part for part in (bound.id, *slot) if part)] = Solved(type=kind.name, list=kind.many)
    return types


def _paths_outside(top: Scope, workspace: Path) -> list[Problem]:
    """Files that nodes would read from outside of the workspace. A link in it, which its owner made, may lead out."""
    problems = []
    for bound in top.walk():
        for name, param in bound.spec.params.items():
            value = bound.params.get(name)
            if param.path_kind is None or not isinstance(value, str):
                continue
            path = os.path.normpath(workspace / Path(value).expanduser())
            if not Path(path).is_relative_to(workspace):
                problems.append(
                    Problem(
                        f"{value} is outside of the workspace, and others can reach this server",
                        bound.id,
                        name,
                        "Upload it, or have it copied or linked into the workspace",
                    )
                )
    return problems


def _told(problem: Problem) -> models.Problem:
    return models.Problem.model_validate(problem.to_json())


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
