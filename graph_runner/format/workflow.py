"""The workflow file, version 1: JSON made to be read and diffed (docs/workflow-format.md).

`read` and `load` give a `Workflow`, `write` and `save` its one canonical text: loading and saving is byte-stable. Wires
always name ports, params are always literals; layout stands apart and last, outside every hash.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, ValidationError

from graph_runner.base.files import write_atomically
from graph_runner.base.problems import MOST_PROBLEMS, Problem, WorkflowError, did_you_mean, shortened
from graph_runner.format.document import MOST_BYTES, foreign, parse

VERSION = 1
INPUTS = "inputs"
"""In a definition, by this name its inputs are read."""
CALL = "body"
"""In a definition that has a body, the type of the nodes that stand for it."""
LONGEST_NAME = 200
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=LONGEST_NAME)]
Reference = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){0,2}$", max_length=3 * LONGEST_NAME + 2)
]


def _form(value: object) -> str:
    """Which form a wire has, so that errors speak of that one only."""
    return "[list]" if isinstance(value, list) else "[names]" if isinstance(value, dict) else "[one]"


_One = Annotated[Reference, Tag("[one]")]
_List = Annotated[list[Reference], Tag("[list]")]
_Names = Annotated[dict[Identifier, Reference], Tag("[names]")]
Wires = dict[Identifier, Annotated[_One | _List | _Names, Discriminator(_form)]]
Results = dict[
    Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$")],
    Annotated[_One | _List, Discriminator(lambda value: "[list]" if isinstance(value, list) else "[one]")],
]

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From each old version to the next: `MIGRATIONS[1]` turns a version-1 document into version 2."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Node(_Strict):
    """One node: its type, literal params, wires into its ports, and the body where it is a zone."""

    type: Identifier
    mode: Literal["run", "mute", "bypass"] = "run"
    params: dict[Identifier, Any] = {}
    wires: Wires = {}
    body: Body | None = None


class Body(_Strict):
    """The nodes drawn inside a zone, and which of their ports are the body's results."""

    nodes: dict[Identifier, Node] = {}
    results: Results = {}


class Inside(_Strict):
    """What each use of a definition has inside: the inner ports that its body reads, and the results that it gives."""

    ports: list[Identifier] = []
    results: list[Identifier] = []


class Place(_Strict):
    """Where something is drawn: a node, or a frame, note or reroute that only the drawing knows.

    after: what the canvas does with seeds of the node once it has sent off a run, by their names.
    """

    at: tuple[int, int]
    size: tuple[int, int] | None = None
    kind: Literal["node", "frame", "note", "reroute"] = "node"
    collapsed: bool = False
    colour: str | None = None
    text: str | None = None
    wire: str | list[str] | None = None
    after: dict[str, Literal["next", "random"]] | None = None


class Definition(_Strict):
    """A named graph used as a node, any number of times: its inputs are read inside as `inputs.NAME`.

    body: where each use is a zone with a body of its own; a node of type `body` calls it. layout: how the graph is drawn
    where the canvas shows its inside.
    """

    about: str = ""
    inputs: list[Identifier] = []
    body: Inside | None = None
    nodes: dict[Identifier, Node]
    results: Results
    layout: dict[Identifier, Place] = Field(default_factory=dict)


class Exposed(_Strict):
    """What the app view and `--set NAME=` show: parameters and outputs under names of their own."""

    params: dict[Identifier, Reference] = {}
    outputs: dict[Identifier, Reference] = {}


class Workflow(_Strict):
    """A whole workflow file."""

    loom: Literal[1] = 1
    title: str = ""
    about: str = ""
    exposed: Exposed = Exposed()
    definitions: dict[Identifier, Definition] = {}
    nodes: dict[Identifier, Node] = {}
    layout: dict[Identifier, Place] = Field(default_factory=dict)


def walk(nodes: Mapping[str, Node]) -> Iterator[tuple[str, Node]]:
    """Every node, those in bodies too."""
    for id, node in nodes.items():
        yield id, node
        if node.body is not None:
            yield from walk(node.body.nodes)


def read(text: str | bytes, source: str = "workflow") -> Workflow:
    """Read a workflow from its text. Raises WorkflowError with every problem of form; executes nothing."""
    document, problems = parse(text, source)
    document = _migrated(document, source)
    try:
        workflow = Workflow.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise WorkflowError([*problems, *_problems_of_form(error)]) from error
    if problems:
        raise WorkflowError(problems)
    return workflow


