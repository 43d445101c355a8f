"""What the server can do: the functions behind `/api/NAME` and Gradio's endpoints of the same names.

Their signatures, docstrings and examples are what ui/API.md and /openapi.json say of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from graph_runner.base.files import remove
from graph_runner.base.problems import Problem
from graph_runner.bind.renamed import under_current_names
from graph_runner.catalog import plugins
from graph_runner.catalog.describe import Catalog, describe_all
from graph_runner.catalog.plugins import Plugin
from graph_runner.catalog.usage import Usage
from graph_runner.contract import ContractError, Seed
from graph_runner.contract.registry import Registry
from graph_runner.export.script import as_python
from graph_runner.format.workflow import Workflow
from graph_runner.run.continuing import from_checkpoints
from graph_runner.run.device_memory import DeviceMemory
from graph_runner.run.history import RECORDS
from ui import library
from ui.adoption import finished_elsewhere
from ui.changes import Asked, changed
from ui.declared import EXAMPLE, AnyWorkflow, Name, RunNumber, call
from ui.estimates import estimate
from ui.file_calls import FileCalls
from ui.gallery import Gallery
from ui.ledger import parsed, seed_of
from ui.library import Library
from ui.marked import LONGEST, Marked
from ui.models import Models
from ui.options import checked
from ui.places import Places
from ui.refusal import RefusedError
from ui.runs import RunManager
from ui.schemas import (
    LIVE,
    About,
    Document,
    Estimate,
    Memory,
    Number,
    Output,
    Profile,
    PythonScript,
    Queue,
    Run,
    RunDetail,
    RunEvent,
    Series,
    Template,
    Validation,
)
from ui.shelf import Shelf
from ui.uploads import Uploads
from ui.workspace import Workspace

LARGEST_PROFILE = 2**26
"""Bytes of what a run's folder tells of its nodes: some hundred thousand."""
LARGEST_RECORD = 2**20
"""Bytes of what a run's folder tells of its surroundings."""


Options = Annotated[dict[Annotated[str, Field(max_length=100)], Annotated[str, Field(max_length=200)] | bool | int | None], Field(max_length=100)]  # fmt: skip
TRAINING = {"loom": 1, "nodes": {"fit": {"type": "train", "params": {"steps": 200}}}}
"""The part of a workflow that says how long it trains."""


