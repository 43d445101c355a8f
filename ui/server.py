"""The server: one Gradio server that carries the page, the calls, the live events and the app views, inside a guard."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio
from fastapi import Request, Response, WebSocket
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from graph_runner.registry import Registry
from ui.api import Api
from ui.app_view import AppViews
from ui.calls import CALLS, Call
from ui.endpoints import add_endpoints
from ui.guard import Guard
from ui.ledger import Ledger
from ui.library import LARGEST, OWN
from ui.live import Feed, serve
from ui.models import About, Limits
from ui.refusal import RefusedError
from ui.runs import RunManager
from ui.watching import watch
from ui.workspace import Workspace, media_of, thumbnail

LIMITS = Limits(workflow=LARGEST, picture=256 * 2**20, upload=4 * 2**30)
BODIES = {
    "": LIMITS.workflow,
    "/extract": LIMITS.picture,
    "/upload": LIMITS.upload,
    "/gradio_api/upload": LIMITS.upload,
}
PAGE = Path(__file__).parent / "web" / "dist"
NOT_BUILT = "The canvas is not built. In the repository run: python hatch_build.py"
# What lies in the workspace may be a page, and must not act as one of ours.
FILE_HEADERS = {"content-security-policy": "sandbox", "x-content-type-options": "nosniff", "cache-control": "no-cache"}


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    workspace: Path
    devices: tuple[str, ...] = ("auto",)
    dtype: str = "float32"
    nodes: tuple[str, ...] = ()
    credentials: tuple[str, str] | None = None
    hosts: tuple[str, ...] = ()
    confined: bool = False
    grace: float = 15.0
    page: Path = field(default=PAGE)


class LoomServer(gradio.Server):  # type: ignore[misc]
    """A Gradio server behind a guard, with app views beside it."""

    guard: Guard
    views: AppViews
    manager: RunManager
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
        """Answer a request."""
        if scope["type"] in ("http", "websocket") and scope["path"].startswith("/app/"):
            await self.views(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def build(settings: Settings) -> LoomServer:
    """A server, ready to be launched. Raises WorkflowError where a node package cannot be imported."""
    workspace = Workspace(settings.workspace)
    registry = Registry.installed(settings.nodes)
    options = ["--workspace", str(workspace.root), "--dtype", settings.dtype]
    for module in settings.nodes:
        options += ["--nodes", module]
    manager = RunManager(Ledger(workspace.own / "server.db"), workspace.own, settings.devices, options, settings.grace)
    boot = secrets.token_hex(8)
    feeds: set[Feed] = set()

    def about() -> About:
        return About(
            version=_version(), workspace=str(workspace.root), boot=boot, dtype=settings.dtype,
            workers=manager.workers(), limits=LIMITS,
        )  # fmt: skip

    def workflows_changed() -> None:
        for feed in feeds:
            feed.workflows_changed()

    api = Api(workspace, registry, manager, about, workflows_changed, settings.confined, settings.nodes)
    views = AppViews(api)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        server.loop = asyncio.get_running_loop()
        await manager.start()
        watching = asyncio.create_task(watch(workspace.root / OWN, workflows_changed, lambda: bool(feeds)))
        async with views.open():
            yield
        watching.cancel()
        await manager.close()

    server = LoomServer(title="Latent Loom", version=_version(), lifespan=lifespan, docs_url=None, redoc_url=None)
    server.views, server.manager, server.workspace = views, manager, workspace
    names = {"localhost", socket.gethostname().lower(), socket.getfqdn().lower(), *settings.hosts}
    server.guard = Guard(server.unguarded, settings.credentials, names, BODIES)
    server.exception_handler(RefusedError)(_answer_refusal)
    server.exception_handler(HTTPException)(_answer_http_error)
    _add_routes(server, api, settings.page)
    add_endpoints(server, api)

    async def live(socket: WebSocket) -> None:
        hello = {"hello": about().model_dump(), "queue": manager.queue().model_dump()}
        await serve(socket, manager, hello, feeds)

    server.add_api_websocket_route("/ws", live)
    return server


def _add_routes(server: LoomServer, api: Api, page: Path) -> None:
    async def unknown(name: str) -> Response:
        raise RefusedError(404, f"there is no call {name!r}; there is {', '.join(CALLS)}")

    async def upload(request: Request, name: str = "file") -> Response:
        entry = await api.workspace.receive(name, request.stream(), LIMITS.upload)
        return Response(entry.model_dump_json(), media_type="application/json")

    async def extract(request: Request) -> Response:
        document = api.library.extract(await request.body())
        return Response(document.model_dump_json(), media_type="application/json")

    def files(path: str, width: int = 0) -> Response:
        found = api.workspace.file(path)
        if width:
            return Response(thumbnail(found, max(16, min(width, 2048))), media_type="image/webp", headers=FILE_HEADERS)
        return FileResponse(found, media_type=media_of(found), headers=FILE_HEADERS)

    def picture(path: str) -> Response:
        return FileResponse(api.library.picture(path), headers=FILE_HEADERS)

    def index() -> Response:
        if not (page / "index.html").is_file():
            return PlainTextResponse(NOT_BUILT, 503)
        return FileResponse(page / "index.html", headers={"cache-control": "no-cache"})

    def assets(path: str) -> Response:
        found = (page / "assets" / path).resolve()
        if not found.is_relative_to(page.resolve()) or not found.is_file():
            raise RefusedError(404, f"there is no {path!r}")
        # Vite puts a hash of the content into each name: a browser may keep it for good.
        return FileResponse(found, headers={"cache-control": "public, max-age=31536000, immutable"})

    for name, call in CALLS.items():
        server.add_api_route(f"/api/{name}", _door(api, call), methods=["POST"], summary=call.help)
        if call.reads:
            server.add_api_route(f"/api/{name}", _reading_door(api, call), methods=["GET"], summary=call.help)
    server.add_api_route("/api/{name}", unknown, methods=["GET", "POST"], include_in_schema=False)
    server.add_api_route("/upload", upload, methods=["POST"])
    server.add_api_route("/extract", extract, methods=["POST"])
    server.add_api_route("/files/{path:path}", files, methods=["GET"])
    server.add_api_route("/thumbnails/{path:path}", picture, methods=["GET"])
    server.add_api_route("/", index, methods=["GET"])
    server.add_api_route("/assets/{path:path}", assets, methods=["GET"])


def _door(api: Api, call: Call) -> Callable[[Request], Awaitable[Response]]:
    async def door(request: Request) -> Response:
        try:
            given = json.loads(await request.body() or b"{}")
        except (ValueError, RecursionError) as error:
            raise RefusedError(400, f"the request's body is no JSON: {error}") from error
        if not isinstance(given, dict):
            raise RefusedError(400, "the request's body must be a JSON object of the call's arguments")
        return _as_json(call, await call(api, given))

    return door


def _reading_door(api: Api, call: Call) -> Callable[[Request], Awaitable[Response]]:
    async def door(request: Request) -> Response:
        return _as_json(call, await call(api, dict(request.query_params)))

    return door


def _as_json(call: Call, answer: Any) -> Response:
    return Response(call.answer.dump_json(answer), media_type="application/json", headers={"cache-control": "no-store"})


async def _answer_refusal(_: Request, refused: Exception) -> Response:
    assert isinstance(refused, RefusedError)
    return Response(refused.body(), refused.status, media_type="application/json")


async def _answer_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refused = RefusedError(error.status_code, str(error.detail))
    return Response(refused.body(), refused.status, error.headers, media_type="application/json")


def _version() -> str:
    try:
        return version("latent-loom")
    except PackageNotFoundError:
        return "0"
