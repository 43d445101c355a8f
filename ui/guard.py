"""Who may speak to the server: a guard around the whole application, static files, panels and websockets included.

Three questions in this order: is the Host one of ours (else a page elsewhere could rebind its own name to us), does the
Origin, where a browser names one, match it (else any page could use a visitor's session), and are there credentials.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.refusal import RefusedError

COOKIE = "loom"


class Guard:
    """An ASGI application around another one.

    credentials: ("user", "password"), or None where the server is for this machine alone. hosts: names by which it may be
    called; addresses in digits may always be used, since no foreign page can bind them. limits: the largest body in bytes
    by the beginning of the path; "" is all others.
    """

    def __init__(
        self,
        app: ASGIApp,
        credentials: tuple[str, str] | None,
        hosts: Iterable[str],
        limits: Mapping[str, int],
    ) -> None:
        self.app = app
        self.limits = sorted(limits.items(), key=lambda item: -len(item[0]))
        self.hosts = {host.lower() for host in hosts}
        self.starting = True
        """Until the server is up: Gradio calls one address of its own, without credentials, to start its queue."""
        self._basic = b"" if credentials is None else base64.b64encode(":".join(credentials).encode())
        self._session = hmac.new(secrets.token_bytes(32), self._basic, hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check_names(headers)
            if self._basic and not (self.starting and scope["path"] == "/gradio_api/startup-events"):
                self._check_credentials(headers)
            limit = next(limit for path, limit in self.limits if scope["path"].startswith(path))
            length = headers.get("content-length", "0")
            if length.isdigit() and int(length) > limit:
                raise RefusedError(413, _too_large(limit))
        except RefusedError as refused:
            await _refuse(scope, receive, send, refused)
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        counted = _Counted(receive, limit)
        known = not self._basic or self._has_session(headers)
        await self.app(scope, counted, send if known else self._with_session(send))

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

    def _check_credentials(self, headers: Mapping[str, str]) -> None:
        given = headers.get("authorization", "")
        kind, _, value = given.partition(" ")
        if kind.lower() == "basic" and hmac.compare_digest(value.strip().encode(), self._basic):
            return
        if self._has_session(headers):
            return
        raise RefusedError(401, "this server asks for the user and password it was started with")

    def _has_session(self, headers: Mapping[str, str]) -> bool:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and hmac.compare_digest(morsel.value.encode(), self._session.encode())

    def _with_session(self, send: Send) -> Send:
        """Hand out the cookie with an answer, for websockets: not every browser sends a password there."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{COOKIE}={self._session}; Path=/; HttpOnly; SameSite=Strict"
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        return sending


class _Counted:
    """A request's body, ended where it grows past its limit although its length was not told."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self.receive, self.limit, self.size = receive, limit, 0

    async def __call__(self) -> Message:
        message = await self.receive()
        if message["type"] == "http.request":
            self.size += len(message.get("body", b""))
            if self.size > self.limit:
                return {"type": "http.disconnect"}
        return message


async def _refuse(scope: Scope, receive: Receive, send: Send, refused: RefusedError) -> None:
    """Answer with the refusal; a websocket is closed before it is accepted, which is a 403 or 401 for its client."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if refused.status == 401:
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
