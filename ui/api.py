"""What the server can do: the functions behind `/api/NAME` and Gradio's endpoints of the same names (see API.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from graph_runner.base.files import remove
from graph_runner.catalog.describe import describe_all
from graph_runner.contract import Seed
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from ui import library
from ui.adoption import finished_elsewhere
from ui.estimates import estimate
from ui.ledger import parsed
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
Number = Annotated[int, Field(ge=0, lt=2**63)]
"""What SQLite can count to."""
RunNumber = Number
Name = Annotated[str, Field(max_length=4096)]
"""A path, or less; half characters are no part of it."""
Paths = Annotated[list[Name], Field(max_length=200)]
LARGEST_RECORD = 2**20
"""Bytes of what a run's folder tells of its surroundings."""


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
        lent: Sequence[Path] = (),
    ) -> None:
        self.workspace, self.registry, self.manager, self.confined = workspace, registry, manager, confined
        self.library = Library(workspace, registry)
        self.lent = tuple(lent)
        self._packages = packages
        self._about, self._workflows_changed = about, workflows_changed
        self._catalog = describe_all(registry.values())
        self._adopting = asyncio.Lock()

    @classmethod
    def names(cls) -> list[str]:
        """The names of all calls."""
        return [name for name, value in vars(cls).items() if hasattr(value, "__call_reads__")]

    def check(self, workflow: AnyWorkflow) -> tuple[Workflow | None, Validation]:
        """A workflow, None where its form is wrong, and all that is wrong with it."""
        return library.checked(workflow, self.registry, self.workspace.root, self.confined, self.lent)

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
        roots = (self.workspace.root, *self.lent) if self.confined else ()
        return await estimate(await self._checked(workflow), self.workspace, self._packages, roots)

    @call()
    def canonical(self, workflow: AnyWorkflow) -> Document:
        """A workflow's canonical text."""
        return self.library.document(library.parsed(workflow))

    @call()
    async def submit(
        self,
        workflow: AnyWorkflow,
        targets: Annotated[list[Name], Field(max_length=1000)] = [],  # noqa: B006 (read only; Gradio shows the default)
        only: bool = False,
        seed: Seed = 0,
        fresh: bool = False,
        device: Name = "",
        check_numbers: bool = False,
    ) -> Run:
        """Queue a run of all that has an effect, and of `targets`. Refused with every problem where the workflow is wrong."""
        valid = await self._checked(workflow)
        text = (await asyncio.to_thread(self.library.document, valid)).text
        return self.manager.submit(valid.title or "untitled", text, targets, only, seed, fresh, device, check_numbers)

    @call()
    async def cancel(self, run: RunNumber, force: bool = False) -> Run:
        """Stop a run at the end of its turn (force: at once), or take it out of the queue."""
        return self.manager.cancel(run, force)

    @call(reads=True)
    async def queue(self) -> Queue:
        """What runs, what waits, and the workers."""
        return self.manager.queue()

    @call(reads=True)
    async def history(self, limit: Annotated[int, Field(ge=1, le=1000)] = 50, before: Number = 0) -> list[Run]:
        """Runs, newest first, those that the command line made in this workspace among them."""
        ledger = self.manager.ledger

        def adopt() -> None:
            for found in finished_elsewhere(self.workspace.root, ledger.folders()):
                ledger.adopt(found)

        async with self._adopting:  # no run twice
            await asyncio.to_thread(adopt)
        return await asyncio.to_thread(ledger.newest, limit, before)

    @call(reads=True)
    async def run(self, run: RunNumber) -> RunDetail:
        """A run with what it ran and in which surroundings."""
        folder = self.manager.get(run).folder
        environment = await asyncio.to_thread(self._environment, folder) if folder else {}
        detail = await asyncio.to_thread(self.manager.ledger.detail, run, environment)
        if detail is None:
            raise RefusedError(404, f"run {run} was removed")
        return detail

    def _environment(self, folder: str) -> dict[str, Any]:
        """What a run's folder tells of its surroundings, nothing where it is damaged."""
        path = self.workspace.root / folder / "environment.json"
        try:
            if not path.is_file() or path.stat().st_size > LARGEST_RECORD:
                return {}
            told: dict[str, Any] = parsed(path.read_text(errors="replace"), {})
        except OSError:
            return {}
        return told

    @call(reads=True)
    async def events(
        self,
        run: RunNumber,
        after: Number = 0,
        limit: Annotated[int, Field(ge=1, le=10_000)] = 1000,
    ) -> list[RunEvent]:
        """A run's events with numbers above `after`: `limit` of them, or fewer where they are large, but one at least."""
        self.manager.get(run)
        return await asyncio.to_thread(self.manager.ledger.events, run, after, limit)

    @call(reads=True)
    async def outputs(self, run: RunNumber) -> list[Output]:
        """The files a run showed, oldest first, as far as they are still there."""
        self.manager.get(run)
        return await asyncio.to_thread(self._outputs, run)

    def _outputs(self, run: int) -> list[Output]:
        found = []
        for output in self.manager.ledger.outputs(run):
            try:
                size = self.workspace.file(output.path).stat().st_size
            except (RefusedError, OSError):
                continue
            found.append(output.model_copy(update={"url": self.workspace.url(output.path), "size": size}))
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
            with suppress(OSError):  # gone already, or not to be removed: then it stays
                await asyncio.to_thread(remove, self.workspace.root / gone.folder)
        return True

    @call(reads=True)
    def workflows(self) -> list[WorkflowEntry]:
        """Every workflow, shipped ones first."""
        return self.library.listing()

    @call(reads=True)
    def open(self, path: Name) -> Document:
        """A workflow from a file or from a picture."""
        return self.library.open(path)

    @call()
    def stamps(self, paths: Paths) -> dict[str, str]:
        """The etags of workflow files as they are now, by their paths; empty where there is none."""
        return {path: self.library.stamp(path) for path in paths}

    @call()
    async def save(self, path: Name, workflow: AnyWorkflow, etag: Name = "", overwrite: bool = False) -> Document:
        """Write a workflow, in its canonical form, below `workflows/`."""
        document = await asyncio.to_thread(lambda: self.library.save(path, library.parsed(workflow), etag, overwrite))
        self._workflows_changed()
        return document

    @call()
    async def discard(self, path: Name) -> bool:
        """Delete a user's workflow file."""
        await asyncio.to_thread(self.library.discard, path)
        self._workflows_changed()
        return True

    @call(reads=True)
    def files(self, folder: Name = "") -> list[FileEntry]:
        """What a folder of the workspace holds."""
        return self.workspace.listing(folder)


def _sentence(problems: list[Problem]) -> str:
    """The first problem, and how many more there are."""
    first = problems[0]
    where = ".".join(part for part in (first.node, first.port) if part)
    text = f"{where}: {first.message}" if where else first.message
    return text if len(problems) == 1 else f"{text} (and {len(problems) - 1} more)"
