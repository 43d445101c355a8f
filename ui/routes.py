"""The plain routes: the page and its files, the calls as JSON, files in and out."""

from __future__ import annotations

import asyncio
import inspect
import json
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ui.api import Api
from ui.calls import CALLS, Call
from ui.refusal import RefusedError
from ui.schemas import Document, FileEntry, Refusal
from ui.workspace import media_of, thumbnail

NOT_BUILT = "The canvas is not built. In the repository run: python hatch_build.py"


JSON = "application/json"
REFUSED: dict[int | str, dict[str, Any]] = {"4XX": {"model": Refusal, "description": "what is refused, and what to do"}}
ANSWERED = (RefusedError, HTTPException, RequestValidationError, OSError, sqlite3.Error, ClientDisconnect)
"""What `answer` makes a refusal of."""


def add_routes(server: FastAPI, api: Api, page: Path) -> None:
    """Give the server its plain routes, and the form of its refusals."""

    async def unknown(name: str) -> Response:
        raise RefusedError(404, f"there is no call {name!r}; there is {', '.join(CALLS)}")

    async def upload(request: Request, name: str = "file") -> Response:
        async with api.workspace.received(request.stream()) as received:
            entry = await asyncio.to_thread(api.workspace.keep, received, name)
        return Response(entry.model_dump_json(), media_type=JSON)

    async def keep_picture(request: Request, name: str = "picture", folder: str = "", mask: bool = False) -> Response:
        async with api.workspace.received(request.stream()) as received:
            entry = await asyncio.to_thread(api.uploads.keep, received, name, folder, mask)
        return Response(entry.model_dump_json(), media_type=JSON)

    async def extract(request: Request) -> Response:
        async with api.workspace.received(request.stream()) as received:
            document = await asyncio.to_thread(api.library.extract, received)
            return Response(await asyncio.to_thread(document.model_dump_json), media_type=JSON)

    def file(path: str, width: int = 0) -> Response:
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
        about, _, more = call.help.partition("\n\n")
        said: dict[str, Any] = {
            **{"summary": about, "description": more, "tags": ["Calls"], "responses": REFUSED},
            **{"response_model": call.answer._type, "response_description": "the answer"},
            "route_class_override": DescribedRoute,
        }
        asked = {"requestBody": {"content": {JSON: {"example": call.example}}}}
        server.router.add_api_route(
            f"/api/{name}", _door(api, call), methods=["POST"], operation_id=name, openapi_extra=asked, **said
        )
        if call.reads:
            server.router.add_api_route(
                f"/api/{name}", _reading_door(api, call), methods=["GET"], operation_id=f"{name}_by_address", **said
            )
    server.add_api_route("/api/{name}", unknown, methods=["GET", "POST"], include_in_schema=False)
    sent = {"requestBody": {"required": True, "content": {"*/*": {}}}}
    for method, path, function, answers, about in (
        ("POST", "/upload", upload, FileEntry, "Keep the body, a file's bytes, under `uploads/`. The same content twice is one file."),
        ("POST", "/pictures", keep_picture, FileEntry, "Keep the body under `uploads/` if it is a picture, else 415. `folder`: in one that `new_folder` made, under its own name, captions (.txt) too. `mask`: as greys, white where it is painted."),
        ("POST", "/extract", extract, Document, "The workflow of the body: a PNG that carries one, or a workflow file (what was dropped on the canvas). 415 where there is none, 422 where it is malformed."),
        ("GET", "/files/{path:path}", file, None, "A file of the workspace; with `width` an image's thumbnail of so many pixels (WebP)."),
        ("GET", "/thumbnails/{path:path}", picture, None, "A workflow's picture; `WorkflowEntry.thumbnail` holds the address."),
    ):  # fmt: skip
        server.add_api_route(
            path,
            function,
            methods=[method],
            operation_id=function.__name__,
            summary=about,
            tags=["Files"],
            response_model=answers,
            responses=REFUSED,
            openapi_extra=sent if method == "POST" else None,
        )
    server.add_api_route("/", index, methods=["GET"], include_in_schema=False)
    server.add_api_route("/assets/{path:path}", assets, methods=["GET"], include_in_schema=False)
    for kind in ANSWERED:
        server.exception_handler(kind)(answer)


def file_response(found: Path) -> Response:
    """A file of the workspace; the guard says what a browser may do with it."""
    return FileResponse(found, media_type=media_of(found.name))


class DescribedRoute(APIRoute):
    """A route that FastAPI describes by its endpoint's signature, and whose endpoint reads the request itself.

    A large body is read, and a large answer written, beside the loop: it has others to answer.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What FastAPI calls for a request."""

        async def handle(request: Request) -> Response:
            answer: Response = await self.endpoint(request)
            return answer

        return handle


def _door(api: Api, call: Call) -> Callable[[Request], Awaitable[Response]]:
    async def door(request: Request) -> Response:
        given = await asyncio.to_thread(_given, await request.body())
        return await _as_json(call, await call(api, given))

    return _described(door, call.arguments)


def _reading_door(api: Api, call: Call) -> Callable[[Request], Awaitable[Response]]:
    async def door(request: Request) -> Response:
        return await _as_json(call, await call(api, dict(request.query_params)))

    return _described(door, Annotated[call.arguments, Query()])


def _described(door: Callable[[Request], Awaitable[Response]], arguments: Any) -> Callable[..., Awaitable[Response]]:
    """The door, with what it takes for FastAPI to read; nothing where the call takes nothing."""
    empty = not getattr(arguments, "__origin__", arguments).model_fields
    given = inspect.Parameter("arguments", inspect.Parameter.KEYWORD_ONLY, annotation=arguments)
    door.__signature__ = inspect.Signature([] if empty else [given])  # type: ignore[attr-defined]
    return door


def _given(body: bytes) -> Mapping[str, Any]:
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the request's body is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise RefusedError(400, "the request's body must be a JSON object of the call's arguments")
    return given


async def _as_json(call: Call, answer: Any) -> Response:
    body = await asyncio.to_thread(call.answer.dump_json, answer)
    return Response(body, media_type=JSON, headers={"cache-control": "no-store"})


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
    return Response(refused.body(), refused.status, headers, media_type=JSON)
