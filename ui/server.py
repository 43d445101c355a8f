"""The server: one Gradio server that carries the page, the calls, the live events and the app views, inside a guard."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import re
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio
from fastapi import WebSocket
from starlette.types import Receive, Scope, Send

from graph_runner.base.home import named
from graph_runner.cli import engine_options
from graph_runner.contract.registry import Registry
from graph_runner.run import executors
from ui import gradio_door, openapi
from ui.api import Api
from ui.app_view import AppViews
from ui.endpoints import add_endpoints
from ui.guard import Guard
from ui.headers import Policy
from ui.ledger import opened
from ui.library import LARGEST, OWN
from ui.live import Feed, serve
from ui.login import Login
from ui.options import described
from ui.refusal import RefusedError
from ui.remote import Cluster, Place
from ui.routes import add_routes
from ui.runs import RunManager
from ui.schemas import About, Limits
from ui.sessions import Door
from ui.watching import watch
from ui.workspace import Workspace

LIMITS = Limits(workflow=LARGEST, picture=256 * 2**20, upload=4 * 2**30)
OURS = re.compile(r"/|/ws|/upload|/pictures|/extract|/openapi\.json|/(api|assets|files|thumbnails)/.*", re.DOTALL)
"""Our own addresses, without those of the forms."""
PAGE = Path(__file__).parent / "web" / "dist"


@dataclass(frozen=True)
class Settings:
    """What the command line says. engine: the options of engines that are not as they are by default."""

    workspace: Path
    devices: tuple[str, ...] = ("auto",)
    engine: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 0
    nodes: tuple[str, ...] = ()
    credentials: tuple[str, str] | None = None
    token: str | None = None
    hosts: tuple[str, ...] = ()
    prefix: str = ""
    confined: bool = False
    lent: tuple[Path, ...] = ()
    grace: float = 15.0
    log: tuple[str, ...] = ()
    on: str = "here"
    page: Path = field(default=PAGE)


class LoomServer(gradio.Server):  # type: ignore[misc]
    """A Gradio server behind a guard, with app views beside it."""

    guard: Guard
    views: AppViews
    manager: RunManager
    notice: str
    workspace: Workspace
    loop: asyncio.AbstractEventLoop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the guard lets pass."""
        await self.guard(scope, receive, send)

    def serve(self, address: str, port: int, share: bool) -> str:
        """Listen, on a thread; returns the public address where there is one. Raises OSError where the port is taken."""
        _, _, public = self.launch(
            server_name=address,
            server_port=port,
            share=share,
            prevent_thread_lock=True,
            show_error=True,
            quiet=True,
            ssr_mode=False,
            allowed_paths=[str(self.workspace.root)],
            blocked_paths=[str(self.workspace.own)],
            max_file_size=LIMITS.upload,
            # `launch` puts its own lifespan in the place of ours, unless it is handed in.
            app_kwargs={"lifespan": self.router.lifespan_context},
        )
        if public:
            self.guard.hosts.add(str(urlsplit(public).hostname))
        self.guard.starting = False
        return str(public or "")

    def stop(self) -> None:
        """Stop the runs, gently, and then the server; called from another thread than its own."""
        asyncio.run_coroutine_threadsafe(self.manager.close(), self.loop).result()
        self.get_blocks().close()

    async def unguarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Raises RefusedError, before any answer, where there is nothing at its address."""
        if scope["type"] not in ("http", "websocket"):
            await super().__call__(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["type"] == "websocket":
            known = path == "/ws"
        elif await gradio_door.serve_file(self.workspace, path, scope, receive, send):
            return
        elif path.startswith("/app/"):
            await self.views(scope, receive, send, path)
            return
        else:
            known = bool(OURS.fullmatch(path) or gradio_door.CALLS.fullmatch(path))
            if not path.startswith("/assets/"):
                # Gradio would compress the answer, on the loop, and a long listing takes seconds.
                scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
        if not known:
            raise RefusedError(404, f"there is nothing at {path[:100]!r}")
        if scope["type"] == "http" and path.startswith("/gradio_api/"):
            receive = await gradio_door.checked(self.get_blocks(), path, scope, receive)
        await gradio_door.finish(super().__call__, scope, receive, send)


def build(settings: Settings) -> LoomServer:
    """A server, ready to be launched. Raises WorkflowError where a node package cannot be imported."""
    workspace = Workspace(settings.workspace)
    registry = Registry.installed(settings.nodes, passing_over=True)
    if wrong := [name for name in settings.nodes if name in registry.failed]:
        Registry.scan(wrong)  # whoever names a package is told at once
    options = ["--workspace", str(workspace.root), *engine_options.words(settings.engine)]
    options += ["--threads", str(settings.threads)] if settings.threads else []
    for module in settings.nodes:
        options += ["--nodes", module]
    for logger in settings.log:
        options += ["--log", logger]
    if settings.confined:
        for root in (workspace.root, *settings.lent):
            options += ["--only-below", str(root)]
    ledger, notice = opened(workspace.own / "server.db")
    lost = [f"The node package {name} could not be loaded: {error}" for name, error in registry.failed.items()]
    notice = "\n".join(filter(None, [notice, *lost]))
    cluster = _cluster(settings, workspace.root, registry)
    manager = RunManager(ledger, workspace.own, settings.devices, options, settings.grace, cluster)
    boot = secrets.token_hex(8)
    started = {
        **settings.engine,
        "device": ",".join(settings.devices),
        "on": settings.on,
        "threads": settings.threads or None,
    }
    options_of_a_run = described(started)
    feeds: set[Feed] = set()
    login: Login | None = None
    if settings.credentials is not None or settings.token is not None:
        own = hashlib.sha256(str(workspace.root).encode(errors="replace")).hexdigest()[:8]
        login = Login(Door(settings.credentials, settings.token), f"loom-{own}")

    def about() -> About:
        return About(
            version=_version(), workspace=str(workspace.root), boot=boot, dtype=settings.engine.get("dtype", "float32"),
            workers=manager.workers(), limits=LIMITS, notice=notice, login=login is not None, options=options_of_a_run,
        )  # fmt: skip

    def workflows_changed() -> None:
        for feed in feeds:
            feed.workflows_changed()

    def nodes_changed() -> None:
        settle()
        for feed in feeds:
            feed.nodes_changed()

    api = Api(
        *(workspace, registry, manager, about, workflows_changed, nodes_changed),
        *(settings.confined, settings.nodes, settings.lent),
    )
    views = AppViews(api)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        server.loop = asyncio.get_running_loop()
        await manager.start()
        settle()
        watching = asyncio.create_task(watch(workspace.root / OWN, workflows_changed, lambda: bool(feeds)))
        async with views.open():
            yield
        watching.cancel()
        await manager.close()

    server = LoomServer(title="Latent Loom", version=_version(), lifespan=lifespan, docs_url=None, redoc_url=None)
    server.views, server.manager, server.workspace = views, manager, workspace
    server.notice = notice
    names = {"localhost", socket.gethostname().lower(), socket.getfqdn().lower(), *settings.hosts}
    policy = Policy(_text(settings.page / "index.html"))
    server.guard = Guard(server.unguarded, login, names, largest_body, policy, settings.prefix)
    add_routes(server, api, settings.page)
    add_endpoints(server, api)

    async def live(socket: WebSocket) -> None:
        hello = {"hello": about().model_dump(), "queue": manager.queue().model_dump()}
        await serve(socket, manager, hello, feeds)

    server.add_api_websocket_route("/ws", live)
    server.openapi = cache(partial(openapi.describe, server.routes))
    return server


def settle() -> None:
    """Leave what is there now, modules and nodes, out of the garbage collector's searches.

    Each search of all of it took longer than checking a thousand nodes, and a few checks bring the next one on.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _cluster(settings: Settings, workspace: Path, registry: Registry) -> Cluster | None:
    """Who does the runs, where that is not this machine's worker processes."""
    executor = executors.chosen(settings.on)
    if executor is None:
        return None
    roots = (workspace, *settings.lent) if settings.confined else ()
    engine, device = tuple(settings.engine.items()), settings.devices[0]
    place = Place(workspace, named(workspace), device, engine, settings.nodes, roots, settings.log, settings.on)
    return Cluster(executor, place, registry)


def largest_body(path: str) -> int:
    """The largest body in bytes that is taken at a path."""
    if path == "/upload" or path.endswith("/gradio_api/upload"):
        return LIMITS.upload
    return LIMITS.picture if path in ("/extract", "/pictures") else LIMITS.workflow


def _text(page: Path) -> str:
    return page.read_text() if page.is_file() else ""


def _version() -> str:
    try:
        return version("latent-loom")
    except PackageNotFoundError:
        return "0"