def load(path: str | os.PathLike[str]) -> Workflow:
    """Read a workflow file. Raises WorkflowError, naming the file, where it is absent or malformed."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # a pipe or a device would be waited for
            kind = "a folder" if path.is_dir() else "no regular file"
            raise WorkflowError([Problem(f"cannot read {path}: it is {kind}", remedy="Give a workflow file")])
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # a ValueError for a NUL in the path
        if isinstance(error, WorkflowError):
            raise
        why = getattr(error, "strerror", None) or error
        raise WorkflowError(
            [Problem(f"cannot read {path}: {why}", remedy="Give the path of a workflow file")]
        ) from error
    return read(text, str(path))


def write(workflow: Workflow) -> str:
    """The canonical text of a workflow: keys in a fixed order, defaults left out, one line for a small thing."""
    document = workflow.model_dump(mode="json", exclude_defaults=True)
    document = {"loom": VERSION, **document}
    return _render(document, "", "") + "\n"


def save(workflow: Workflow, path: str | os.PathLike[str]) -> None:
    """Write a workflow file atomically."""
    write_atomically(Path(path), write(workflow).encode())


WIDTH = 120


def _render(value: Any, indent: str, key: str) -> str:
    """JSON text of `value`: on one line where it fits, except what must stay one line an entry for a readable diff."""
    several = isinstance(value, dict | list) and bool(value)
    if not several or not (key in ("nodes", "layout", "body", "definitions") or indent == ""):
        line = json.dumps(value, ensure_ascii=False)
        if not several or len(indent) + len(key) + len(line) + 5 <= WIDTH:
            return line
    inner = indent + " "
    if isinstance(value, dict):
        if key == "layout":
            rows = [f"{inner}{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items()]
        else:
            rows = [f"{inner}{json.dumps(k)}: {_render(v, inner, k)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + _render(item, inner, "") for item in value) + f"\n{indent}]"


def _migrated(document: dict[str, Any], source: str) -> dict[str, Any]:
    version = document.get("loom")
    while isinstance(version, int) and version in MIGRATIONS and version < VERSION:
        document = MIGRATIONS[version](document)
        version = document.get("loom")
    if version != VERSION or isinstance(version, bool):
        found = "has no version" if version is None else f"has version {version!r:.60}"
        remedy = foreign(document) or "Update Latent Loom, or check that this is a workflow file"
        raise WorkflowError([Problem(f'{source} {found}; this program reads "loom": {VERSION}', remedy=remedy)])
    return document


def _problems_of_form(error: ValidationError) -> list[Problem]:
    """Pydantic's errors as problems: the innermost node on an error's path, and what follows it."""
    problems: dict[tuple[str, str], Problem] = {}
    for entry in error.errors(include_url=False, include_context=False, include_input=True):
        if len(problems) == MOST_PROBLEMS:
            problems["", ""] = Problem("and more is wrong than is told here", remedy="Mend what is told first")
            break
        path = [shortened(str(part), LONGEST_NAME, quoted=False) for part in entry["loc"]]
        node, rest, at = "", path, 0
        while at + 1 < len(path):
            if path[at] in ("nodes", "layout"):  # the next part is an id, whatever it is called
                node, rest, at = path[at + 1], path[at + 2 :], at + 1
            at += 1
        rest = [part for part in rest if not part.startswith("[")]
        port = ".".join(rest)
        if entry["type"] == "extra_forbidden":
            problem = Problem(
                f"unknown field {rest[-1]!r}" if rest else "unknown field",
                node,
                port,
                did_you_mean(rest[-1] if rest else "", _FIELDS),
            )
        elif entry["type"] == "string_pattern_mismatch":
            problem = Problem(
                f"{shortened(str(entry['input']))} is no valid name",
                node,
                port,
                "Names are lower case: a letter, then letters, digits or _; a wire is node, node.port or node.port.name",
            )
        else:
            problem = Problem(f"{entry['msg'][0].lower()}{entry['msg'][1:]} (found {entry['input']!r:.60})", node, port)
        problems.setdefault((node, port), problem)
    return list(problems.values())


_FIELDS = sorted(
    {name for model in (Workflow, Node, Body, Definition, Inside, Exposed, Place) for name in model.model_fields}
)
