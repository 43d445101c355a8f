"""What of Gradio's own routes is open: those that its clients and forms use, and its files by our rules.

Gradio brings a hundred routes, for the development of an app, for its monitoring, for a history elsewhere; each would be
a door that nobody watches.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from ui.refusal import RefusedError
from ui.routes import file_response
from ui.workspace import Workspace

CALLS = re.compile(
    r"/(config/?|gradio_api/(info/?|openapi\.json|app_id|startup-events|upload|upload_progress|queue/(join|data|status)"
    r"|heartbeat/\w+|cancel|reset/?|call/\w+(/\w+)?|run/\w+/?|api/\w+/?|login_check/?|user/?|token/?))"
)
FORM = re.compile(
    CALLS.pattern
    + r"|/?|/(theme\.css|favicon\.ico|manifest\.json|pwa_icon(/\d+)?|robots\.txt|(static|assets|svelte)/[\w./@-]+)"
    + r"|/gradio_api/(component_server/?|stream/[\w./-]+)"
)
FILE = re.compile(r"/gradio_api/file[=/](.*)", re.DOTALL)


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


async def finish(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let Gradio answer. It breaks off the stream of a session that it does not know, after telling so: that is an end."""
    try:
        await app(scope, receive, send)
    except RuntimeError as error:
        if not isinstance(error.__cause__, HTTPException):
            raise
        await send({"type": "http.response.body", "body": b"", "more_body": False})
