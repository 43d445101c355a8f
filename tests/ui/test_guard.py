"""Who may speak to the server: every route without credentials, foreign names, foreign pages."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Scope

from tests.ui.conftest import ROOT, free_port, graph
from tests.ui.guarded import ME, TOKEN, TUNNEL
from ui import sessions
from ui.guard import Guard
from ui.headers import Policy
from ui.refusal import RefusedError
from ui.sessions import Door, Sessions


def get(url: str, **options: Any) -> httpx.Response:
    return httpx.get(url, timeout=300, **options)  # a wrong password takes its time


def post(url: str, **options: Any) -> httpx.Response:
    return httpx.post(url, timeout=300, **options)


FORM = {"a": {"type": "number"}, "m": {"type": "measure", "wires": {"x": "a"}}}


@pytest.fixture(scope="module")
def guarded_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guarded") / "workspace"


@pytest.fixture(scope="module")
def routes(guarded_workspace: Path) -> Iterator[tuple[str, list[str]]]:
    """A guarded server, and the path of every route it has, those of one app view among them."""
    workspace, port = guarded_workspace, free_port()
    workspace.mkdir()
    (workspace / "workflows").mkdir()
    workflow = graph(FORM, exposed={"params": {"value": "a.value"}})
    (workspace / "workflows" / "form.json").write_text(json.dumps(workflow))
    command = [sys.executable, "-m", "tests.ui.guarded", str(workspace), str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://127.0.0.1:{port}", [*json.loads(process.stdout.readline()), "/nowhere", "/app/nothing/"]
        process.stdin.close()


METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD")


def policy_of(path: str) -> str:
    """What the content security policy of a path must begin with."""
    if path.startswith(("/files/", "/thumbnails/")) or "/gradio_api/file" in path:
        return "sandbox; default-src 'none'"
    if path == "/" or path.startswith("/assets/"):
        return "default-src 'self'; script-src 'self'"
    return "default-src 'none'"


def check_headers(answer: httpx.Response, path: str) -> None:
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff", path
    assert headers["referrer-policy"] == "same-origin", path
    assert headers["cross-origin-resource-policy"] == "same-origin", path
    policy = headers["content-security-policy"]
    assert "frame-ancestors" in policy, path
    if answer.status_code != 401 and "/login" not in path and "/logout" not in path:
        assert policy.startswith(policy_of(path)), path


def test_every_route_asks_for_credentials_and_says_what_a_browser_may_do(routes: tuple[str, list[str]]) -> None:
    url, paths = routes
    assert {"/", "/api/submit", "/ws", "/files/path", "/upload", "/login", "/gradio_api/queue/join"} <= set(paths)
    assert any(path.startswith("/app/form/gradio_api/") for path in paths)
    wrong: list[tuple[str, str, int]] = []
    with httpx.Client(base_url=url, timeout=300) as client:
        for path in paths:
            for method in METHODS:
                answer = client.request(method, path, headers={"cookie": "loom=guess"})
                check_headers(answer, path)
                if answer.status_code not in (401, 429):
                    wrong.append((method, path, answer.status_code))
        assert client.get("/", auth=("anna", "password")).status_code == 401
        page = client.get("/", headers={"accept": "text/html"})
        assert (page.status_code, "<form" in page.text, "www-authenticate" in page.headers) == (401, True, False)
        for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
            refused = client.get("/files/a", headers=headers)
            assert refused.status_code == 403
            check_headers(refused, "/files/a")
    assert len(paths) > 150
    assert not wrong


def test_a_path_that_comes_by_wire_leads_nowhere_else_than_one_that_is_typed(
    routes: tuple[str, list[str]], guarded_workspace: Path
) -> None:
    url, _ = routes
    base = guarded_workspace.parent
    (base / "lent").mkdir()
    for place in ("secret.txt", "lent/one.txt"):
        (base / place).write_text("1")

    def reading(path: Path) -> dict[str, Any]:
        body = {"nodes": {"f": {"type": "read_number", "wires": {"path": "z.item.p"}}}, "results": {"n": "f"}}
        zone = {"type": "for_each", "params": {"over": {"p": [str(path)]}}, "body": body}
        show = {"type": "show_number", "wires": {"x": "sum"}}
        return graph({"z": zone, "sum": {"type": "total", "wires": {"numbers": "z.n"}}, "show": show})

    with httpx.Client(base_url=url, auth=ME, timeout=300) as client:

        def ends(path: Path) -> dict[str, Any]:
            run = client.post("/api/submit", json={"workflow": reading(path)}).json()["run"]
            deadline = time.monotonic() + 60
            while not (summary := client.post("/api/run", json={"run": run}).json())["ended"]:
                assert time.monotonic() < deadline, summary
                time.sleep(0.05)
            return dict(summary)

        read = ends(base / "lent" / "one.txt")
        assert read["status"] == "done", read["error"]
        outside = ends(base / "secret.txt")
        assert outside["status"] == "failed"
        said = f"f: {base / 'secret.txt'} is outside of the workspace, and others can reach this server"
        assert outside["error"].startswith(said)
        foreseen = client.post("/api/estimate", json={"workflow": reading(base / "secret.txt")}).json()
        assert [problem["message"] for problem in foreseen["problems"]] == [outside["error"].removeprefix("f: ")]


def test_every_answer_to_who_is_let_in_says_so_too(routes: tuple[str, list[str]]) -> None:
    """All routes again, with credentials: pages, files, redirects, what is not there, what is not open."""
    url, paths = routes
    seen: set[int] = set()
    with httpx.Client(base_url=url, auth=ME, timeout=300) as client:
        for path in paths:
            if "heartbeat" in path or "queue/data" in path:
                continue  # these go on for ever
            for method in METHODS:
                answer = client.request(method, path)
                check_headers(answer, path)
                assert answer.status_code < 500 or (answer.status_code == 503 and path == "/"), (method, path)
                seen.add(answer.status_code)
        for path in (
            "/monitoring",
            "/gradio_api/dev/reload",
            "/gradio_api/proxy=http://a.b/",
            "/gradio_api/runs",
            "/app/form/monitoring",
        ):
            assert client.get(path).status_code == 404, path
    assert {200, 307, 400, 404, 405} <= seen


def test_what_lies_in_the_workspace_is_served_by_the_same_rules_at_every_door(
    routes: tuple[str, list[str]], guarded_workspace: Path
) -> None:
    url, _ = routes
    root = guarded_workspace
    (root / "page.html").write_text("<script>alert(1)</script>")
    (root / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    (root / ".hidden.txt").write_text("secret")
    (root / "folder" / ".git").mkdir(parents=True)
    (root / "folder" / ".git" / "config").write_text("secret")
    (root.parent / "outside.txt").write_text("secret")
    (root / "leads-out").symlink_to(root.parent / "outside.txt")
    os.mkfifo(root / "pipe")
    doors = (
        "/files/{relative}",
        "/gradio_api/file={absolute}",
        "/gradio_api/file/{absolute}",
        "/app/form/gradio_api/file={absolute}",
    )
    with httpx.Client(base_url=url, auth=ME, timeout=300) as client:
        for door in doors:

            def at(name: str, door: str = door) -> httpx.Response:
                return client.get(door.format(relative=name, absolute=root / name))

            for name in ("page.html", "drawing.svg"):
                assert at(name).status_code == 200, door
                check_headers(at(name), "/files/")
            for name in (
                ".hidden.txt", "folder/.git/config", "leads-out", "pipe", "../outside.txt", "folder/../../outside.txt",
                ".server/server.db", "%2e%2e/outside.txt", "..%2foutside.txt", "folder", "x" * 300, "%00", "%ff",
            ):  # fmt: skip
                answer = at(name)
                assert answer.status_code in (400, 403, 404), (door, name)
                assert "secret" not in answer.text
        for path in ("/etc/passwd", "/dev/zero", "/proc/self/environ", "~root/.bashrc", "http://127.0.0.1:1/", ""):
            assert client.get(f"/gradio_api/file={path}").status_code in (400, 403, 404), path


def test_a_password_begins_a_session_and_a_logout_ends_it(routes: tuple[str, list[str]]) -> None:
    url, _ = routes
    given = {"username": ME[0], "password": ME[1], "next": "/api/about?x=1"}
    with httpx.Client(base_url=url, timeout=300) as client, httpx.Client(base_url=url, timeout=60) as other:
        answer = client.post("/login", data=given)
        assert (answer.status_code, answer.headers["location"]) == (303, "/api/about?x=1")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Secure" not in cookie
        other.post("/login", data=given)
        assert dict(client.cookies) != dict(other.cookies), "a session for each login"
        again = client.get("/api/about")
        assert again.status_code == 200
        assert "set-cookie" not in again.headers
        kept = {"cookie": cookie.partition(";")[0]}
        assert client.get("/logout").status_code == 200
        assert client.post("/logout").status_code == 303
        assert client.get("/api/about", headers=kept).status_code == 401, (
            "the session itself is over, not the cookie alone"
        )
        assert other.get("/api/about").status_code == 200


@pytest.mark.parametrize(
    "there", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "\n/x"]
)
def test_a_login_leads_nowhere_else(routes: tuple[str, list[str]], there: str) -> None:
    answer = post(f"{routes[0]}/login", data={"username": ME[0], "password": ME[1], "next": there})
    assert answer.headers["location"] == "/"


def test_a_page_that_is_opened_with_a_password_gets_a_session_and_a_script_none(routes: tuple[str, list[str]]) -> None:
    url, _ = routes
    page = get(f"{url}/api/about", auth=ME, headers={"accept": "text/html", "x-forwarded-proto": "https"})
    assert "Secure" in page.headers["set-cookie"], "behind TLS"
    assert "set-cookie" not in get(f"{url}/api/about", auth=ME).headers


def test_the_token_opens_the_door(routes: tuple[str, list[str]]) -> None:
    url, _ = routes
    answer = get(f"{url}/api/about?a=1&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/api/about?a=1")
    assert get(f"{url}/api/about", cookies=dict(answer.cookies)).status_code == 200
    for headers in ({"authorization": f"Bearer {TOKEN}"}, {"authorization": f"token {TOKEN}"}):
        assert get(f"{url}/api/about", headers=headers).status_code == 200
    assert get(f"{url}/api/about", auth=("anybody", TOKEN)).status_code == 200
    assert get(f"{url}/api/about?token=wrong").status_code == 401
    assert get(f"{url}/api/about", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_wrong_passwords_are_slowed_down_and_nobody_is_locked_out() -> None:
    async def scene() -> None:
        slept: list[float] = []
        hold = asyncio.Event()

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            if hold.is_set():
                await asyncio.Event().wait()

        door = Door(("anna", "right"), None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sessions.asyncio, "sleep", sleep)
            for _ in range(8):
                assert not await door.let_in("1.2.3.4", "anna", "wrong")
            assert slept == sorted(slept)
            assert slept[0] == sessions.FIRST_DELAY
            assert slept[-1] == sessions.LONGEST_DELAY
            assert await door.let_in("1.2.3.4", "anna", "right")
            slept.clear()
            assert not await door.let_in("2001:db8::1", "anna", "wrong")
            assert not await door.let_in("2001:db8::2", "anna", "wrong"), "one network of IPv6 is one client"
            assert slept == [sessions.FIRST_DELAY, 2 * sessions.FIRST_DELAY]
            hold.set()
            waiting = [asyncio.ensure_future(door.let_in("1.2.3.4", "anna", "wrong")) for _ in range(sessions.AT_ONCE)]
            while len(slept) < 2 + sessions.AT_ONCE:
                await asyncio.wait(waiting, timeout=0.01)
            with pytest.raises(RefusedError, match="try again"):
                await door.let_in("1.2.3.4", "anna", "wrong")
            assert await door.let_in("5.6.7.8", "anna", "right"), "another client is not held up"
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert await door.let_in("1.2.3.4", "anna", "right")

    asyncio.run(scene())


def test_sessions_end() -> None:
    now = [0.0]
    held = Sessions(lambda: now[0])
    one, two = held.begin(), held.begin()
    assert held.find(one) is not None
    assert held.find("guess") is None
    now[0] = sessions.IDLE_SECONDS - 1
    assert held.find(one) is not None
    now[0] += 2
    assert held.find(one) is not None
    assert held.find(two) is None
    many = [held.begin() for _ in range(sessions.MOST_SESSIONS)]
    assert held.find(one) is None, "the one that was not used for longest"
    assert held.find(many[0]) is not None


def test_the_shared_address_is_let_in_with_credentials_alone(routes: tuple[str, list[str]]) -> None:
    url, _ = routes
    with httpx.Client(base_url=url, timeout=300) as client:
        assert client.get("/api/about", headers={"host": TUNNEL}).status_code == 401
        assert client.get("/api/about", headers={"host": "other.gradio.live"}, auth=ME).status_code == 403
        assert (
            client.get("/api/about", headers={"host": TUNNEL, "origin": f"https://{TUNNEL}"}, auth=ME).status_code
            == 200
        )


def test_the_websocket_asks_too(routes: tuple[str, list[str]]) -> None:
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import connect

    url = routes[0].replace("http", "ws") + "/ws"
    with pytest.raises(InvalidStatus) as refused:
        connect(url, proxy=None)
    assert refused.value.response.status_code == 401
    assert "frame-ancestors" in refused.value.response.headers["content-security-policy"]
    login = post(routes[0] + "/login", data={"username": ME[0], "password": ME[1]})
    cookie = login.headers["set-cookie"].partition(";")[0]
    with pytest.raises(InvalidStatus) as refused:
        connect(url + "/elsewhere", proxy=None, additional_headers={"cookie": cookie})
    assert refused.value.response.status_code == 404
    with connect(url, proxy=None, additional_headers={"cookie": cookie}) as socket:
        assert "hello" in str(socket.recv(20))
        post(routes[0] + "/logout", headers={"cookie": cookie})
        with pytest.raises(ConnectionClosed):
            list(iter(lambda: socket.recv(20), None))
    cookie = post(routes[0] + "/login", data={"username": ME[0], "password": ME[1]}).headers["set-cookie"]
    with pytest.raises(InvalidStatus) as refused:
        connect(url, proxy=None, additional_headers={"cookie": cookie}, origin="http://evil.example")  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403


def asked(headers: dict[str, str], path: str = "/api/about", body: bytes = b"") -> int:
    """The status of a request to a guard without credentials; 200 is the application's."""

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request" and message.get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
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
    limits = {"/upload": 1000}
    guard = Guard(application, None, ["localhost", "loom.example"], lambda path: limits.get(path, 100), Policy())
    scope = {"type": "http", "path": path, "raw_path": path.encode(), "headers": pairs, "method": "POST"}
    try:
        asyncio.run(guard(scope, receive, send))
    except HTTPException as refused:  # what the application around this one turns into an answer
        return refused.status_code
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
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}, 403),
    ],
)
def test_only_own_names_and_own_pages(headers: dict[str, str], status: int) -> None:
    assert asked(headers) == status


