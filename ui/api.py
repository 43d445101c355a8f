"""What the server can do: the functions behind `/api/NAME` and Gradio's endpoints of the same names (see API.md)."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import Field

from graph_runner.describe import describe_all
from graph_runner.registry import Registry
from graph_runner.workflow import Workflow
from ui import library
from ui.adoption import finished_elsewhere
from ui.estimates import estimate
from ui.library import Library
from ui.models import (
    About,
    Catalog,
    Document,
    Estimate,
    FileEntry,
    Output,
    Problem,
    Queue,
    Run,
    RunDetail,
    RunEvent,
    Series,
    Validation,
    WorkflowEntry,
)
from ui.refusal import RefusedError
from ui.runs import RunManager
from ui.workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])
AnyWorkflow = dict[str, Any] | str
RunNumber = Annotated[int, Field(ge=0)]
Paths = Annotated[list[str], Field(max_length=200)]


def call(*, reads: bool = False) -> Callable[[F], F]:
    """Mark a method as a call. reads: it changes nothing, so GET will do."""

    def mark(method: F) -> F:
        method.__call_reads__ = reads  # type: ignore[attr-defined]
        return method

    return mark


class Api:
    """The calls. Those that touch runs are coroutines of the server's loop; the others may run in any thread."""

    def __init__(
        self,
        workspace: Workspace,
        registry: Registry,
        manager: RunManager,
        about: Callable[[], About],
        workflows_changed: Callable[[], None],
        confined: bool,
        packages: Sequence[str] = (),
    ) -> None:
        self.workspace, self.registry, self.manager, self.confined = workspace, registry, manager, confined
        self.library = Library(workspace)
        self._packages = packages
        self._about, self._workflows_changed = about, workflows_changed
        self._catalog = describe_all(registry.values())

    @classmethod
    def names(cls) -> list[str]:
        """The names of all calls."""
        return [name for name, value in vars(cls).items() if hasattr(value, "__call_reads__")]

    def check(self, workflow: AnyWorkflow) -> tuple[Workflow | None, Validation]:
        """A workflow, None where its form is wrong, and all that is wrong with it."""
        return library.checked(workflow, self.registry, self.workspace.root, self.confined)

    async def _checked(self, workflow: AnyWorkflow) -> Workflow:
        """A workflow that can run. Raises RefusedError with every problem where it cannot."""
        valid, validation = await asyncio.to_thread(self.check, workflow)
        wrong = [problem for problem in validation.problems if problem.severity == "error"]
        if valid is None or wrong:
            raise RefusedError(422, "the workflow cannot run yet: " + _sentence(wrong), validation.problems)
        return valid

    @call(reads=True)
    async def about(self) -> About:
        """The server: version, workspace, workers, limits."""
        return self._about()

    @call(reads=True)
    def nodes(self) -> Catalog:
        """Every node's specification and every wire type."""
        return self._catalog  # type: ignore[return-value]

    @call()
    def validate(self, workflow: AnyWorkflow) -> Validation:
        """All that is wrong with a workflow, as the command line says it, and the types on its wires."""
        return self.check(workflow)[1]

    @call()
    async def estimate(self, workflow: AnyWorkflow) -> Estimate:
        """What a run would do: shapes, operations, memory, shapes that do not fit. Takes seconds; computes nothing."""
        return await estimate(await self._checked(workflow), self.workspace, self._packages)

    @call()
    def canonical(self, workflow: AnyWorkflow) -> Document:
        """A workflow's canonical text."""
        return library.document_of(library.parsed(workflow))

    @call()
    async def submit(
        self,
        workflow: AnyWorkflow,
        targets: list[str] = [],  # noqa: B006 (read only; Gradio shows the default)
        only: bool = False,
        seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
        fresh: bool = False,
        device: str = "",
    ) -> Run:
        """Queue a run of all that has an effect, and of `targets`. Refused with every problem where the workflow is wrong."""
        valid = await self._checked(workflow)
        text = library.document_of(valid).text
        return self.manager.submit(valid.title or "untitled", text, targets, only, seed, fresh, device)

    @call()
    async def cancel(self, run: RunNumber, force: bool = False) -> Run:
        """Stop a run at the end of its turn (force: at once), or take it out of the queue."""
        return self.manager.cancel(run, force)

    @call(reads=True)
    async def queue(self) -> Queue:
        """What runs, what waits, and the workers."""
        return self.manager.queue()

    @call(reads=True)
    async def history(
        self, limit: Annotated[int, Field(ge=1, le=1000)] = 50, before: Annotated[int, Field(ge=0)] = 0
    ) -> list[Run]:
        """Runs, newest first, those that the command line made in this workspace among them."""
        ledger = self.manager.ledger
        for found in await asyncio.to_thread(finished_elsewhere, self.workspace.root, ledger.folders()):
            if found.folder not in ledger.folders():
                ledger.adopt(found.folder, found.title, found.text, found.environment, found.events)
        return ledger.newest(limit, before)

    @call(reads=True)
    async def run(self, run: RunNumber) -> RunDetail:
        """A run with what it ran and in which surroundings."""
        summary = self.manager.get(run)
        environment = {}
        path = self.workspace.root / summary.folder / "environment.json"
        if summary.folder and path.is_file():
            environment = json.loads(path.read_text())
        detail = self.manager.ledger.detail(run, environment)
        assert detail is not None
        return detail

    @call(reads=True)
    async def events(
        self,
        run: RunNumber,
        after: Annotated[int, Field(ge=0)] = 0,
        limit: Annotated[int, Field(ge=1, le=10_000)] = 1000,
    ) -> list[RunEvent]:
        """A run's events with numbers above `after`."""
        self.manager.get(run)
        return self.manager.ledger.events(run, after, limit)

    @call(reads=True)
    async def outputs(self, run: RunNumber) -> list[Output]:
        """The files a run showed, oldest first, as far as they are still there."""
        self.manager.get(run)
        found = []
        for output in self.manager.ledger.outputs(run):
            path = self.workspace.root / output.path
            if path.is_file():
                extra = {"url": self.workspace.url(output.path), "size": path.stat().st_size}
                found.append(output.model_copy(update=extra))
        return found

    @call(reads=True)
    async def metrics(self, run: RunNumber, points: Annotated[int, Field(ge=2, le=100_000)] = 2000) -> list[Series]:
        """A run's metrics along its turns, thinned."""
        self.manager.get(run)
        return await asyncio.to_thread(self.manager.ledger.metrics, run, points)

    @call()
    async def remove(self, run: RunNumber) -> bool:
        """Forget a run that is over, and delete its folder."""
        gone = self.manager.remove(run)
        if gone.folder:
            await asyncio.to_thread(shutil.rmtree, self.workspace.root / gone.folder, ignore_errors=True)
        return True

    @call(reads=True)
    def workflows(self) -> list[WorkflowEntry]:
        """Every workflow, shipped ones first."""
        return self.library.listing()

    @call(reads=True)
    def open(self, path: str) -> Document:
        """A workflow from a file or from a picture."""
        return self.library.open(path)

    @call()
    def stamps(self, paths: Paths) -> dict[str, str]:
        """The etags of workflow files as they are now, by their paths; empty where there is none."""
        return {path: self.library.stamp(path) for path in paths}

    @call()
    async def save(self, path: str, workflow: AnyWorkflow, etag: str = "", overwrite: bool = False) -> Document:
        """Write a workflow, in its canonical form, below `workflows/`."""
        document = await asyncio.to_thread(lambda: self.library.save(path, library.parsed(workflow), etag, overwrite))
        self._workflows_changed()
        return document

    @call()
    async def discard(self, path: str) -> bool:
        """Delete a user's workflow file."""
        self.library.discard(path)
        self._workflows_changed()
        return True

    @call(reads=True)
    def files(self, folder: str = "") -> list[FileEntry]:
        """What a folder of the workspace holds."""
        return self.workspace.listing(folder)


def _sentence(problems: list[Problem]) -> str:
    """The first problem, and how many more there are."""
    first = problems[0]
    where = ".".join(part for part in (first.node, first.port) if part)
    text = f"{where}: {first.message}" if where else first.message
    return text if len(problems) == 1 else f"{text} (and {len(problems) - 1} more)"
