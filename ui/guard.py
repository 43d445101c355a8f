"""Who may speak to the server, and what a browser may do with its answers: a guard around the whole application, static
files, forms and websockets included. SECURITY.md says against whom.

Four questions in this order: is the Host one of ours (else a page elsewhere could rebind its own name to us), does the
Origin, where a browser names one, match it (else any page could use a visitor's session), is the request of a bearable
size, and has its sender been let in.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.headers import Policy
from ui.login import Login, is_for_people
from ui.refusal import RefusedError
from ui.sessions import Session

LONGEST_ADDRESS = 8192
"""Bytes of a path with its query."""
PREFIX = re.compile(r"(/(?!\.)[\w.~-]+){1,8}", re.ASCII)


class Guard:
    """An ASGI application around another one.

    login: None where the server is for this machine alone and asks nobody. hosts: names by which it may be called;
    addresses in digits may always be used, since no foreign page can bind them. limit: the largest body in bytes, by path.
    prefix: of all its addresses, where a proxy puts it below one ("/loom"); a proxy may also tell it (X-Forwarded-Prefix).
    """

    def __init__(
        self,
        app: ASGIApp,
        login: Login | None,
        hosts: Iterable[str],
        limit: Callable[[str], int],
        policy: Policy,
        prefix: str = "",
    ) -> None:
        self.app, self.login, self.limit, self.policy, self.prefix = app, login, limit, policy, prefix
        self.hosts = {host.lower() for host in hosts}
        self.starting = True
        """Until the server is up: Gradio calls one address of its own, without credentials, to start its queue."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = _take_prefix(scope, self.prefix or headers.get("x-forwarded-prefix", ""))
        send = _with_headers(send, self.policy(path))
        try:
            self._check_names(headers)
            limit = self._check_size(scope, headers, path)
            session: Session | None = None
            if self.login is not None and not (self.starting and path == "/gradio_api/startup-events"):
                if await self.login.answer(scope, receive, send, path):
                    return
                session, cookie = await self.login.check(scope, headers)
                if cookie:
                    send = _with_headers(send, [("set-cookie", cookie)])
            if not path:  # all addresses of the page are relative to the prefix with its slash
                await RedirectResponse(scope["root_path"] + "/")(scope, receive, send)
                return
            if scope["type"] == "websocket":
                await self.app(scope, receive if session is None else _until(session, receive), send)
            else:
                await self.app(scope, _Counted(receive, limit), send)
        except RefusedError as refused:
            if refused.status == 401 and self.login is not None and is_for_people(scope, headers):
                await self.login.show(scope, send, 401)
            else:
                await _refuse(scope, receive, send, refused, browser="sec-fetch-mode" in headers)

    def _check_names(self, headers: Mapping[str, str]) -> None:
        host = headers.get("host", "")
        name = (urlsplit(f"//{host}").hostname or "") if _is_netloc(host) else ""
        if not (name in self.hosts or _is_address(name)):
            raise RefusedError(
                403, f"this server is not called {host!r}; start it with --host {name or 'NAME'} to allow that name"
            )
        origin = headers.get("origin")
        if origin is not None and (not _is_netloc(origin) or urlsplit(origin).netloc.lower() != host.lower()):
            raise RefusedError(403, f"a page of {origin} may not use this server")
        # A link may lead here from anywhere; a picture, a script or a frame of a page elsewhere may not.
        elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if elsewhere and (headers.get("sec-fetch-mode") != "navigate" or headers.get("sec-fetch-dest") != "document"):
            raise RefusedError(403, "a page of another site may not use this server")

    def _check_size(self, scope: Scope, headers: Mapping[str, str], path: str) -> int:
        """The largest body that is taken here."""
        if len(scope.get("raw_path") or b"") + len(scope.get("query_string", b"")) > LONGEST_ADDRESS:
            raise RefusedError(414, f"the address is longer than {LONGEST_ADDRESS} characters, the most that is taken")
        limit = self.limit(path)
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise RefusedError(400, "the request's Content-Length is no number")
        if len(length) > 18 or int(length) > limit:
            raise RefusedError(413, _too_large(limit))
        return limit


class _Counted:
    """A request's body, refused where it grows past its limit although its length was not told."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self.receive, self.limit, self.size = receive, limit, 0

    async def __call__(self) -> Message:
        message = await self.receive()
        if message["type"] == "http.request":
            self.size += len(message.get("body", b""))
            if self.size > self.limit:
                raise HTTPException(413, _too_large(self.limit))
        return message


def _until(session: Session, receive: Receive) -> Receive:
    """What a websocket's client says, until its session is over."""

    async def receiving() -> Message:
        return await session.until_over(receive(), {"type": "websocket.disconnect", "code": 1008})

    return receiving


def _take_prefix(scope: Scope, prefix: str) -> str:
    """The path below the prefix; the scope says both afterwards, whether the proxy took the prefix off or not."""
    path: str = scope["path"]
    prefix = prefix.rstrip("/")
    if not prefix or not PREFIX.fullmatch(prefix):
        return path
    below = path.removeprefix(prefix) if path == prefix or path.startswith(f"{prefix}/") else path
    scope["root_path"], scope["path"] = prefix, prefix + below
    return below


def _with_headers(send: Send, headers: Iterable[tuple[str, str]]) -> Send:
    """Answers with these headers, except where they have one of the name; a cookie comes to the others."""
    headers = list(headers)

    async def sending(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept", "websocket.http.response.start"):
            message = {**message, "headers": list(message.get("headers", []))}
            held = MutableHeaders(raw=message["headers"])
            for name, value in headers:
                if name == "set-cookie":
                    held.append(name, value)
                else:
                    held.setdefault(name, value)
        await send(message)

    return sending


async def _refuse(scope: Scope, receive: Receive, send: Send, refused: RefusedError, browser: bool) -> None:
    """Answer with the refusal; a websocket is closed before it is accepted, which is a 403 or 401 for its client."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if refused.status == 401 and not browser:  # a browser would ask for it itself, and never forget it
        headers.append((b"www-authenticate", b'Basic realm="Latent Loom", charset="UTF-8"'))
    if scope["type"] == "websocket":
        if "websocket.http.response" not in scope.get("extensions", {}):
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refused.error[:100]})
            return
        kind = "websocket.http.response"
    else:
        kind = "http.response"
    await send({"type": f"{kind}.start", "status": refused.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": refused.body()})


def _too_large(limit: int) -> str:
    return f"the request is larger than {limit >> 20} MiB, the most that is taken here; large files go to upload"


def _is_netloc(text: str) -> bool:
    try:
        urlsplit(text if "//" in text else f"//{text}").port  # noqa: B018 (raises where it is none)
    except ValueError:
        return False
    return bool(text) and "@" not in text


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