def test_bodies_are_limited_whether_they_tell_their_length_or_not() -> None:
    assert asked({"content-length": "101"}) == 413
    assert asked({"content-length": "101"}, "/upload") == 200
    assert asked({}, body=b"x" * 100) == 200
    assert asked({}, body=b"x" * 101) == 413
    assert asked({"content-length": "²"}) == 400
    assert asked({"content-length": "9" * 5000}) == 413
    assert asked({}, "/" + "x/" * 5000) == 414


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--listen"], "give it a password"),
        (["--share"], "give it a password"),
        (["--auth", "anna"], "user:password"),
        (["--token", "short"], "letters and digits"),
        (["--port", "99999"], "from 1 to 65535"),
        (["--port", "9" * 5000], "from 1 to 65535"),
        (["--port", "0"], "from 1 to 65535"),
        (["--root-path", "loom"], "no path like /loom"),
        (["--workspace", "/etc/hostname"], "cannot be a workspace"),
        (["--listen", "203.0.113.7", "--token"], "cannot be listened on"),
        (["--device", "cuda:99"], "--device"),
    ],
)
def test_the_command_line_refuses_what_is_not_safe(options: list[str], said: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ui", "--workspace", str(tmp_path), *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "ui", "--workspace", str(tmp_path), "--port", port]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, f"the port {port} is taken" in ended.stderr) == (2, True)
