"""The workflow file, version 1: JSON made to be read and diffed (docs/workflow-format.md).

`read` and `load` give a `Workflow`, `write` and `save` its one canonical text: loading and saving is byte-stable. Wires
always name ports, params are always literals; layout stands apart and last, outside every hash.
"""

from __future__ import annotations

import json
import math
import os
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, ValidationError

from graph_runner.problems import Problem, WorkflowError, did_you_mean

VERSION = 1
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Reference = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){0,2}$")]


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


class Definition(_Strict):
    """A named graph used as a node, any number of times: its inputs are read inside as `inputs.NAME`."""

    about: str = ""
    inputs: list[Identifier] = []
    nodes: dict[Identifier, Node]
    results: Results


class Exposed(_Strict):
    """What the app view and `--set NAME=` show: parameters and outputs under names of their own."""

    params: dict[Identifier, Reference] = {}
    outputs: dict[Identifier, Reference] = {}


class Place(_Strict):
    """Where something is drawn: a node, or a frame, note or reroute that only the drawing knows."""

    at: tuple[int, int]
    size: tuple[int, int] | None = None
    kind: Literal["node", "frame", "note", "reroute"] = "node"
    collapsed: bool = False
    colour: str | None = None
    text: str | None = None
    wire: str | None = None


class Workflow(_Strict):
    """A whole workflow file."""

    loom: Literal[1] = 1
    title: str = ""
    about: str = ""
    exposed: Exposed = Exposed()
    definitions: dict[Identifier, Definition] = {}
    nodes: dict[Identifier, Node] = {}
    layout: dict[Identifier, Place] = Field(default_factory=dict)


def read(text: str | bytes, source: str = "workflow") -> Workflow:
    """Read a workflow from its text. Raises WorkflowError with every problem of form; executes nothing."""
    problems: list[Problem] = []
    try:
        document = json.loads(
            text,
            object_pairs_hook=_unique(source, problems),
            parse_float=_finite(source, problems),
            parse_constant=_finite(source, problems),
        )
    except (ValueError, RecursionError) as error:
        detail = (
            f"line {error.lineno}, column {error.colno}: {error.msg}"
            if isinstance(error, json.JSONDecodeError)
            else str(error)
        )
        raise WorkflowError(
            [Problem(f"{source} is no valid JSON ({detail})", remedy="Open it in an editor and mend that place")]
        ) from error
    if not isinstance(document, dict):
        raise WorkflowError(
            [Problem(f"{source} holds no JSON object", remedy='A workflow begins with {"loom": 1, "nodes": …}')]
        )
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
        return read(path.read_bytes(), str(path))
    except OSError as error:
        raise WorkflowError(
            [Problem(f"cannot read {path}: {error.strerror or error}", remedy="Give the path of a workflow file")]
        ) from error


def write(workflow: Workflow) -> str:
    """The canonical text of a workflow: keys in a fixed order, defaults left out, one line for a small thing."""
    document = workflow.model_dump(mode="json", exclude_defaults=True)
    document = {"loom": VERSION, **document}
    return _render(document, "", "") + "\n"


def save(workflow: Workflow, path: str | os.PathLike[str]) -> None:
    """Write a workflow file atomically."""
    write_atomically(Path(path), write(workflow).encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old one or the new one and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


WIDTH = 120


def _render(value: Any, indent: str, key: str) -> str:
    """JSON text of `value`: on one line where it fits, except what must stay one line an entry for a readable diff."""
    line = json.dumps(value, ensure_ascii=False)
    opened = key in ("nodes", "layout", "body", "definitions") or indent == ""
    if (
        not isinstance(value, dict | list)
        or not value
        or (not opened and len(indent) + len(key) + len(line) + 5 <= WIDTH)
    ):
        return line
    inner = indent + " "
    if isinstance(value, dict):
        if key == "layout":
            rows = [f"{inner}{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items()]
        else:
            rows = [f"{inner}{json.dumps(k)}: {_render(v, inner, k)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + _render(item, inner, "") for item in value) + f"\n{indent}]"


def _unique(source: str, problems: list[Problem]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            problems.extend(
                Problem(
                    f"{source} holds the key {key!r} twice in one object", key, remedy="Rename or remove one of them"
                )
                for key, n in counts.items()
                if n > 1
            )
        return result

    return build


def _finite(source: str, problems: list[Problem]) -> Callable[[str], float]:
    def build(literal: str) -> float:
        value = float(literal)
        if not math.isfinite(value):
            problems.append(Problem(f"{source} holds the number {literal}", remedy="JSON has finite numbers only"))
        return value

    return build


def _migrated(document: dict[str, Any], source: str) -> dict[str, Any]:
    version = document.get("loom")
    while isinstance(version, int) and version in MIGRATIONS and version < VERSION:
        document = MIGRATIONS[version](document)
        version = document.get("loom")
    if version != VERSION or isinstance(version, bool):
        found = "has no version" if version is None else f"has version {version!r}"
        raise WorkflowError(
            [
                Problem(
                    f'{source} {found}; this program reads "loom": {VERSION}',
                    remedy="Update Latent Loom, or check that this is a workflow file",
                )
            ]
        )
    return document


def _problems_of_form(error: ValidationError) -> list[Problem]:
    """Pydantic's errors as problems: the innermost node on an error's path, and what follows it."""
    problems: dict[tuple[str, str], Problem] = {}
    for entry in error.errors(include_url=False, include_context=False, include_input=True):
        path = [str(part) for part in entry["loc"]]
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
                f"{entry['input']!r} is no valid name",
                node,
                port,
                "Names are lower case: a letter, then letters, digits or _; a wire is node, node.port or node.port.name",
            )
        else:
            problem = Problem(f"{entry['msg'][0].lower()}{entry['msg'][1:]} (found {entry['input']!r:.60})", node, port)
        problems.setdefault((node, port), problem)
    return list(problems.values())


_FIELDS = sorted({name for model in (Workflow, Node, Body, Definition, Exposed, Place) for name in model.model_fields})
