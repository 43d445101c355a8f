"""Workflows in files: the shipped ones, which are only read, and the user's in the workspace's folder `workflows`."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from graph_runner.base.files import write_atomically
from graph_runner.base.names import refuse_twin, safe_name
from graph_runner.base.problems import Problem, WorkflowError, did_you_mean
from graph_runner.bind.graph import Scope
from graph_runner.bind.paths import SHIPPED as FOLDER
from graph_runner.bind.paths import Paths
from graph_runner.bind.renamed import under_current_names
from graph_runner.bind.standing import Standing
from graph_runner.catalog.importing import import_workflow
from graph_runner.catalog.pictures import made_by
from graph_runner.catalog.usage import Usage, usage
from graph_runner.contract import NodeSpec
from graph_runner.format.png import open_workflow
from graph_runner.format.wires import joined
from graph_runner.format.workflow import Workflow, read, write
from ui.refusal import RefusedError
from ui.schemas import Document, Solved, Template, Validation, WorkflowEntry, printable
from ui.workspace import Workspace

SHIPPED, OWN, TEMPLATES = "shipped", "workflows", "templates"
LARGEST = 16 * 2**20
"""The largest workflow that is read, in bytes of its text."""
PICTURES = (".webp", ".png", ".jpg")
TOO_DEEP = Problem(
    "the workflow is nested too deep", remedy="Check that it is a workflow file; zones may nest some 50 deep"
)


class Library:
    """The workflows of one server."""

    def __init__(self, workspace: Workspace, registry: Mapping[str, NodeSpec], shipped: Path | None = None) -> None:
        self.workspace, self.registry = workspace, registry
        self.shipped = shipped or FOLDER
        self._known: dict[Path, tuple[float, WorkflowEntry]] = {}
        self.writing = threading.Lock()
        """Held while files come, go or change: of two that do so at once the second one is told."""

    def listing(self) -> list[WorkflowEntry]:
        """Every workflow, shipped ones first."""
        with suppress(OSError):  # what is here can be worked with meanwhile
            self.workspace.home.bring_below(self.workspace.root / OWN)
        shipped = {path: f"{SHIPPED}/{path.name}" for path in sorted(self.shipped.glob("*.json"))}
        users = {path: printable(path.relative_to(self.workspace.root).as_posix()) for path in self._users()}
        known = {path: self._entry(path, name, path in shipped) for path, name in {**shipped, **users}.items()}
        self._known = known
        return [entry for _, entry in known.values()]

    def usage(self) -> Usage:
        """What the workflows that can be read use, and how they wire it."""
        return usage(self._readable([*self.shipped.glob("*.json"), *self._users()]), self.registry)

    def templates(self) -> list[Template]:
        """Pieces of graphs to paste, of the folder `templates` beside the shipped workflows and of the user's."""
        own = self.workspace.root / OWN / TEMPLATES
        found = [
            *sorted((self.shipped / TEMPLATES).glob("*.json")),
            *sorted(p for p in self._users() if p.parent == own),
        ]
        return [
            Template(
                name=path.stem,
                title=workflow.title or path.stem,
                about=workflow.about,
                text=self.document(workflow).text,
            )
            for path in found
            for workflow in self._readable([path])
        ]

    def _readable(self, paths: Iterable[Path]) -> Iterator[Workflow]:
        for path in paths:
            with suppress(WorkflowError, OSError):  # the start page tells what is wrong with it
                yield _read_file(path)

    def _users(self) -> Iterator[Path]:
        """The user's files that are called like workflows; not hidden ones, nor links out of the workspace."""
        own = self.workspace.root / OWN
        for path in sorted(own.rglob("*.json")):
            hidden = any(part.startswith(".") for part in path.relative_to(own).parts)
            if not hidden and not path.is_dir() and self.workspace.holds(path):
                yield path

    def open(self, path: str) -> Document:
        """A workflow from a file, or from a picture that carries one."""
        shipped, found = self._find(path)
        try:
            document = self.document(_read_file(found))
        except WorkflowError as error:
            raise RefusedError.wrong(error) from error
        return document.model_copy(update={"path": path, "etag": _etag_of(found), "shipped": shipped})

    def save(self, path: str, workflow: Workflow, etag: str, overwrite: bool) -> Document:
        """Write a user's workflow. Raises RefusedError (409) where another one has been written there meanwhile."""
        target = self.own(path)
        try:
            refuse_twin(self.workspace.root, path)
        except ValueError as error:
            raise RefusedError(400, str(error)) from error
        document = self.document(workflow)
        content = document.text.encode()
        with self.writing:
            if target.exists() and not target.is_file():
                raise RefusedError(400, f"{path} is no file; save under another name")
            if target.exists() and not overwrite and _etag_of(target) != etag:
                raise RefusedError(
                    409, f"{path} was changed by somebody else; save under another name, or overwrite it"
                )
            write_atomically(target, content)
            self.workspace.home.keep(target)
        return document.model_copy(update={"path": path, "etag": _etag(content)})

    def document(self, workflow: Workflow, remarks: Iterable[str] = ()) -> Document:
        """A workflow that is in no file, as it is sent: canonical, its nodes by their present names."""
        text = write(under_current_names(workflow, self.registry))
        return Document(path="", text=text, workflow=json.loads(text), etag="", shipped=False, remarks=list(remarks))

    def stamp(self, path: str) -> str:
        """The etag of a workflow file as it is now; empty where there is none."""
        try:
            return _etag_of(self._find(path)[1])
        except (RefusedError, WorkflowError, OSError):
            return ""

    def extract(self, file: Path) -> Document:
        """The workflow in a picture or a JSON file that was sent, another program's too. Raises RefusedError where there is none."""
        with file.open("rb") as content:
            start = content.read(4096)
        if not start.startswith(b"\x89PNG") and not start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            raise RefusedError(
                415, "this is neither a workflow nor a PNG that carries one; drop a .json or a saved .png"
            )
        try:
            if (brought := import_workflow(file, getattr(self.registry, "importers", ()))) is not None:
                return self.document(brought.workflow, brought.remarks)
            described = getattr(self.registry, "picture_describers", ())
            made = made_by(file, described) if start.startswith(b"\x89PNG") else None
            if made is not None and made.workflow:
                return self.document(read(made.workflow), made.left)
            return self.document(_read_file(file))
        except WorkflowError as error:
            said = str(error).replace(str(file), "the file").replace(file.name, "the file")
            raise RefusedError(415 if "carries no workflow" in said else 422, said) from error

    def picture(self, path: str) -> Path:
        """The picture beside a workflow file."""
        _, found = self._find(path)
        for suffix in PICTURES:
            if (picture := found.with_suffix(suffix)).is_file():
                return picture
        raise RefusedError(404, f"{path} has no picture")

    def app(self, address: str) -> tuple[str, str]:
        """Of the address below `app/`: the name of a workflow that it begins with, and the path of its file.

        NAME is the user's, else the shipped one; `shipped/NAME` the shipped one. NAME may hold slashes: folders are gone
        down as far as there are any, so that an address of any length is answered soon.
        """
        parts = [part for part in address.split("/") if part]
        if len(parts) > 1 and parts[0] == SHIPPED:
            candidates = [f"{SHIPPED}/{parts[1]}"]
        else:
            candidates = []
            for part in parts:
                candidates.append(f"{candidates[-1]}/{part}" if candidates else part)
                if not os.path.isdir(self.workspace.root / OWN / candidates[-1]):  # noqa: PTH112 (too long a name is none)
                    break
        for name in candidates:
            places = (
                [f"{name}.json"] if name.startswith(f"{SHIPPED}/") else [f"{OWN}/{name}.json", f"{SHIPPED}/{name}.json"]
            )
            for path in places:
                with suppress(RefusedError):
                    self._find(path)
                    return name, path
        known = [entry.app.strip("/").removeprefix("app/") for entry in self.listing()]
        raise RefusedError(
            404, f"there is no workflow {address[:100]!r}. {did_you_mean(address[:100].strip('/'), known)}"
        )

    def file(self, path: str) -> Path:
        """The absolute path of a workflow file: a shipped one, or one of the user's."""
        if not path.startswith(f"{SHIPPED}/"):
            self.own(path)
        return self._find(path)[1]

    def _find(self, path: str) -> tuple[bool, Path]:
        if not path.startswith(f"{SHIPPED}/"):
            return False, self.workspace.file(path)
        name = path.removeprefix(f"{SHIPPED}/")
        found = self.shipped / name
        if not re.fullmatch(r"[\w\-]{1,100}\.json", name) or not found.is_file():
            raise RefusedError(404, f"there is no shipped workflow {name!r}")
        return True, found

    def own(self, path: str) -> Path:
        """The absolute path of a user's workflow, there or not. Raises RefusedError where none may be."""
        if not path.startswith(f"{OWN}/") or path.startswith(f"{OWN}/{SHIPPED}/") or not path.endswith(".json"):
            raise RefusedError(400, f"{path!r} is no place for a workflow; save as {OWN}/NAME.json")
        target = self.workspace.inside(path)
        try:
            safe_name(path.removesuffix(".json"))
        except ValueError as error:
            raise RefusedError(400, str(error)) from error
        return target

    def _entry(self, found: Path, path: str, shipped: bool) -> tuple[float, WorkflowEntry]:
        title = about = problem = ""
        modified, picture = 0.0, False
        try:
            _check_file(found)
            modified = found.stat().st_mtime
            if found in self._known and self._known[found][0] == modified:
                return self._known[found]
            workflow = _read_file(found)
            title, about = workflow.title, workflow.about
            picture = any(found.with_suffix(suffix).is_file() for suffix in PICTURES)
            if not path.endswith(found.name):
                problem = "Its name is no UTF-8, and cannot be asked for; rename the file"
        except WorkflowError as error:
            problem = str(error.problems[0])
        except OSError as error:
            problem = f"It cannot be read: {error.strerror or error}"
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
            problem=printable(problem),
        )
        return modified, entry


