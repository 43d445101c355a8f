"""The server's own description: true of the server, and what the page of its calls and the canvas' types are made of."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from pydantic import TypeAdapter
from websockets.sync.client import connect

from tests.ui.conftest import ROOT, RunningServer, looping
from ui.calls import CALLS
from ui.messages import ClientMessage, ServerMessage
from ui.openapi import HERE
from ui.reference import markdown
from ui.schemas import AnyEvent


@pytest.fixture(scope="module")
def document(server: RunningServer) -> dict[str, Any]:
    told: dict[str, Any] = server.http.get("/openapi.json").json()
    told.pop("servers", None)
    return told


def test_the_description_and_its_page_are_up_to_date(document: dict[str, Any]) -> None:
    assert json.loads((HERE / "openapi.json").read_text()) == document, "run python -m ui.openapi"
    assert (HERE / "API.md").read_text() == markdown(document), "run python -m ui.openapi"


def test_every_call_is_described_with_all_that_it_takes(document: dict[str, Any]) -> None:
    page = markdown(document)
    for name, call in CALLS.items():
        operations = document["paths"][f"/api/{name}"]
        assert set(operations) == ({"get", "post"} if call.reads else {"post"})
        chapter = page.partition(f"### `{name}`\n")[2].partition("\n### ")[0]
        for argument in call.arguments.model_fields:
            assert f"| `{argument}` |" in chapter, (name, argument)
        assert call.help.partition("\n")[0] in chapter


def test_every_schema_that_is_referred_to_is_there(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    referred = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert referred <= set(schemas)
    assert {path.split("/")[1] for path in document["paths"]} == {
        *("api", "upload", "pictures", "extract", "files", "thumbnails")
    }
    assert not {name for name in schemas if "Input" in name or "Output" in name} - {"Output", "OutputsArguments"}


def test_the_examples_do_what_the_page_says(server: RunningServer, document: dict[str, Any]) -> None:
    """Each as it stands in the page, in the order in which a person might try them; by both ways where there are two."""
    first = ["submit", "save", "history"]
    last = ["cancel", "discard", "restore", "remove"]
    order = [*first, *(name for name in CALLS if name not in first + last), *last]
    run = 0
    for name in order:
        body = document["paths"][f"/api/{name}"]["post"]["requestBody"]["content"]["application/json"]
        given = {**body["example"], **({"run": run} if "run" in body["example"] else {})}
        if name == "profile":
            folder = server.workspace / server.over(run)["folder"]
            (folder / "profile.json").write_text('{"seconds": 1.0, "nodes": {}}')
        if name == "go_on":
            folder = server.workspace / server.over(run)["folder"]
            (folder / "checkpoints.json").write_text('{"fit": ["of-fit"]}')
            (server.workspace / "checkpoints" / "of-fit" / "step-100").mkdir(parents=True)
        if name in ("favour", "plots"):
            picture = server.workspace / body["example"]["path"]
            picture.parent.mkdir(parents=True, exist_ok=True)
            picture.write_bytes(b"")
        if name == "hash_model":
            model = server.workspace / body["example"]["path"]
            model.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / "workflows" / body["example"]["path"], model)
        answer = server.call(name, **given)
        TypeAdapter(CALLS[name].answer._type).validate_python(answer)
        if CALLS[name].reads:
            assert server.http.get(f"/api/{name}", params=given).status_code == 200, name
        run = run or answer["run"]


def test_what_is_said_over_the_socket_is_of_the_forms_described(server: RunningServer) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(ServerMessage)
    events: TypeAdapter[Any] = TypeAdapter(AnyEvent)
    kinds = set()
    with connect(server.url.replace("http", "ws") + "/ws", proxy=None, max_size=None) as socket:
        # Begun before, it might be over, and its summary told, before anybody listens.
        run = server.submit(looping(5, 0.01))
        socket.send("nonsense")
        socket.send(ClientMessage(subscribe=run).model_dump_json(exclude_none=True))
        while not {"ended", "runs"} <= kinds:
            message = json.loads(socket.recv(60))
            adapter.validate_python(message, extra="forbid")
            for event in message.get("events", []):
                events.validate_python(event, extra="forbid")
                kinds.add(event["event"])
            kinds |= set(message)
    assert {"hello", "runs", "error", "events", "planned", "started", "progress", "finished"} <= kinds


def test_a_refusal_is_of_its_form(server: RunningServer, document: dict[str, Any]) -> None:
    answer = server.http.post("/api/submit", json={"workflow": {"loom": 1, "nodes": {"a": {"type": "numbr"}}}})
    assert set(answer.json()) == set(document["components"]["schemas"]["Refusal"]["required"])
    assert set(answer.json()["problems"][0]) == set(document["components"]["schemas"]["Problem"]["required"])
