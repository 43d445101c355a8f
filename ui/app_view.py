"""A workflow's app view by its name: /app/NAME leads people to the page, and what lies below it is a form that scripts call."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import gradio
import pandas
from fastapi import FastAPI
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from graph_runner.contract import NodeSpec
from graph_runner.format.wires import nodes_in, split
from graph_runner.format.workflow import Workflow, walk, write
from ui import gradio_door
from ui.api import Api
from ui.calls import run_number
from ui.endpoints import telling
from ui.fields import Field, field_for
from ui.live import follow
from ui.refusal import RefusedError
from ui.routes import ANSWERED, answer
from ui.schemas import Document, RunEvent

PAUSE_SECONDS = 0.25
"""Between two looks at a run."""
MOST_FORMS = 50
"""Kept at once; one that was not visited for longest is made anew at its next visit."""
POINTS = 300
"""The most points of a curve, about."""
UNQUOTED = ";,/?:@&=+$-_.!~*'()#"
"""What JavaScript's encodeURI, by which the page writes its addresses, leaves as it is."""


@dataclass(frozen=True)
class Form:
    """A form, and the application that serves it."""

    app: ASGIApp
    blocks: gradio.Blocks


class AppViews:
    """The forms by name, each made at the first visit and again when its workflow's file has changed."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._made: OrderedDict[str, tuple[str, Form, AsyncExitStack]] = OrderedDict()
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The time in which forms may be made; their queues end with it."""
        try:
            yield
        finally:
            for name in list(self._made):
                await self._close(name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        """Answer for /app/NAME and below, where NAME may hold slashes. Raises RefusedError where there is no such form."""
        name, file = await asyncio.to_thread(self.api.library.app, path.removeprefix("/app/"))
        if path in (f"/app/{name}", f"/app/{name}/"):
            shown = f"{scope.get('root_path', '')}/#app/{quote(file, safe=UNQUOTED)}"
            await RedirectResponse(shown)(scope, receive, send)
            return
        if not path.startswith(f"/app/{name}/") or not gradio_door.CALLS.fullmatch(path.removeprefix(f"/app/{name}")):
            raise RefusedError(404, f"there is nothing at {path[:100]!r}")
        made = await self._form(name, file)
        receive = await gradio_door.checked(made.blocks, path.removeprefix(f"/app/{name}"), scope, receive)
        await gradio_door.finish(made.app, scope, receive, send)

    async def _form(self, name: str, file: str) -> Form:
        async with self._lock:
            document = await asyncio.to_thread(self.api.library.open, file)
            made = self._made.get(name)
            if made is None or made[0] != document.etag:
                # Beside the loop, for a large workflow takes its time to be validated.
                holder, blocks = await asyncio.to_thread(self._make, name, document)
                if made is not None:
                    await self._close(name)
                stack = AsyncExitStack()
                await stack.enter_async_context(holder.router.lifespan_context(holder))
                made = self._made[name] = (document.etag, Form(holder, blocks), stack)
                while len(self._made) > MOST_FORMS:
                    await self._close(next(iter(self._made)))
            self._made.move_to_end(name)
            return made[1]

    async def _close(self, name: str) -> None:
        await self._made.pop(name)[2].aclose()

    def _make(self, name: str, document: Document) -> tuple[FastAPI, gradio.Blocks]:
        """An application that holds one workflow's form, and the form."""
        holder, blocks = FastAPI(openapi_url=None), form(self.api, document)
        gradio.mount_gradio_app(
            holder,
            blocks,
            path=f"/app/{name}",
            footer_links=[],
            run_history=False,
            allowed_paths=[str(self.api.workspace.root)],
            blocked_paths=[str(self.api.workspace.own)],
            ssr_mode=False,
            app_kwargs={"exception_handlers": dict.fromkeys(ANSWERED, answer)},
        )
        return holder, blocks


def form(api: Api, document: Document) -> gradio.Blocks:
    """The form of one workflow. Raises RefusedError where the workflow cannot run."""
    workflow, validation = api.check(document.text)
    wrong = [problem for problem in validation.problems if problem.severity == "error"]
    if workflow is None or wrong:
        raise RefusedError(422, "this workflow cannot run yet; open it on the canvas", wrong)
    showing = _nodes_showing(workflow, api)
    names = {reference: name for name, reference in workflow.exposed.outputs.items()}
    with gradio.Blocks(title=workflow.title or document.path, analytics_enabled=False) as blocks:
        gradio.Markdown(f"# {workflow.title or document.path}\n\n{workflow.about}")
        with gradio.Row():
            with gradio.Column(scale=1):
                fields = list(_fields(workflow, api))
                components = [field.component for field in fields]
                with gradio.Row():
                    start = gradio.Button("Run", variant="primary")
                    stop = gradio.Button("Stop")
                status = gradio.Markdown(elem_classes="run-status")
            with gradio.Column(scale=2):
                gallery = gradio.Gallery(label="Pictures", columns=2, object_fit="contain")
                curves = gradio.LinePlot(
                    x="step", y="value", color="metric", title="Curves", height=260, visible=False, y_title=""
                )
                values = gradio.Markdown()
                files = gradio.Files(label="Files", visible=False)
        if not fields:
            status.value = "This workflow exposes no parameters: expose some on the canvas."
        number = gradio.BrowserState(0, storage_key=f"run of {document.path}")

        async def submit(*given: Any) -> int:
            with telling():
                changed = _with(workflow, fields, given, api)
                outputs = [
                    reference for reference in workflow.exposed.outputs.values() if _is_output(reference, workflow, api)
                ]
                return (await api.submit(changed, targets=outputs)).run

        async def watch(run: int) -> AsyncIterator[tuple[str, list[Any], Any, str, Any]]:
            seen = Seen(api, showing, names)
            with telling():
                if run and api.manager.ledger.get(run_number(run)) is not None:
                    async for events in follow(api.manager, run_number(run), 0):
                        seen.add(events)
                        yield seen.view()
                        await asyncio.sleep(PAUSE_SECONDS)  # what comes meanwhile comes together

        async def cancel(run: int) -> None:
            with telling():
                if run:
                    await api.cancel(run_number(run))

        shown = [status, gallery, curves, values, files]
        submitted = start.click(submit, components, number, show_progress="hidden", concurrency_limit=None)
        submitted.then(watch, number, shown, show_progress="hidden", concurrency_limit=None)
        stop.click(cancel, number, show_progress="hidden", concurrency_limit=None, api_visibility="private")
        # A run goes on without its page: who comes back sees it.
        blocks.load(watch, number, shown, show_progress="hidden", concurrency_limit=None, api_visibility="private")
    return blocks


class Seen:
    """What a form shows of a run, folded from its events."""

    def __init__(self, api: Api, showing: set[str], names: dict[str, str]) -> None:
        self.api, self.showing, self.names = api, showing, names
        self.status = "waiting"
        self.pictures: dict[str, tuple[str, str]] = {}
        self.finals: dict[str, tuple[str, str]] = {}
        self.files: list[str] = []
        self.values: dict[str, str] = {}
        self.curves: dict[str, dict[int, float]] = {}

    def add(self, events: list[RunEvent]) -> None:
        """Take in events."""
        for event in events:
            match event["event"]:
                case "started":
                    self.status = f"**{event['node']}** …"
                case "progress":
                    self.status = progress_bar(event["node"], event["done"], event["total"])
                case "metric" if "turn" in event:
                    for name, value in event["values"].items():
                        if value is not None:
                            self.curves.setdefault(f"{event['node']} {name}", {})[event["turn"] + 1] = value
                case "shown":
                    self._add_file(event)
                case "value":
                    target = str(event["target"])
                    self.values[self.names.get(target, target)] = event["text"]
                case "failed":
                    self.status = f"⚠️ **{event['node']}**: {event['message']}"
                case "refused":
                    self.status = "⚠️ " + "; ".join(problem["message"] for problem in event["problems"])
                case "ended" if event["status"] != "failed":
                    self.status = f"{event['status']} in {event['seconds']:.1f} s"

    def _add_file(self, event: RunEvent) -> None:
        path, node = str(self.api.workspace.root / event["path"]), event["node"]
        if not event["media"].startswith("image/"):
            self.files.append(path)
            return
        self.pictures[node] = (path, node)
        if node in self.showing:
            self.finals[path] = (path, node)

    def view(self) -> tuple[str, list[Any], Any, str, Any]:
        """Status, pictures (the outputs' if there are any yet, else the newest preview of each node), curves, values, files."""
        values = "\n".join(f"- **{name}**: {text}" for name, text in self.values.items() if "×" not in text)
        pictures = list((self.finals or self.pictures).values())
        plot = gradio.LinePlot(self._table(), visible=bool(self.curves))
        return self.status, pictures, plot, values, gradio.Files(self.files, visible=bool(self.files))

    def _table(self) -> pandas.DataFrame:
        """The curves of losses, thinned; where none is called so, of all metrics."""
        losses = {name: curve for name, curve in self.curves.items() if "loss" in name}
        rows = [
            (step, value, name)
            for name, curve in (losses or self.curves).items()
            for step, value in list(curve.items())[:: 1 + len(curve) // POINTS]
        ]
        return pandas.DataFrame(rows, columns=["step", "value", "metric"])


def progress_bar(node: str, done: int, total: int) -> str:
    """How far a loop is, as Markdown."""
    return f"**{node}** {done} of {total} <progress value='{done}' max='{max(total, 1)}'></progress>"


def _fields(workflow: Workflow, api: Api) -> Iterator[Field]:
    nodes = dict(walk(workflow.nodes))
    for name, reference in workflow.exposed.params.items():
        id, param = split(reference)
        node = nodes.get(id)
        spec = api.registry.get(node.type) if node is not None else None
        if node is not None and spec is not None and param in spec.params and param not in node.wires:
            yield field_for(name, reference, spec, param, node.params.get(param))


def _with(workflow: Workflow, fields: list[Field], given: tuple[Any, ...], api: Api) -> str:
    """The workflow's text with the form's values typed in."""
    changed = workflow.model_copy(deep=True)
    nodes = dict(walk(changed.nodes))
    for field, value in zip(fields, given, strict=True):
        id, param = split(field.reference)
        nodes[id].params[param] = field.read(value, api.workspace)
    return write(changed)


def _nodes_showing(workflow: Workflow, api: Api) -> set[str]:
    """The nodes whose files are what the workflow exposes: those exposed, and those with an effect that read them."""
    exposed = {split(reference)[0] for reference in workflow.exposed.outputs.values()}
    found = set(exposed)
    for id, node in walk(workflow.nodes):
        spec: NodeSpec | None = api.registry.get(node.type)
        read = {each for wire in node.wires.values() for each in nodes_in(wire)}
        if spec is not None and spec.effect and read & exposed:
            found.add(id)
    return found


def _is_output(reference: str, workflow: Workflow, api: Api) -> bool:
    """Whether a run can be asked for this value: an output at the top of the graph."""
    node = workflow.nodes.get(split(reference)[0])
    spec = api.registry.get(node.type) if node is not None else None
    return spec is not None and bool(spec.outputs)
