"""The plain routes: the page and its files, the calls as JSON, files in and out."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ui.api import Api
from ui.calls import CALLS, Call
from ui.refusal import RefusedError
from ui.workspace import media_of, thumbnail

NOT_BUILT = "The canvas is not built. In the repository run: python hatch_build.py"


ANSWERED = (RefusedError, HTTPException, RequestValidationError, OSError, sqlite3.Error, ClientDisconnect)
"""What `answer` makes a refusal of."""


def add_routes(server: FastAPI, api: Api, page: Path) -> None:
    """Give the server its plain routes, and the form of its refusals."""

    async def unknown(name: str) -> Response:
        raise RefusedError(404, f"there is no call {name!r}; there is {', '.join(CALLS)}")

    async def upload(request: Request, name: str = "file") -> Response:
        async with api.workspace.received(request.stream()) as file:
            entry = await asyncio.to_thread(api.workspace.keep, file, name)
        return Response(entry.model_dump_json(), media_type="application/json")

    async def extract(request: Request) -> Response:
        async with api.workspace.received(request.stream()) as file:
            document = await asyncio.to_thread(api.library.extract, file)
            return Response(await asyncio.to_thread(document.model_dump_json), media_type="application/json")

    def files(path: str, width: int = 0) -> Response:
        found = api.workspace.file(path)
        if width:
            return Response(thumbnail(found, max(16, min(width, 2048))), media_type="image/webp")
        return file_response(found)

    def picture(path: str) -> Response:
        return file_response(api.library.picture(path))

    def index() -> Response:
        if not (page / "index.html").is_file():
            return PlainTextResponse(NOT_BUILT, 503)
        return FileResponse(page / "index.html", headers={"cache-control": "no-cache"})

    def assets(path: str) -> Response:
        found = (page / "assets" / path).resolve() if path.isprintable() and len(path) < 256 else page
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
    for kind in ANSWERED:
        server.exception_handler(kind)(answer)


def file_response(found: Path) -> Response:
    """A file of the workspace; the guard says what a browser may do with it."""
    return FileResponse(found, media_type=media_of(found.name))


def _door(api: Api, call: Call) -> Callable[[Request], Awaitable[Response]]:
    async def door(request: Request) -> Response:
        # A large body is read, and a large answer written, beside the loop: it has others to answer.
        given = await asyncio.to_thread(_arguments, await request.body())
        return await _as_json(call, await call(api, given))

    return door


def _reading_door(api: Api, call: Call) -> Callable[[Request], Awaitable[Response]]:
    async def door(request: Request) -> Response:
        return await _as_json(call, await call(api, dict(request.query_params)))

    return door


def _arguments(body: bytes) -> Mapping[str, Any]:
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the request's body is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise RefusedError(400, "the request's body must be a JSON object of the call's arguments")
    return given


async def _as_json(call: Call, answer: Any) -> Response:
    body = await asyncio.to_thread(call.answer.dump_json, answer)
    return Response(body, media_type="application/json", headers={"cache-control": "no-store"})


async def answer(_: Request, error: Exception) -> Response:
    """The answer to what was refused, in the one form of all refusals."""
    headers: Mapping[str, str] | None = None
    match error:
        case RefusedError():
            refused = error
        case HTTPException():
            refused, headers = RefusedError(error.status_code, str(error.detail)), error.headers
        case RequestValidationError():
            said = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg'].lower()}" for each in error.errors())
            refused = RefusedError(400, said)
        case OSError() | sqlite3.Error():
            refused = RefusedError.failed(error)
        case _:
            refused = RefusedError(400, "the request did not come whole")
    return Response(refused.body(), refused.status, headers, media_type="application/json")
