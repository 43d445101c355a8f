"""What of Gradio's own routes is open: those that its clients use, and its files by our rules.

Gradio brings a hundred routes, for the development of an app, for its monitoring, for a history elsewhere; each would be
a door that nobody watches.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import gradio
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.refusal import RefusedError
from ui.routes import file_response
from ui.workspace import Workspace

log = logging.getLogger(__name__)


class OneLine:
    """In the place of `traceback` in Gradio's queue: what a client sent in a wrong form is told to it, and no fault here."""

    @staticmethod
    def print_exc() -> None:
        """Note what failed."""
        log.warning("a call through Gradio failed: %.500r", sys.exc_info()[1])


gradio.queueing.traceback = OneLine

CALLS = re.compile(
    r"/(config/?|favicon\.ico|gradio_api/(info/?|openapi\.json|app_id|startup-events|upload|upload_progress|queue/(join|data|status)"
    r"|heartbeat/\w+|cancel|reset/?|call/\w+(/\w+)?|login_check/?|user/?|token/?))"
)
FILE = re.compile(r"/gradio_api/file[=/](.*)", re.DOTALL)


JOB = re.compile(r"/gradio_api/(?:call/(\w+)/?|queue/join/?)")


class Job(BaseModel):
    """A call to be made, as Gradio's clients send it."""

    data: Annotated[list[Any], Field(max_length=1000)]
    fn_index: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    trigger_id: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    session_hash: Annotated[str, Field(pattern=r"^[\w-]{1,64}$")] | None = None
    event_id: Annotated[str, Field(max_length=64)] | None = None
    event_data: Any = None
    batched: Literal[False] | None = False
    simple_format: bool = False


async def serve_file(workspace: Workspace, path: str, scope: Scope, receive: Receive, send: Send) -> bool:
    """Answer for a file that Gradio would serve, as `/files/` would; False where another thing is asked for.

    Raises RefusedError where the file is not to be had.
    """
    match = FILE.search(path)
    if match is None:
        return False
    if scope["method"] not in ("GET", "HEAD"):
        raise RefusedError(405, "files are only read here")
    found = await asyncio.to_thread(workspace.served, Path(match[1]))
    await file_response(found)(scope, receive, send)
    return True


async def checked(blocks: gradio.Blocks, path: str, scope: Scope, receive: Receive) -> Receive:
    """What a client sends to be called, once it is known to be a call: Gradio answers others with faults of its own.

    Raises RefusedError where it is none.
    """
    job = JOB.fullmatch(path)
    if job is None or scope["method"] != "POST":
        return receive
    body = await Request(scope, receive).body()
    await asyncio.to_thread(_check_job, blocks, job[1], body)
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _check_job(blocks: gradio.Blocks, name: str | None, body: bytes) -> None:
    try:
        job = Job.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise RefusedError(400, f"no call: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    functions = blocks.fns.values()
    asked = [each for each in functions if (each._id == job.fn_index if name is None else each.api_name == name)]
    if not asked:
        raise RefusedError(404, f"there is no endpoint {name or job.fn_index!r}")
    inputs = asked[0].inputs
    if len(job.data) not in (len(inputs), len([each for each in inputs if not each.skip_api])):
        raise RefusedError(
            400, f"{asked[0].api_name} takes {len(inputs)} values in data, and {len(job.data)} were given"
        )
    if name is None and job.session_hash is None:
        raise RefusedError(400, "a call that joins the queue names its session_hash")


async def finish(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let Gradio answer. It breaks off the stream of a session that it does not know, after telling so: that is an end."""
    try:
        await app(scope, receive, send)
    except RuntimeError as error:
        if not isinstance(error.__cause__, HTTPException):
            raise
        await send({"type": "http.response.body", "body": b"", "more_body": False})
