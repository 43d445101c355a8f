"""What goes over the page's WebSocket, in both directions (`ui.live`)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from ui.schemas import About, Number, Queue, Run, RunEvent, Worker


class Hello(TypedDict):
    """The first message, once: the server, and its queue."""

    hello: About
    queue: Queue


class RunsChanged(TypedDict):
    """Runs whose summary changed: submitted, started, ended, moved up in the queue."""

    runs: list[Run]


class RunsRemoved(TypedDict):
    """The numbers of runs that were removed."""

    removed: list[int]


class WorkersChanged(TypedDict):
    """All workers, whenever one changes its state."""

    workers: list[Worker]


class EventsAdded(TypedDict):
    """Events of a subscribed run, in order, without gaps."""

    run: int
    events: list[RunEvent]


class CaughtUp(TypedDict):
    """All events of a run that existed at the subscription have been sent, up to number `n`; what follows is live."""

    caught_up: int
    n: int


class WorkflowsChanged(TypedDict):
    """The list of workflows changed: fetch it again if it is shown."""

    workflows: Literal[True]


class NodesChanged(TypedDict):
    """Node packages were loaded anew: fetch the catalogue again."""

    nodes: Literal[True]


class NotUnderstood(TypedDict):
    """The page's last message could not be understood; the socket stays."""

    error: str


ServerMessage = (
    Hello
    | RunsChanged
    | RunsRemoved
    | WorkersChanged
    | EventsAdded
    | CaughtUp
    | WorkflowsChanged
    | NodesChanged
    | NotUnderstood
)


class ClientMessage(BaseModel):
    """What a page says: one of `subscribe` and `unsubscribe`, each with a run's number.

    after: events with larger numbers are sent. brief: while catching up, progress that a later progress of the node overtook
    is left out (numbers then have gaps). metrics: false leaves metrics out while catching up; the call `metrics` has them,
    thinned, for long trainings.
    """

    model_config = ConfigDict(extra="forbid")
    subscribe: Number | None = None
    unsubscribe: Number | None = None
    after: Number = 0
    brief: bool = False
    metrics: bool = True
