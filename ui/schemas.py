"""What the server takes and sends beside the engine's own types: runs, workers, files, events.

`python -m ui.openapi` describes them in ui/openapi.json, of which ui/API.md and the page's types are made.
"""

from __future__ import annotations

import typing
from dataclasses import MISSING, dataclass, fields, replace
from typing import Annotated, Any, Literal, NotRequired

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import TypedDict

from graph_runner.base import events as engine_events
from graph_runner.base.problems import Problem
from graph_runner.estimate.dry import NodeEstimate

Status = Literal["queued", "running", "stopping", "done", "failed", "stopped", "interrupted"]
LIVE: tuple[Status, ...] = ("queued", "running", "stopping")
"""The states of a run that is not over."""


Number = Annotated[int, Field(ge=0, lt=2**63)]
"""What SQLite can count to."""
LONGEST_SENTENCE = 2000
"""Characters of a sentence to people; it may quote what was sent, which may be of any length."""


def printable(text: object) -> str:
    """A text that can be sent: no half characters (lone surrogates), and not too long."""
    said = str(text).encode(errors="replace").decode()
    return said if len(said) <= LONGEST_SENTENCE else said[:LONGEST_SENTENCE] + "…"


Sentence = Annotated[str, BeforeValidator(printable)]


def sendable(problem: Problem) -> Problem:
    """A problem with texts that can be sent; what is quoted in them may be anything."""
    node, port, message, remedy = map(printable, (problem.node, problem.port, problem.message, problem.remedy))
    return replace(problem, node=node, port=port, message=message, remedy=remedy)


ToldProblem = Annotated[Problem, AfterValidator(sendable)]


class Answer(BaseModel):
    """What the server sends, always with all of its fields."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class Refusal(Answer):
    """The body of every answer that is an error: a sentence, and for a wrong workflow its problems."""

    error: Sentence
    problems: list[ToldProblem] = []


class Solved(Answer):
    """The type of a port once type variables are solved."""

    type: str
    list: int


class Validation(Answer):
    """What is wrong with a workflow, and the types on its wires; keys as a wire would name the port.

    A problem's node "exposed" is that section of the file, its port "results.x" a body's result. `mark` names the workflow to
    `revalidate` for a while; empty where that cannot be.
    """

    problems: list[ToldProblem]
    types: dict[str, Solved]
    mark: str = ""


class Estimate(Answer):
    """What a run will do, found without computing anything. memory: bytes of tensors at once, at most, in `memory_at`.

    parts: of that, what each takes: weights, gradients, optimizer, averages, models, communication, activations. It is the memory
    of one of so many processes, which split the models that train where it is sharded.
    """

    problems: list[ToldProblem]
    nodes: dict[str, NodeEstimate]
    flops: float
    memory: int
    memory_at: str
    parts: dict[str, int] = {}
    processes: int = 1
    sharded: bool = False


class PythonScript(Answer):
    """A workflow as Python: the script's text, and a sentence for each thing that it does without."""

    text: str
    left_out: list[str]


class Document(Answer):
    """A workflow: its canonical text, the same as an object, the etag of its file, and remarks on one that another program made."""

    path: str
    text: str
    workflow: Any
    etag: str
    shipped: bool
    remarks: list[str]


class WorkflowEntry(Answer):
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


class WorkflowPath(Answer):
    """Where a user's workflow now lies."""

    path: str


class Discarded(Answer):
    """A deleted workflow that can be had back: where it was, and when it was deleted."""

    path: str
    time: float


class BlueprintEntry(Answer):
    """A blueprint: the text of the workflow whose definition of this name it is; `problem` says why it cannot be used, where it cannot."""

    name: str
    about: str
    text: str
    problem: str


class FileEntry(Answer):
    """A file or folder of the workspace; `path` is relative to it."""

    path: str
    name: str
    kind: Literal["file", "folder"]
    media: str
    size: int
    modified: float
    url: str


class Run(Answer):
    """A run's summary. `position` 1 is next in the queue, 0 is not waiting.

    folder: "runs/…", "" before it starts. error, node: what failed, and on which node. events: how many so far.
    profile: whether it was asked to measure its nodes. options: those that were set for this run. changes: what is otherwise than
    in the run before of the same title, in words. picture: the newest that it showed, "" is none.
    """

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
    profile: bool
    options: dict[str, str | int | bool] = {}
    changes: list[str] = []
    picture: str = ""


class RunDetail(Run):
    """A run with what it ran."""

    text: str
    workflow: Any
    environment: dict[str, Any]
    problems: list[ToldProblem]


class Template(Answer):
    """A piece of a graph to paste: a workflow's canonical text."""

    name: str
    title: str
    about: str
    text: str


class Worker(Answer):
    """The process that runs graphs on one device."""

    device: str
    name: str
    state: Literal["starting", "idle", "busy", "down"]
    run: int | None
    pid: int | None


class Queue(Answer):
    """What runs and what waits, first the next."""

    running: list[Run]
    queued: list[Run]
    workers: list[Worker]


class Output(Answer):
    """A file that a run showed; `n` is the number of the event that told so."""

    n: int
    node: str
    path: str
    url: str
    media: str
    preview: bool
    turn: int | None
    size: int