def _check_file(path: Path) -> None:
    """Raise OSError where a path leads to no file: a pipe would never end."""
    if not path.is_file():
        raise OSError(errno.ENOENT, "it is a link that leads nowhere" if path.is_symlink() else "it is no file")


def _read_file(path: Path) -> Workflow:
    """A workflow from a file or a picture. Raises WorkflowError where it is wrong, too large or too deep."""
    _check_file(path)
    with path.open("rb") as file:
        picture = file.read(4) == b"\x89PNG"
    if not picture and path.stat().st_size > LARGEST:
        raise WorkflowError([Problem(f"{path.name} is larger than {LARGEST >> 20} MiB, and no workflow is")])
    try:
        return open_workflow(path)
    except RecursionError as error:
        raise WorkflowError([TOO_DEEP]) from error


def parsed(workflow: dict[str, Any] | str) -> Workflow:
    """A workflow from a JSON object or its text. Raises WorkflowError with every problem of form."""
    try:
        return read(workflow if isinstance(workflow, str) else json.dumps(workflow))
    except RecursionError as error:
        raise WorkflowError([TOO_DEEP]) from error


class Checked(NamedTuple):
    """A workflow (None where its form is wrong), all that is wrong with it, and what tells that again for other literals."""

    workflow: Workflow | None
    validation: Validation
    standing: Standing | None


