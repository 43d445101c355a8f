"""`python -m ui.openapi`: the OpenAPI document of the server (ui/openapi.json), and ui/API.md, made of it.

`--check` changes nothing and fails where one of them is out of date. The page's types are made of the document whenever
the page is built or checked.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from starlette.routing import BaseRoute

from graph_runner.base.files import write_atomically
from ui.messages import ClientMessage, ServerMessage
from ui.reference import markdown

HERE = Path(__file__).parent
REF = "#/components/schemas/{model}"
VERSION = "1"
ABOUT = """\
What the page uses, anybody may use. There are three doors to the same functions (`ui/api.py`):

| door | for | how |
|-|-|-|
| `POST /api/NAME` | the page, curl | arguments as one JSON object; calls that only read also answer `GET /api/NAME?arg=…` |
| Gradio, `api_name="/NAME"` | Python scripts | `gradio_client.Client(url).predict(arg=…, api_name="/NAME")` |
| `/ws` | live events | WebSocket, see below |

All addresses are relative to the page (`api/…`, `ws`, `files/…`), so that a share link or a proxy with a prefix works. The server describes itself at `/openapi.json`
(in the repository `ui/openapi.json`), of which this page and the canvas' types are made.

**Errors.** Status 400 (bad argument, path outside the workspace), 404 (no such run, file, call), 405 (method), 409 (conflict, a full queue), 413 (too large, also where the length was not told), 414 (a
longer address than 8192 characters), 415 (not such a file), 422 (the workflow is wrong), 401 (credentials), 403 (Host or Origin, a file's permissions), 429 (too many wrong passwords), 507 (the disk is
full; nothing was changed). Never 500. The body is always `Refusal`:
`{"error": "a sentence for people, with what to do", "problems": [Problem, …]}`; `problems` is empty but for 422. A Gradio client raises the sentence.

**Workflows** go in as a JSON object or as text (text lets the server report doubled keys and broken JSON with line and column), and come out as both
`text` (the canonical bytes, what the file holds) and `workflow` (the parsed object). Bytes are written by the server only (`save`, `canonical`): the page never formats
a file. Key order inside `nodes` and `layout` is the order of the object sent. *Integers above 2^53 do not survive JavaScript's `JSON.parse`*, and seeds go to 2^64 − 1: in a browser read and send a workflow's text, as the page does, and no object.

**Gradio's client** takes every object with a text under `path` for a file and downloads it. Through that door such a field is called `file` instead, and a `Document` or
`RunDetail` carries its `text` only. Arguments keep their names. Gradio alone has `subscribe(run, after=0)`, a generator of lists of `RunEvent` that ends with the run; `download(path)`, a workspace file as
a file; `upload(file)` and `extract(file)` as the routes of these names.
"""
CALLS = "Arguments are sent as one JSON object. Others than these are refused."
FILES = """\
Besides them there are pages for people: `GET /login` and `POST /login` (user and password, or the token; `username`, `password`, and where to go `next` begin a session; without `next` the answer
is `{"success": true}`), `GET /logout` and `POST /logout`, and `GET /app/NAME` (`WorkflowEntry.app` holds the address), which leads to the app view of a
workflow; below it Gradio's clients find a form of the exposed parameters, with `/submit` and `/watch`.
"""
LIVE = """\
Text frames, JSON objects, each of one of these forms. The server speaks first. A page's message is a text of at most 10,000 characters; a page has at most 1000 subscriptions.

Events are numbered per run from 1 (`n`) and kept for good: after a lost connection subscribe again with `after` = the last `n` seen. If `hello.boot` is another than before, the server was restarted: drop
what you hold of unfinished runs and subscribe from 0. A subscription stays after the run's end until unsubscribed; nothing more comes then.

Only nodes at the top of the graph start and finish; what is inside a zone shows through the zone (`progress`, at most 10 a second for each loop), and through `shown`, `metric` and `failed`, which name the inner node.
Node ids are those of the file; a node inside a definition used as `d` is named as the engine expands it. The last event is always `ended`.
`interrupted`: the server and its worker died during the run. Submitting the same workflow again goes on from the checkpoint; so does a `stopped` or `failed` one.
"""
CREDENTIALS = """\
With `--auth user:password` or `--token` every route, the WebSocket and the forms answer 401 without them ([SECURITY.md](../SECURITY.md)).

- A browser is shown a page that asks. A login begins a session: a cookie (HttpOnly, SameSite=Lax, Secure behind TLS) that the WebSocket sends too, until `POST /logout`, two weeks without use, or the server's end.
- `GET /?token=TOKEN`, as the server prints it, begins a session as well, and leads to the same address without the token.
- Scripts: `Client(url, auth=("user", "password"))`, `Client(url, headers={"Authorization": "Bearer TOKEN"})`, or HTTP Basic; the token also stands for any user's password.
"""
HEADERS = """\
Every answer says what a browser may do with it (`ui/headers.py`): `Content-Security-Policy` (the canvas: its own scripts; a file of the workspace: a sandbox without scripts; all
else: nothing), `X-Content-Type-Options: nosniff`, `Referrer-Policy: same-origin`, `Cross-Origin-Opener-Policy` and `Cross-Origin-Resource-Policy: same-origin`.

Behind a proxy below a path (`--root-path /loom`, or the header `X-Forwarded-Prefix`) all of the above has that prefix, whether the proxy takes it off or not.
"""
TAGS = {
    "Calls": CALLS, "Files": FILES, "Live: the WebSocket `/ws`": LIVE, "Credentials": CREDENTIALS, "Headers": HEADERS,
}  # fmt: skip


def describe(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The OpenAPI document of our routes, and of what is said over the WebSocket, which OpenAPI itself has no word for."""
    ours = [route for route in routes if isinstance(route, APIRoute) and set(route.tags) & set(TAGS)]  # not Gradio's
    tags = [{"name": name, "description": text} for name, text in TAGS.items()]
    document = get_openapi(title="The server's API", version=VERSION, description=ABOUT, routes=ours, tags=tags)
    schemas: dict[str, Any] = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's; ours are refusals
        schemas.pop(name, None)
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    messages: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        ("ServerMessage", "serialization", TypeAdapter(ServerMessage)),
        ("ClientMessage", "validation", TypeAdapter(ClientMessage)),
    ]
    made, shared = TypeAdapter.json_schemas(messages, ref_template=REF, schema_generator=GenerateJsonSchema)
    schemas = (
        shared["$defs"]
        | {str(name): schema for (name, _), schema in made.items() if name not in shared["$defs"]}
        | schemas
    )
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def main() -> int:
    """Write the files, or check them."""
    from ui.server import Settings, build  # which serves this document

    parser = argparse.ArgumentParser("python -m ui.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as workspace:
        document = build(Settings(workspace=Path(workspace))).openapi()
    made = {
        HERE / "openapi.json": json.dumps(document, indent=1, ensure_ascii=False) + "\n",
        HERE / "API.md": markdown(document),
    }
    stale = [path for path, text in made.items() if not path.is_file() or path.read_text() != text]
    for path in stale:
        if check:
            print(f"{path} is out of date: run python -m ui.openapi", file=sys.stderr)
        else:
            write_atomically(path, made[path].encode())
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