class FoundPicture(Output):
    """A picture of a run that is over; `title` is its workflow's."""

    run: int
    title: str
    favourite: bool


class FoundPictures(Answer):
    """Pictures, newest first. before: ask with it for those of older runs, 0 where there are none."""

    pictures: list[FoundPicture]
    before: int


class FolderPlace(Answer):
    """Where to begin to look: a name for people, and the folder's path."""

    name: str
    path: str


class Folder(Answer):
    """A folder of the machine that the server runs on, named `host`. parent: the folder above, null where there is none to see.

    path, and those of entries: within the workspace relative to it, else absolute.
    """

    path: str
    parent: str | None
    host: str
    places: list[FolderPlace]
    entries: list[FileEntry]


class Series(Answer):
    """One metric of one node along the steps."""

    node: str
    name: str
    turns: list[int]
    values: list[float | None]


class NodeProfile(Answer):
    """What one node took, over all of its calls. own_seconds: without the nodes inside of it.

    device_seconds: of the accelerator, null where there is none. memory: bytes by which it grew at most.
    """

    type: str
    calls: int
    seconds: float
    own_seconds: float
    device_seconds: float | None
    memory: int


class Profile(Answer):
    """What a run took, and each of its nodes.

    memory_of: which memory was looked at, in words. trace: the address of its moments as a file that Perfetto opens, "" is none.
    """

    seconds: float
    memory_of: str = ""
    nodes: dict[str, NodeProfile]
    trace: str = ""


class Limits(Answer):
    """What the server takes, in bytes."""

    workflow: int
    picture: int
    upload: int


class Option(Answer):
    """An option of a run, as the command line has it. default: what holds where a run says nothing; null is nobody's choice.

    folded: it is for few people.
    """

    name: str
    kind: Literal["choice", "flag", "number", "text"]
    choices: list[str]
    help: str
    default: str | int | bool | None
    folded: bool


class WorkerMemory(Answer):
    """What a worker takes, in bytes; null is not told. resident: of the host. used, free, total: of its device, where that is another."""

    device: str
    resident: int | None = None
    used: int | None = None
    free: int | None = None
    total: int | None = None


class Memory(Answer):
    """Memory in bytes, as it is now: of the machine, and of each worker that has told."""

    total: int | None
    free: int | None
    workers: list[WorkerMemory]


class About(Answer):
    """The server: `boot` is another one after each start. notice: what people must be told of this start; "" is nothing.

    login: whether it lets people in by a password or a token, and so out again at `logout`. options: what a run may be asked.
    """

    version: str
    workspace: str
    boot: str
    dtype: str
    workers: list[Worker]
    limits: Limits
    notice: str
    login: bool
    options: list[Option]


@dataclass(frozen=True)
class Value:
    """What a target of the run is: a number or a text as it is, a tensor summarised."""

    target: str
    text: str


@dataclass(frozen=True)
class Refused:
    """The workflow was found wrong only when the run began (an absent file): nothing was computed."""

    problems: list[ToldProblem]


KINDS: tuple[type, ...] = (
    engine_events.Planned,
    engine_events.Started,
    engine_events.Progress,
    engine_events.Shown,
    engine_events.Metric,
    engine_events.Cached,
    engine_events.Finished,
    engine_events.Placed,
    engine_events.Failed,
    engine_events.Log,
    Value,
    Refused,
    engine_events.Ended,
)
"""Every kind of event of a run's stream: the engine's, and what the server adds."""

SENT: dict[str, dict[str, Any]] = {
    "Metric": {"values": dict[str, float | None]},
    "Ended": {"status": Literal["done", "failed", "stopped", "interrupted"]},
}
"""Fields that are sent as something else: a number that is not finite is null; the server knows one more end."""


def _as_sent(kind: type) -> Any:
    """An event's type as it is sent: numbered and dated, and without the fields that hold nothing."""
    types = typing.get_type_hints(kind) | SENT.get(kind.__name__, {})
    sent: dict[str, Any] = {"event": Literal[kind.__name__.lower()], "n": int, "time": float}
    for each in fields(kind):
        some = [one for one in typing.get_args(types[each.name]) if one is not type(None)]
        plain = some[0] if type(None) in typing.get_args(types[each.name]) else types[each.name]
        sent[each.name] = plain if each.default is MISSING else NotRequired[plain]
    made: Any = TypedDict(f"{kind.__name__}Event", sent)  # type: ignore[misc]
    made.__doc__ = kind.__doc__
    return made


AnyEvent: Any = typing.Union[tuple(_as_sent(kind) for kind in KINDS)]  # noqa: UP007 (made of a list)


@dataclass(frozen=True)
class SentAs:
    """The JSON Schema of another type, for what is kept as JSON and sent as it lies there."""

    kind: Any

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """What pydantic asks for a schema."""
        return handler(TypeAdapter(self.kind).core_schema)


RunEvent = Annotated[dict[str, Any], SentAs(AnyEvent)]
"""An event as it is sent: `n`, `time`, `event` (the kind) and the kind's fields that hold something."""