def checked(
    workflow: dict[str, Any] | str,
    registry: Mapping[str, NodeSpec],
    workspace: Path,
    confined: bool,
    lent: Iterable[Path] = (),
    types: bool = True,
) -> Checked:
    """A workflow and all that is wrong with it: what the command line's `check` says.

    confined: files outside of the workspace, and of what its owner lends besides, are wrong. types: tell those on the wires.
    """
    try:
        result = parsed(workflow)
        standing = Standing(result, registry, Paths(workspace, (workspace, *lent) if confined else ()))
    except WorkflowError as error:
        return Checked(None, Validation(problems=error.problems, types={}), None)
    except RecursionError:
        return Checked(None, Validation(problems=[TOO_DEEP], types={}), None)
    types_told = _types(standing.top) if types else {}
    return Checked(result, Validation(problems=standing.problems, types=types_told), standing)


def _types(top: Scope) -> dict[str, Solved]:
    """The type of every output, and of every inner port of a zone, where its type variables are solved."""
    types: dict[str, Solved] = {}
    for bound in top.walk():
        inner = bound.body.ports if bound.body is not None else {}
        for slot, kind in {**bound.outputs, **inner}.items():
            if not kind.variable:
                types[joined(bound.id, *slot)] = Solved(type=kind.name, list=kind.many)
    return types


def _etag_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
