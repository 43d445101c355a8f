"""The shapes of what the server sends: runs, workers, files, node specifications, events.

`python -m ui.types` turns them into TypeScript; `ui/API.md` tells what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BaseModel, BeforeValidator
from typing_extensions import TypedDict

from graph_runner.base import events as engine_events

Status = Literal["queued", "running", "stopping", "done", "failed", "stopped", "interrupted"]
LIVE: tuple[Status, ...] = ("queued", "running", "stopping")
"""The states of a run that is not over."""


LONGEST_SENTENCE = 2000
"""Characters of a sentence to people; it may quote what was sent, which may be of any length."""


def printable(text: object) -> str:
    """A text that can be sent: no half characters (lone surrogates), and not too long."""
    said = str(text).encode(errors="replace").decode()
    return said if len(said) <= LONGEST_SENTENCE else said[:LONGEST_SENTENCE] + "…"


Sentence = Annotated[str, BeforeValidator(printable)]


class Problem(BaseModel):
    """One thing to mend in a workflow (`graph_runner.base.problems.Problem`)."""

    node: Sentence
    port: Sentence
    message: Sentence
    remedy: Sentence
    severity: Literal["error", "warning"]


class Refusal(BaseModel):
    """The body of every answer that is an error: a sentence, and for a wrong workflow its problems."""

    error: Sentence
    problems: list[Problem] = []


class Solved(BaseModel):
    """The type of a port once type variables are solved."""

    type: str
    list: int


class Validation(BaseModel):
    """What is wrong with a workflow, and the types on its wires; keys as a wire would name the port."""

    problems: list[Problem]
    types: dict[str, Solved]


class NodeEstimate(BaseModel):
    """What a node will do: the shapes of what it gives, floating-point operations over all turns, how often it runs.

    open: why it cannot be told before the run; empty where it can.
    """

    type: str
    gives: dict[str, str]
    flops: float
    parameters: int
    runs: float
    open: str


class Estimate(BaseModel):
    """What a run will do, found without computing anything. memory: bytes of tensors at once, at most, in `memory_at`."""

    problems: list[Problem]
    nodes: dict[str, NodeEstimate]
    flops: float
    memory: int
    memory_at: str


class Document(BaseModel):
    """A workflow: its canonical text, the same as an object, and the etag of the file it was read from."""

    path: str
    text: str
    workflow: Any
    etag: str
    shipped: bool


class WorkflowEntry(BaseModel):
    """A workflow in the list; `problem` says why it cannot be opened, where it cannot."""

    path: str
    name: str
    title: str
    about: str
    shipped: bool
    modified: float
    thumbnail: str | None
    app: str
    problem: str


class FileEntry(BaseModel):
    """A file or folder of the workspace; `path` is relative to it."""

    path: str
    name: str
    kind: Literal["file", "folder"]
    media: str
    size: int
    modified: float
    url: str


class Run(BaseModel):
    """A run's summary. Times are seconds since 1970; `position` 1 is next in the queue, 0 is not waiting."""

    run: int
    title: str
    status: Status
    device: str
    seed: int
    targets: list[str]
    created: float
    started: float | None
    ended: float | None
    folder: str
    error: str
    node: str
    events: int
    position: int


class RunDetail(Run):
    """A run with what it ran."""

    text: str
    workflow: Any
    environment: dict[str, Any]
    problems: list[Problem]


class Worker(BaseModel):
    """The process that runs graphs on one device."""

    device: str
    name: str
    state: Literal["starting", "idle", "busy", "down"]
    run: int | None
    pid: int | None


class Queue(BaseModel):
    """What runs and what waits, first the next."""

    running: list[Run]
    queued: list[Run]
    workers: list[Worker]


class Output(BaseModel):
    """A file that a run showed; `n` is the number of the event that told so."""

    n: int
    node: str
    path: str
    url: str
    media: str
    preview: bool
    turn: int | None
    size: int


class Series(BaseModel):
    """One metric of one node along the turns."""

    node: str
    name: str
    turns: list[int]
    values: list[float | None]


class Limits(BaseModel):
    """What the server takes, in bytes."""

    workflow: int
    picture: int
    upload: int


class About(BaseModel):
    """The server: `boot` is another one after each start. notice: what people must be told of this start; "" is nothing.

    login: whether it lets people in by a password or a token, and so out again at `logout`.
    """

    version: str
    workspace: str
    boot: str
    dtype: str
    workers: list[Worker]
    limits: Limits
    notice: str
    login: bool


class PlainType(TypedDict):
    """A type of plain Python, so many lists deep."""

    type: str
    list: int


class WireType(TypedDict):
    """A type of wires: its symbolic shape, the types that its ports take besides, and what the engine's rules know of it.

    nominal: whether it is one by name. plain: what its values are in plain Python, where a literal could hold them.
    within: the bounds of type variables that it fits. storable: whether the disk can keep it.
    """

    shape: str
    accepts: list[str]
    about: str
    nominal: bool
    plain: PlainType | None
    within: list[str]
    storable: bool


class Port(TypedDict):
    """A port of a node; an input that may be typed in has a JSON Schema.

    list: how many lists deep. either: one value will do where the list is taken. bound: the class that a type variable is
    bound to.
    """

    name: str
    type: str
    list: int
    either: bool
    variable: bool
    bound: str
    named: bool
    required: bool
    shape: str
    help: str
    schema: NotRequired[dict[str, Any]]
    default: NotRequired[Any]
    path: NotRequired[Literal["file", "folder", "file or folder"]]


class ZoneSpec(TypedDict):
    """The inside of a zone: the ports its nodes read, and the results they give."""

    ports: list[Port]
    results: list[Port]


class NodeSpec(TypedDict):
    """A node's specification (`graph_runner.catalog.describe`): all that is needed to draw it."""

    type: str
    category: str
    version: int
    summary: str
    documentation: str
    inputs: list[Port]
    outputs: list[Port]
    body: ZoneSpec | None
    effect: bool
    loops: bool
    aside: bool
    draws: bool
    keep: bool
    trains: bool
    mutates: list[str]
    grad: list[str]
    formerly: list[str]


class Catalog(TypedDict):
    """Every node by type and every wire type by name."""

    nodes: dict[str, NodeSpec]
    types: dict[str, WireType]


@dataclass(frozen=True)
class Value:
    """What a target of the run is: a number or a text as it is, a tensor summarised."""

    target: str
    text: str


@dataclass(frozen=True)
class Refused:
    """The workflow was found wrong only when the run began (an absent file): nothing was computed."""

    problems: list[Problem]


EVENTS: tuple[type, ...] = (
    engine_events.Planned,
    engine_events.Started,
    engine_events.Progress,
    engine_events.Shown,
    engine_events.Metric,
    engine_events.Cached,
    engine_events.Finished,
    engine_events.Failed,
    engine_events.Log,
    Value,
    Refused,
    engine_events.Ended,
)
"""Every kind of event of a run's stream: the engine's, and what the server adds."""

RunEvent = dict[str, Any]
"""An event as it is sent: `n`, `time`, `event` (the kind) and the kind's fields that hold something."""
