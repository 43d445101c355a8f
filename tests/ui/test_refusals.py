"""What a server must not do, and says so: paths that leave the workspace, hostile files, far too large ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ui.conftest import RunningServer, graph

NODES = {"a": {"type": "number"}, "m": {"type": "measure", "wires": {"x": "a"}}}


@pytest.mark.parametrize(
    "path",
    ["../secret.json", "/etc/passwd", "a/../../b.json", "..\\secret.json", "C:/x.json", ".server/server.db", "x\0y"],
)
def test_paths_outside_the_workspace(server: RunningServer, path: str) -> None:
    for name, arguments in (("open", {"path": path}), ("files", {"folder": path}), ("discard", {"path": path})):
        assert server.refused(name, **arguments)[0] == 400, name
    assert server.refused("save", path=path, workflow=graph(NODES))[0] == 400
    assert server.refused("save", path=f"workflows/{path}", workflow=graph(NODES))[0] == 400


def test_urls_outside_the_workspace(server: RunningServer) -> None:
    (server.workspace.parent / "secret.txt").write_text("the cat sleeps")
    (server.workspace / "link.txt").symlink_to(server.workspace.parent / "secret.txt")
    paths = (
        "files/%2e%2e/secret.txt", "files/..%2fsecret.txt", "files//etc/passwd", "files/.server/server.db", "files/link.txt",
        "assets/..%2f..%2f..%2fapi.py", "thumbnails/shipped/..%2f..%2fpyproject.toml", "app/..%2f..%2fsecret/",
        "files/%00", "files/" + "x" * 300, "gradio_api/file=/etc/passwd",
        f"gradio_api/file={server.workspace}/.server/server.db",
    )  # fmt: skip
    for path in paths:
        answer = server.http.get(f"/{path}")
        assert answer.status_code in (400, 403, 404), path
        assert "the cat sleeps" not in answer.text


def nested(depth: int) -> str:
    """A workflow of zones in zones."""
    inner = "{}"
    for i in range(depth):
        inner = f'{{"z{i}": {{"type": "group", "body": {{"nodes": {inner}, "results": {{}}}}}}}}'
    return f'{{"loom": 1, "nodes": {inner}}}'


@pytest.mark.parametrize(
    "workflow",
    [
        "",
        "[]",
        "{",
        "null",
        '{"loom": 2}',
        '{"loom": 1, "loom": 1}',
        '{"loom": 1, "nodes": {"a": {"type": "number", "code": "import os"}}}',
        '{"loom": 1, "nodes": {"__class__": {"type": "number"}}}',
        '{"loom": 1, "title": "\\ud800"}',
        '{"loom": 1, "nodes": {"a": {"type": "number", "params": {"value": NaN}}}}',
        '{"loom": 1, "nodes": {"a": {"type": "number", "params": {"value": 1e999}}}}',
        "[" * 100_000,
        '{"a":' * 100_000,
        nested(60),
        nested(3000),
    ],
    ids=lambda text: text[:24],
)
def test_hostile_workflows_are_refused_with_a_sentence(server: RunningServer, workflow: str) -> None:
    """Nothing is executed, nothing hangs, and the server's answer is the same to each question."""
    problems = server.call("validate", workflow=workflow)["problems"]
    if workflow != nested(60):
        assert problems
        assert all(problem["message"] for problem in problems)
        assert server.refused("submit", workflow=workflow)[0] == 422
    dropped = server.http.post("/extract", content=workflow.encode(errors="surrogatepass"))
    assert dropped.status_code in (200, 415, 422)
    if dropped.status_code != 200:
        assert dropped.json()["error"]


def test_a_thousand_wrong_nodes_are_each_told(server: RunningServer) -> None:
    nodes = {f"n{i}": {"type": f"numbr{i}", "wires": {"x": f"m{i}"}} for i in range(1000)}
    assert len(server.call("validate", workflow=graph(nodes))["problems"]) >= 1000


def test_fifty_megabytes_of_json(server: RunningServer) -> None:
    body = json.dumps({"workflow": {"loom": 1, "about": "x" * (50 << 20)}})
    for path in ("api/validate", "api/save", "gradio_api/call/validate", "gradio_api/queue/join"):
        answer = server.http.post(f"/{path}", content=body)
        assert (answer.status_code, "larger than" in answer.json()["error"]) == (413, True), path
    assert server.http.post("/extract", content=body).status_code == 422
    (server.workspace / "big.json").write_text(body)
    assert "larger than" in server.refused("open", path="big.json")[1]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("submit", {}, "workflow: field required"),
        ("submit", {"workflow": 3}, "workflow"),
        ("submit", {"workflow": {}, "speed": 1}, "speed"),
        ("submit", {"workflow": {"loom": 1}, "seed": -1}, "seed"),
        ("run", {"run": "x"}, "run"),
        ("history", {"limit": 10**9}, "limit"),
    ],
)
def test_wrong_arguments_are_named(server: RunningServer, name: str, arguments: dict[str, Any], said: str) -> None:
    status, error = server.refused(name, **arguments)
    assert status == 400
    assert said in error


def test_unknown_calls_devices_and_bodies(server: RunningServer) -> None:
    assert server.refused("sumbit")[0] == 404
    assert server.refused("submit", workflow=graph(NODES), device="cuda:7")[0] == 400
    assert server.http.post("/api/validate", content=b"{").status_code == 400
    assert server.http.post("/api/validate", content=b"[]").status_code == 400
    assert server.http.get("/api/cancel?run=1").status_code in (404, 405), "a link must not change anything"
    assert server.http.get("/nowhere").status_code == 404


def test_a_picture_without_a_workflow(server: RunningServer) -> None:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "PNG")
    for content in (out.getvalue(), out.getvalue()[:30], b"\x89PNG rubbish", b"GIF89a"):
        answer = server.http.post("/extract", content=content)
        assert answer.status_code in (415, 422)
        assert answer.json()["error"]
    kept = server.http.post("/upload?name=../../evil.png", content=out.getvalue()).json()
    assert kept["path"].startswith("uploads/evil-")
    assert server.http.post("/upload?name=x.png", content=b"rubbish").json()["media"] == "image/png"
    broken = server.http.post("/upload?name=x.png", content=b"rubbish").json()["url"]
    assert server.http.get(f"/{broken}?width=64").status_code == 415