class Api(FileCalls):
    """The calls. Those that touch runs are coroutines of the server's loop; the others may run in any thread."""

    def __init__(
        self,
        workspace: Workspace,
        registry: Registry,
        manager: RunManager,
        about: Callable[[], About],
        workflows_changed: Callable[[], None],
        nodes_changed: Callable[[], None],
        confined: bool,
        packages: Sequence[str] = (),
        lent: Sequence[Path] = (),
    ) -> None:
        self.workspace, self.registry, self.manager, self.confined = workspace, registry, manager, confined
        self.library = Library(workspace, registry)
        self.shelf = Shelf(self.library)
        self.lent = tuple(lent)
        self.uploads, self.pictures = Uploads(workspace), Gallery(workspace, manager.ledger)
        self.places = Places(workspace, lent, confined)
        self.models_there, self.marked = Models(self.places), Marked()
        self._packages = packages
        self._about, self._workflows_changed, self._nodes_changed = about, workflows_changed, nodes_changed
        self._catalog = describe_all(registry.values())
        self._adopting, self._loading = asyncio.Lock(), asyncio.Lock()

    @classmethod
    def names(cls) -> list[str]:
        """The names of all calls."""
        return [
            name for owner in cls.__mro__ for name, value in vars(owner).items() if hasattr(value, "__call_reads__")
        ]

    def check(self, workflow: AnyWorkflow, types: bool = False) -> tuple[Workflow | None, Validation]:
        """A workflow, None where its form is wrong, and all that is wrong with it; with `types`, those on its wires too."""
        found = self._found(workflow, types)
        return found.workflow, found.validation

    def _found(self, workflow: AnyWorkflow, types: bool) -> library.Checked:
        return library.checked(workflow, self.registry, self.workspace.root, self.confined, self.lent, types)

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
        return self._catalog

    @call(reads=True)
    def usage(self) -> Usage:
        """What the shipped and the user's workflows use, and what they wire to what: the palette ranks by it."""
        return self.library.usage()

    @call(reads=True)
    def templates(self) -> list[Template]:
        """Pieces of graphs to paste: the shipped ones, and the user's in `workflows/templates`."""
        return self.library.templates()

    @call(reads=True)
    def plugins(self) -> list[Plugin]:
        """The packages that bring nodes, and what is wrong with those that could not be loaded."""
        return plugins.plugins(self.registry)

    @call()
    async def reload(self) -> list[Plugin]:
        """Load the node packages as their sources are now, without a restart: the catalogue, and a fresh process for each worker.

        A run that goes on is finished by the process that began it. 409 where two nodes have one name; then all stays as it was.
        """
        async with self._loading:  # two at once would take each other's modules away
            try:
                registry = await asyncio.to_thread(Registry.anew, self._packages)
            except ContractError as error:
                raise RefusedError(409, f"nothing was loaded: {error}") from error
            self.registry = self.library.registry = registry
            self._catalog = await asyncio.to_thread(describe_all, registry.values())
        self.manager.renew()
        self._nodes_changed()
        return await asyncio.to_thread(self.plugins)

    @call(workflow=EXAMPLE)
    def validate(self, workflow: AnyWorkflow, types: bool = True) -> Validation:
        """All that is wrong with a workflow, as `python -m graph_runner check` says it, and the types on its wires.

        Absent files included. Never an error status for a wrong workflow. A key of `types` is a port as a wire would name it:
        "sample.latent", "train.models.unet", "repeat.state.z" (outputs, and inner ports of zones); false leaves them out.
        """
        found = self._found(workflow, types)
        mark = self.marked.keep(workflow, found.standing, self.registry)
        return found.validation.model_copy(update={"mark": mark})

    @call(mark="9a0364b9e99bb480", literals='{"noise": {"shape": [1, 4, 8]}}')
    def revalidate(self, mark: Name, literals: Annotated[str, Field(max_length=LONGEST)]) -> Validation | None:
        """All that `validate` would tell of a workflow that it marked, with other literals in some nodes; their types aside.

        literals: JSON, for each node that differs all of its parameters, in place of those it had. These nodes are bound
        again and no others; files are looked up again, and of a seed or a file's name those of the others. null where the mark is not known (any more) or more depends on these literals: validate it whole.
        """
        problems = self.marked.again(mark, literals, self.registry)
        return None if problems is None else Validation(problems=problems, types={}, mark=mark)

    @call(workflow=EXAMPLE)
    async def estimate(
        self, workflow: AnyWorkflow, devices: Annotated[int, Field(ge=1, le=2**20)] = 1, shard: bool = False
    ) -> Estimate:
        """What a run would do, as `python -m graph_runner check --json` tells it: a dry run, in a process of its own.

        Shapes, operations, memory, shapes that do not fit. Takes seconds; computes nothing. 422 where the workflow is wrong.
        devices: the memory is that of each of so many processes that share a training; shard: they split its models.
        """
        roots = (self.workspace.root, *self.lent) if self.confined else ()
        return await estimate(
            await self._checked(workflow), self.workspace, self.registry, self._packages, roots, devices, shard
        )

    @call(workflow=EXAMPLE)
    def canonical(self, workflow: AnyWorkflow) -> Document:
        """A workflow's canonical text. 422 where its form is wrong."""
        return self.library.document(library.parsed(workflow))

    @call(workflow={**EXAMPLE, "exposed": {"outputs": {"noise": "noise"}}}, seed=7)
    def export(self, workflow: AnyWorkflow, seed: Seed = 0) -> PythonScript:
        """A workflow as a plain Python script that needs no engine, as `python -m graph_runner export --python` writes it.

        422 where the workflow is wrong, or a node in it cannot be in a script.
        """
        script = as_python(library.parsed(workflow), self.registry, self.workspace.root, seed)
        return PythonScript(text=script.text, left_out=script.left_out)

    @call(workflow=EXAMPLE, targets=["noise"], seed=7)
    async def submit(
        self,
        workflow: AnyWorkflow,
        targets: Annotated[list[Name], Field(max_length=1000)] = [],  # noqa: B006 (read only; Gradio shows the default)
        only: bool = False,
        seed: Seed = 0,
        fresh: bool = False,
        device: Name = "",
        check_numbers: bool = False,
        profile: bool = False,
        options: Options = {},  # noqa: B006
    ) -> Run:
        """Queue a run of all that has an effect, and of `targets`. 422 with every problem where the workflow is wrong.

        targets: nodes and outputs by name (`["sample"]`, `["train.models.unet"]`). only: nothing but the targets and what they
        need ("run to here"); images, masks and latents among them are shown as pictures. fresh: ignore caches and checkpoints.
        check_numbers: look at all that nodes give, and fail at the first value that is NaN or infinite. profile: measure what each
        node takes. device: of a worker, or another of this machine. options: by the names that `about` lists, for this run alone;
        400 where one cannot be. Latents in a long loop are shown, whichever way it was asked for. 409 where 1000 runs wait already.
        """
        said = {**options, **({"device": device} if device else {})}
        said = await asyncio.to_thread(checked, said, on_cluster=self.manager.on_cluster, confined=self.confined)
        of_a_worker = said.get("device") in {each.device for each in self.manager.workers()}
        wanted = str(said.pop("device")) if of_a_worker else ""
        valid = await self._checked(workflow)
        text = (await asyncio.to_thread(self.library.document, valid)).text
        title = valid.title or "untitled"
        changes = await asyncio.to_thread(self._changes, title, text, seed, said)
        asked = (targets, only, seed, fresh, wanted, check_numbers, profile, said, changes)
        return self.manager.submit(title, text, *asked)

    def _changes(self, title: str, text: str, seed: int, options: Mapping[str, Any]) -> list[str]:
        """What this run does otherwise than the one before of the same title."""
        before = self.manager.ledger.before(title)
        if before is None:
            return []
        old = Asked(parsed(before["text"], {}), seed_of(before), parsed(before["options"], {}))
        return changed(old, Asked(parsed(text, {}), seed, options))

    @call(workflow=TRAINING, run=1)
    async def go_on(self, workflow: AnyWorkflow, run: RunNumber) -> Document:
        """The workflow whose trainings begin at the checkpoints of a run, with what is set otherwise in it.

        As `--continue` does: it sets the parameter of each `train` zone that the run trained too. 422 where there is none.
        """
        folder = self.manager.get(run).folder
        if not folder:
            raise RefusedError(409, f"run {run} has not begun")
        return await asyncio.to_thread(self._go_on, workflow, folder)

    def _go_on(self, workflow: AnyWorkflow, folder: str) -> Document:
        current = under_current_names(library.parsed(workflow), self.registry)
        return self.library.document(from_checkpoints(current, self.registry, self.workspace.root, folder))

    @call(run=1)
    async def cancel(self, run: RunNumber, force: bool = False) -> Run:
        """Stop a run, or take it out of the queue.

        Queued: it never starts. Running: it stops after the step, with a checkpoint; by force after the grace, or with `force`.
        """
        return self.manager.cancel(run, force)

    @call()
    async def clear(self) -> list[Run]:
        """Take all runs that wait out of the queue; the one that runs goes on."""
        return self.manager.clear()

    @call(run=1, position=1)
    async def reorder(self, run: RunNumber, position: Annotated[int, Field(ge=1, le=10**6)]) -> list[Run]:
        """Put a run at this position of the queue, 1 being next, if it still waits; what waits then, in order."""
        return self.manager.move(run, position)

    @call(reads=True)
    async def memory(self) -> Memory:
        """The memory of the machine and of each worker's process and device, as it is now. To be asked while somebody looks."""
        host = DeviceMemory(torch.device("cpu"))
        return Memory(total=host.total(), free=host.free(), workers=await self.manager.memory())

    @call(reads=True)
    async def queue(self) -> Queue:
        """What runs, what waits (first is next), and the workers."""
        return self.manager.queue()

    @call(reads=True, limit=10)
    async def history(self, limit: Annotated[int, Field(ge=1, le=1000)] = 50, before: Number = 0) -> list[Run]:
        """Runs, newest first, those that the command line made in this workspace among them.

        Queued and running ones included. before: only runs with lower numbers, for paging.
        """
        ledger = self.manager.ledger

        def adopt() -> None:
            with suppress(OSError):  # those that are here are told meanwhile
                self.workspace.home.bring_below(self.workspace.root / "runs", RECORDS)
            for found in finished_elsewhere(self.workspace.root, ledger.folders()):
                if not ledger.may_be_own(found):
                    ledger.adopt(found)

        async with self._adopting:  # no run twice
            await asyncio.to_thread(adopt)
        return await asyncio.to_thread(ledger.newest, limit, before)

    @call(reads=True, run=1)
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

    @call(reads=True, run=1, after=2)
    async def events(
        self,
        run: RunNumber,
        after: Number = 0,
        limit: Annotated[int, Field(ge=1, le=10_000)] = 1000,
    ) -> list[RunEvent]:
        """A run's events with numbers above `after`, oldest first: `limit` of them, or fewer where they are large.

        About 4 MiB together, but one at least.
        """
        self.manager.get(run)
        return await asyncio.to_thread(self.manager.ledger.events, run, after, limit)

    @call(reads=True, run=1)
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

    @call(reads=True, run=1, points=500)
    async def metrics(self, run: RunNumber, points: Annotated[int, Field(ge=2, le=100_000)] = 2000) -> list[Series]:
        """A run's metrics along its steps, each thinned to about `points` values; extremes stay."""
        self.manager.get(run)
        return await asyncio.to_thread(self.manager.ledger.metrics, run, points)

    @call(reads=True, run=1)
    async def profile(self, run: RunNumber) -> Profile:
        """What each node of a run took: seconds, calls, memory. 404 where the run did not measure it."""
        return await asyncio.to_thread(self._profile, self.manager.get(run))

    def _profile(self, run: Run) -> Profile:
        folder = self.workspace.root / (run.folder or "runs/none")
        path, trace = folder / "profile.json", folder / "trace.json"
        if not path.is_file():
            how = "it is told at the end" if run.profile and run.status in LIVE else "run it anew with `profile`"
            raise RefusedError(404, f"run {run.run} has no profile: {how}")
        try:
            if path.stat().st_size > LARGEST_PROFILE:
                raise ValueError("it is too large")
            found = Profile.model_validate_json(path.read_bytes())
        except ValueError as error:
            raise RefusedError(400, f"the profile of run {run.run} cannot be read; run it anew") from error
        url = self.workspace.url(f"{run.folder}/{trace.name}") if trace.is_file() else ""
        return found.model_copy(update={"trace": url})

    @call(run=1)
    async def remove(self, run: RunNumber) -> bool:
        """Forget a run that is over, and delete its folder."""
        gone = self.manager.remove(run)
        if gone.folder:
            with suppress(OSError):  # gone already, or not to be removed: then it stays
                await asyncio.to_thread(self.workspace.home.forget, self.workspace.root / gone.folder)
                await asyncio.to_thread(remove, self.workspace.root / gone.folder)
        return True


def _sentence(problems: list[Problem]) -> str:
    """The first problem, and how many more there are."""
    first = problems[0]
    where = ".".join(part for part in (first.node, first.port) if part)
    text = f"{where}: {first.message}" if where else first.message
    return text if len(problems) == 1 else f"{text} (and {len(problems) - 1} more)"
