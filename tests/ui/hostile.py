"""Hostile requests: a generator over the server's routes and the arguments of its calls.

A request is a value that a seed gives again: what failed can be sent once more.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.ui.conftest import graph
from ui.calls import CALLS

MARK = "this-file-means-that-code-was-run"
TOY = {"a": {"type": "number", "params": {"value": 1}}, "m": {"type": "measure", "wires": {"x": "a"}}}
ODD_TEXTS = (
    "", " ", "\0", "\ud800", "x" * 300, "é" * 200, "x" * 100_000, "../x", "..\\x", "a/../../b", "/etc/passwd", "/dev/zero",
    "~nosuchuser/x", "~/x", "C:/x", ".server/server.db", ".hidden", "workflows", "workflows/", "workflows/x.json",
    "workflows/folder.json", "workflows/dangling.json", "workflows/pipe.json", "workflows/x.json/y.json", "pipe", "loop",
    "shipped/quickstart.json", "shipped/../x.json", "a/" * 900, "%2e%2e/x", "%00", "\u202egnp.exe", "\ufeff", "CON", "a\nb",
    "9" * 5000, "-1", "1e999", "NaN", "true", "null", "[]", "{}", "{" * 5000, "[" * 100_000, '{"a":' * 5000,
    f"$(touch {MARK})", f"; touch {MARK}", f"__import__('os').system('touch {MARK}')", f"{{{{7*7}}}} touch {MARK}",
    "cpu", "auto", "a", "m.value", "' OR 1=1 --", "<script>alert(1)</script>",
)  # fmt: skip
ODD_NUMBERS = (
    *(0, 1, -1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**400),
    *(1.5, -0.0, 1e308, float("inf"), float("nan")),
)
ODD_HEADERS = (
    {"content-type": "text/plain"}, {"content-type": "multipart/form-data"}, {"content-type": "multipart/form-data; boundary=x"},
    {"content-type": "application/json; charset=utf-16"}, {"content-encoding": "gzip"}, {"content-encoding": "br"},
    {"accept-encoding": "gzip;q=x, br," * 50}, {"range": "bytes=0-0,1-1,2-2"}, {"range": "bytes=9999999999999999999-"},
    {"range": "bytes=" + "0-1," * 1000}, {"if-range": "x"}, {"if-modified-since": "x"}, {"accept": "text/html"},
    {"origin": "null"}, {"origin": "http://evil.example"}, {"host": "evil.example"}, {"x-forwarded-host": "evil.example"},
    {"x-forwarded-prefix": "/a/../.."}, {"x-forwarded-prefix": "/loom"}, {"x-forwarded-proto": "javascript"},
    {"cookie": "loom=" + "x" * 4000}, {"cookie": '"\\'}, {"authorization": "Basic ===="}, {"authorization": "Bearer"},
    {"referer": "x" * 3000}, {"expect": "100-continue"}, {"x-http-method-override": "DELETE"}, {"te": "trailers"},
    {"sec-fetch-site": "cross-site"}, {"accept-language": "x" * 5000},
)  # fmt: skip
PLACES = (
    "/", "/api/", "/files/", "/thumbnails/", "/assets/", "/app/", "/app/x/", "/app/form/", "/gradio_api/", "/gradio_api/file=",
    "/app/form/gradio_api/file=", "/app/form/gradio_api/", "/app/form/static/", "/app/form/assets/", "/gradio_api/call/",
    "/gradio_api/heartbeat/", "/gradio_api/queue/", "/config", "/ws", "/upload", "/extract", "/login", "/logout", "/openapi.json",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW")


@dataclass(frozen=True)
class Hostile:
    """One request. chunked: its length is not told."""

    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = False


def request(seed: int) -> Hostile:
    """The hostile request of a seed."""
    dice = random.Random(seed)
    kinds: tuple[Callable[[random.Random], Hostile], ...] = (
        _call,
        _call,
        _query,
        _body,
        _place,
        _place,
        _gradio,
        _upload,
    )
    if dice.random() < 0.02:  # without a body: with one uvicorn waits, for its WebSocket library reads none
        return Hostile("GET", dice.choice(PLACES), headers={"upgrade": "websocket", "connection": "Upgrade"})
    return dice.choice(kinds)(dice)


def message(seed: int) -> str | bytes:
    """What a hostile page says over its WebSocket."""
    dice = random.Random(seed)
    match dice.randrange(6):
        case 0:
            return dice.randbytes(dice.choice((0, 1, 100, 10_000)))
        case 1:
            return _unhalved(dice.choice(ODD_TEXTS))
        case 2:
            return _json(_value(dice, 3))
        case 3:
            return _json({dice.choice(("subscribe", "unsubscribe")): _value(dice)})
        case 4:
            return (
                '{"subscribe": ' + dice.choice(("9" * 5000, "1e999", "-0", "1.0", "NaN", "[" * 5000, '"\\ud800"')) + "}"
            )
    known = {
        "subscribe": dice.choice((1, 2, 2**63 - 1)),
        "after": _value(dice),
        "brief": _value(dice),
        "metrics": _value(dice),
    }
    return _json({key: value for key, value in known.items() if dice.random() < 0.8})


def _call(dice: random.Random) -> Hostile:
    name = dice.choice(list(CALLS))
    given = {key: _argument(dice, name, key) for key in CALLS[name].arguments.model_fields if dice.random() < 0.9}
    if dice.random() < 0.1:
        given[dice.choice(ODD_TEXTS[:40])] = _value(dice)
    return Hostile(
        "POST", f"/api/{name}", _json(given).encode(errors="surrogatepass"), _headers(dice), dice.random() < 0.1
    )


def _query(dice: random.Random) -> Hostile:
    name = dice.choice([name for name, call in CALLS.items() if call.reads])
    given = {key: str(_value(dice))[:2000] for key in CALLS[name].arguments.model_fields if dice.random() < 0.9}
    query = "&".join(f"{key}={quote(value.encode(errors='surrogatepass'))}" for key, value in given.items())
    return Hostile("GET", f"/api/{name}?{query}", headers=_headers(dice))


def _body(dice: random.Random) -> Hostile:
    name = dice.choice([*CALLS, "nonsense"])
    workflow = _json({"workflow": graph(TOY)}).encode()
    body, headers = dice.choice((
        (b"", {}), (b"{", {}), (b"null", {}), (b"\xff\xfe{\0}\0", {}), (b"\xef\xbb\xbf{}", {}), (b"\x80", {}),
        (b"[" * 100_000, {}), (b'{"workflow":' * 50_000, {}), (b'{"run": ' + b"9" * 5000 + b"}", {}), (b'{"run": 1e999}', {}),
        (b'{"workflow": {"loom": 1' + b"0" * 5000 + b"}}", {}), (gzip.compress(workflow), {"content-encoding": "gzip"}),
        (gzip.compress(b"0" * 10**7), {"content-encoding": "gzip"}), (workflow, {"content-type": "application/x-www-form-urlencoded"}),
        (b"0" * (17 << 20), {}), (dice.randbytes(1000), {"content-type": "multipart/form-data; boundary=x"}),
        (b'{"path": "\\ud800", "folder": "\\ud800", "device": "\\ud800", "workflow": {"loom": 1, "title": "\\udfff"}}', {}),
    ))  # fmt: skip
    return Hostile(dice.choice(METHODS), f"/api/{name}", body, {**_headers(dice), **headers}, dice.random() < 0.4)


def _place(dice: random.Random) -> Hostile:
    odd = dice.choice(ODD_TEXTS)[: dice.choice((100, 3000, 9000))].encode(errors="surrogatepass")
    tail = dice.choice((quote(odd), quote(odd, safe="/.%~"), "x/" * dice.choice((1, 1000, 3000)), "%ff%fe", ""))
    query = dice.choice(
        (
            "",
            "?width=64",
            "?width=" + "9" * 5000,
            "?width=-1",
            "?token=x",
            "?__theme=x",
            "?" + "&" * 2000,
            "?session_hash=x",
        )
    )
    path = dice.choice(PLACES) + tail + query
    return Hostile(
        dice.choice(("GET", "GET", "GET", *METHODS)), path, dice.choice((b"", b"{}", b"x=1")), _headers(dice)
    )


def _gradio(dice: random.Random) -> Hostile:
    root = dice.choice(("", "/app/form"))
    name = dice.choice([*CALLS, "download", "upload", "extract", "subscribe", "watch", "nonsense", "\ud800"])
    data = [_value(dice, 2) for _ in range(dice.randrange(5))]
    if dice.random() < 0.3:
        data = [{"path": dice.choice(ODD_TEXTS), "meta": {"_type": "gradio.FileData"}, "url": dice.choice(ODD_TEXTS)}]
    given: Any = {
        "data": data,
        "fn_index": _value(dice),
        "session_hash": dice.choice(ODD_TEXTS),
        "event_data": None,
        "trigger_id": _value(dice),
    }
    if dice.random() < 0.5:
        given = {"data": data}
    if dice.random() < 0.1:
        given = _value(dice, 2)
    path = dice.choice((
        f"/gradio_api/call/{name}", f"/gradio_api/run/{name}", f"/gradio_api/api/{name}", "/gradio_api/queue/join", "/gradio_api/cancel",
        "/gradio_api/reset", "/gradio_api/component_server", "/gradio_api/upload", "/gradio_api/queue/data?session_hash=x",
        f"/gradio_api/call/{name}/x",
    ))  # fmt: skip
    method = "GET" if path.endswith("x") else "POST"
    headers = {"content-type": "application/json", **_headers(dice)}
    return Hostile(
        method,
        quote(f"{root}{path}".encode(errors="surrogatepass"), safe="/?=&"),
        _json(given).encode(errors="surrogatepass"),
        headers,
    )


def _upload(dice: random.Random) -> Hostile:
    pickle = b"cposix\nsystem\n(S'touch " + MARK.encode() + b"'\ntR."
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(" + MARK.encode() + b") (w) file closefile\n"
    body = dice.choice(
        (
            b"",
            pickle,
            script,
            b"\x89PNG\r\n\x1a\n" + dice.randbytes(200),
            b"{}",
            b"{" * 100_000,
            b"GIF89a",
            dice.randbytes(3000),
        )
    )
    name = quote(dice.choice(ODD_TEXTS)[:3000].encode(errors="surrogatepass"))
    path = dice.choice(
        (
            f"/upload?name={name}",
            f"/upload?name={name}.png",
            f"/pictures?name={name}.png",
            f"/pictures?name={name}.txt&folder={dice.choice(('uploads/kept', 'workflows', '..', name))}",
            f"/pictures?name={name}&folder=uploads/kept&mask={dice.choice(('true', 'x'))}",
            "/extract",
            "/gradio_api/upload",
            "/app/form/gradio_api/upload?upload_id=x",
        )
    )
    if "gradio" in path:
        odd = dice.choice(ODD_TEXTS)[:500].encode(errors="surrogatepass").replace(b"\n", b"")
        body = (
            b'--x\r\ncontent-disposition: form-data; name="files"; filename="'
            + odd
            + b'"\r\n\r\n'
            + body
            + dice.choice((b"\r\n--x--\r\n", b""))
        )
        return Hostile("POST", path, body, {"content-type": "multipart/form-data; boundary=x"}, dice.random() < 0.3)
    return Hostile("POST", path, body, _headers(dice), dice.random() < 0.3)


def _headers(dice: random.Random) -> dict[str, str]:
    return dict(dice.choice(ODD_HEADERS)) if dice.random() < 0.25 else {}


def _argument(dice: random.Random, call: str, name: str) -> Any:
    """What may pass for an argument, or not."""
    if name == "workflow" and dice.random() < 0.7:
        return _workflow(dice, runs=call != "estimate")
    if name in ("path", "folder") and dice.random() < 0.8:
        return dice.choice(("", "workflows/")) + dice.choice(ODD_TEXTS)
    return _value(dice)


def _workflow(dice: random.Random, runs: bool) -> Any:
    value = _value(dice, 2)
    nodes: dict[str, Any] = {
        **TOY,
        "n": {
            "type": dice.choice(("number", "read_number", "text", "numbr", "group")),
            "params": {"value": value, "path": value},
        },
    }
    choices = [
        {"loom": 1, "nodes": nodes},
        {"loom": value, "nodes": value},
        {"loom": 1, "title": value, "nodes": {str(value)[:100]: value}},
        {"loom": 1, "nodes": TOY, "layout": {"a": {"at": [value, value]}}},
        {"loom": 1, "nodes": TOY, "exposed": {"params": {"v": value}, "outputs": value}},
        {"loom": 1, "nodes": {"r": {"type": "read_number", "params": {"path": dice.choice(ODD_TEXTS)}}, "m": {"type": "measure", "wires": {"x": "r"}}}},
    ]  # fmt: skip
    made = dice.choice([*choices, graph(TOY)] if runs else choices[1:3])
    return _json(made) if dice.random() < 0.3 else made


def _value(dice: random.Random, depth: int = 1) -> Any:
    match dice.randrange(8 if depth else 4):
        case 0 | 1:
            return dice.choice(ODD_NUMBERS)
        case 2 | 3:
            return dice.choice(ODD_TEXTS)
        case 4:
            return dice.choice((None, True, False))
        case 5:
            return [_value(dice, depth - 1) for _ in range(dice.choice((0, 1, 3)))]
        case 6:
            return {dice.choice(ODD_TEXTS)[:200]: _value(dice, depth - 1) for _ in range(dice.choice((0, 1, 3)))}
    inner: Any = 0
    for _ in range(dice.choice((50, 250, 900))):
        inner = [inner] if dice.random() < 0.5 else {"a": inner}
    return inner


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True)


def _unhalved(text: str) -> str:
    """A text that a WebSocket can carry."""
    return text.encode(errors="replace").decode()
