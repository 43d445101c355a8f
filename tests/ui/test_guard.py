"""Who may speak to the server: every route without credentials, foreign names, foreign pages."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message, Scope

from tests.ui.conftest import ROOT, free_port, graph
from tests.ui.guarded import ME, TUNNEL
from ui.guard import Guard

FORM = {"a": {"type": "number"}, "m": {"type": "measure", "wires": {"x": "a"}}}


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """A guarded server, and the path of every route it has, those of one app view among them."""
    workspace, port = tmp_path_factory.mktemp("guarded"), free_port()
    (workspace / "workflows").mkdir()
    workflow = graph(FORM, exposed={"params": {"value": "a.value"}})
    (workspace / "workflows" / "form.json").write_text(json.dumps(workflow))
    command = [sys.executable, "-m", "tests.ui.guarded", str(workspace), str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://127.0.0.1:{port}", [*json.loads(process.stdout.readline()), "/nowhere", "/app/nothing/"]
        process.stdin.close()


def test_every_route_asks_for_credentials(routes: tuple[str, list[str]]) -> None:
    url, paths = routes
    assert {"/", "/api/submit", "/ws", "/files/path", "/upload", "/login", "/gradio_api/queue/join"} <= set(paths)
    assert any(path.startswith("/app/form/gradio_api/") for path in paths)
    wrong: list[tuple[str, str, int]] = []
    with httpx.Client(base_url=url) as client:
        for path in paths:
            for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
                answer = client.request(method, path, headers={"cookie": "loom=guess"})
                if answer.status_code != 401:
                    wrong.append((method, path, answer.status_code))
        assert client.get("/", auth=("anna", "password")).status_code == 401
    assert len(paths) > 150
    assert not wrong


def test_a_path_that_comes_by_wire_leads_nowhere_else_than_one_that_is_typed(
    routes: tuple[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    url, _ = routes
    base = tmp_path_factory.getbasetemp()
    (base / "lent").mkdir()
    for place in ("secret.txt", "lent/one.txt"):
        (base / place).write_text("1")

    def reading(path: Path) -> dict[str, Any]:
        body = {"nodes": {"f": {"type": "read_number", "wires": {"path": "z.item.p"}}}, "results": {"n": "f"}}
        zone = {"type": "for_each", "params": {"over": {"p": [str(path)]}}, "body": body}
        show = {"type": "show_number", "wires": {"x": "sum"}}
        return graph({"z": zone, "sum": {"type": "total", "wires": {"numbers": "z.n"}}, "show": show})

    with httpx.Client(base_url=url, auth=ME, timeout=60) as client:

        def ends(path: Path) -> dict[str, Any]:
            run = client.post("/api/submit", json={"workflow": reading(path)}).json()["run"]
            deadline = time.monotonic() + 60
            while not (summary := client.post("/api/run", json={"run": run}).json())["ended"]:
                assert time.monotonic() < deadline, summary
                time.sleep(0.05)
            return dict(summary)

        assert ends(base / "lent" / "one.txt")["status"] == "done"
        outside = ends(base / "secret.txt")
        assert outside["status"] == "failed"
        said = f"f: {base / 'secret.txt'} is outside of the workspace, and others can reach this server"
        assert outside["error"].startswith(said)
        foreseen = client.post("/api/estimate", json={"workflow": reading(base / "secret.txt")}).json()
        assert [problem["message"] for problem in foreseen["problems"]] == [outside["error"].removeprefix("f: ")]


def test_credentials_open_the_door_and_a_cookie_keeps_it_open(routes: tuple[str, list[str]]) -> None:
    url, _ = routes
    with httpx.Client(base_url=url) as client:
        first = client.get("/api/about", auth=ME)
        assert first.status_code == 200
        assert "HttpOnly; SameSite=Strict" in first.headers["set-cookie"]
        again = client.get("/api/about")
        assert again.status_code == 200
        assert "set-cookie" not in again.headers


def test_the_shared_address_is_let_in_with_credentials_alone(routes: tuple[str, list[str]]) -> None:
    url, _ = routes
    with httpx.Client(base_url=url) as client:
        assert client.get("/api/about", headers={"host": TUNNEL}).status_code == 401
        assert client.get("/api/about", headers={"host": "other.gradio.live"}, auth=ME).status_code == 403
        assert (
            client.get("/api/about", headers={"host": TUNNEL, "origin": f"https://{TUNNEL}"}, auth=ME).status_code
            == 200
        )


def test_the_websocket_asks_too(routes: tuple[str, list[str]]) -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    url = routes[0].replace("http", "ws") + "/ws"
    with pytest.raises(InvalidStatus) as refused:
        connect(url, proxy=None)
    assert refused.value.response.status_code == 401
    cookie = httpx.get(routes[0] + "/api/about", auth=ME).headers["set-cookie"].partition(";")[0]
    with connect(url, proxy=None, additional_headers={"cookie": cookie}) as socket:
        assert "hello" in str(socket.recv(5))
    with pytest.raises(InvalidStatus) as refused:
        connect(url, proxy=None, additional_headers={"cookie": cookie}, origin="http://evil.example")  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403


def asked(headers: dict[str, str], path: str = "/api/about", body: bytes = b"") -> int:
    """The status of a request to a guard without credentials; 200 is the application's."""

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request" and message.get("more_body"):
            pass
        status = 200 if message["type"] == "http.request" else 499
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    half = len(body) // 2
    messages: list[Message] = [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:], "more_body": False},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, value in {"host": "localhost:7860", **headers}.items()]
    guard = Guard(application, None, ["localhost", "loom.example"], {"": 100, "/upload": 1000})
    asyncio.run(guard({"type": "http", "path": path, "headers": pairs, "method": "POST"}, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "127.0.0.1:7860"}, 200),
        ({"host": "[::1]:7860"}, 200),
        ({"host": "loom.example"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "localhost.evil.example:7860"}, 403),
        ({"host": "evil.example@localhost"}, 403),
        ({"host": "localhost:port"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://localhost:7860"}, 200),
        ({"origin": "http://localhost:7861"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_only_own_names_and_own_pages(headers: dict[str, str], status: int) -> None:
    assert asked(headers) == status


def test_bodies_are_limited_whether_they_tell_their_length_or_not() -> None:
    assert asked({"content-length": "101"}) == 413
    assert asked({"content-length": "101"}, "/upload") == 200
    assert asked({}, body=b"x" * 100) == 200
    assert asked({}, body=b"x" * 101) == 499


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--listen"], "give it a password"),
        (["--share"], "give it a password"),
        (["--auth", "anna"], "user:password"),
        (["--device", "cuda:99"], "--device"),
    ],
)
def test_the_command_line_refuses_what_is_not_safe(options: list[str], said: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ui", "--workspace", str(tmp_path), *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert said in ended.stderr
