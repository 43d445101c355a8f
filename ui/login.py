"""How people and scripts are let in: a page that asks, an address with the token in it, a header; and the way out.

GET  anything, unknown        the page that asks, for people; 401 for others
POST /login                   username and password (or the token as password); begins a session
GET  anything?token=…         begins a session, and leads to the same address without the token
GET, POST /logout             asks; ends the session
"""

from __future__ import annotations

import asyncio
import base64
import html
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from ui.headers import LOGIN
from ui.refusal import RefusedError
from ui.sessions import Door, Session

LONGEST_FORM = 8192
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Latent Loom</title>
<style>
 :root {{ color-scheme: dark light; }}
 body {{ font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0; }}
 form {{ display: grid; gap: .75rem; width: min(20rem, 90vw); }}
 input, button {{ font: inherit; padding: .5rem .75rem; }}
 label {{ display: grid; }}
</style></head>
<body><form method="post" action="{action}"><h1>Latent Loom</h1>{fields}</form></body></html>
"""
USER = '<label>User <input name="username" autocomplete="username" required autofocus></label>'
WORD = '<label>{name} <input name="password" type="password" autocomplete="current-password" required></label>'


class Login:
    """Lets people in and out at the door. name: of the cookie; each server has its own, for all on one host share them."""

    def __init__(self, door: Door, name: str) -> None:
        self.door, self.name = door, name

    async def answer(self, scope: Scope, receive: Receive, send: Send, path: str) -> bool:
        """Answer what is asked of the login itself; False where it is something else."""
        if scope["type"] != "http":
            return False
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if path in ("/login", "/login/"):
            await self._login(scope, receive, send)
        elif path in ("/logout", "/logout/") and self._session(scope) is not None:
            await self._logout(scope, receive, send)
        elif scope["method"] == "GET" and "token" in query and self._session(scope) is None:
            await self._by_address(scope, receive, send, query)
        else:
            return False
        return True

    async def check(self, scope: Scope, headers: Headers) -> tuple[Session | None, str]:
        """The session of a request, where it has one, and the cookie of one that it is to begin.

        Raises RefusedError (401, 429) where its sender is not let in.
        """
        session = self._session(scope)
        if session is not None:
            return session, ""
        kind, _, value = headers.get("authorization", "").partition(" ")
        user, secret = "", value.strip()
        if kind.lower() == "basic":
            user, _, secret = _decoded(secret).partition(":")
        elif kind.lower() not in ("bearer", "token"):
            raise RefusedError(
                401, "this server asks for its password or token: open its address in a browser, or see docs/api.md"
            )
        if not await self.door.let_in(_client(scope), user, secret):
            raise RefusedError(401, "the user, password or token is wrong")
        # Not every browser sends a password with a websocket.
        return None, self._cookie(scope, self.door.sessions.begin()) if is_for_people(scope, headers) else ""

    async def show(self, scope: Scope, send: Send, status: int, said: str = "") -> None:
        """The page that asks."""
        root = scope.get("root_path", "")
        here = "" if scope["path"].endswith(("/login", "/logout")) else quote(scope["path"]) + _query(scope)
        fields = USER if self.door.by_name else ""
        fields += WORD.format(name="Password" if self.door.by_name else "Token")
        fields += f'<input type="hidden" name="next" value="{html.escape(here)}"><button>Log in</button>'
        if said:
            fields += f'<p role="alert">{html.escape(said)}</p>'
        await _page(scope, send, f"{root}/login", fields, status)

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = scope.get("root_path", "")
        if scope["method"] != "POST":
            if self._session(scope) is not None:
                await RedirectResponse(f"{root}/", 303)(scope, receive, send)
            else:
                await self.show(scope, send, 401)
            return
        given = await _form(receive)
        try:
            if not await self.door.let_in(_client(scope), given.get("username", ""), given.get("password", "")):
                raise RefusedError(401, "That is not it. Wrong tries are answered ever more slowly")
        except RefusedError as refused:
            if "next" not in given:
                raise
            await self.show(scope, send, refused.status, refused.error)
            return
        answer: Response
        if "next" in given:
            answer = RedirectResponse(_below(given["next"], root), 303)
        else:
            answer = JSONResponse({"success": True})  # as Gradio's own login tells its client
        answer.headers["set-cookie"] = self._cookie(scope, self.door.sessions.begin())
        await answer(scope, receive, send)

    async def _logout(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = scope.get("root_path", "")
        if scope["method"] != "POST":
            await _page(scope, send, f"{root}/logout", "<button>Log out</button>", 200)
            return
        self.door.sessions.end(self._secret(scope))
        answer = RedirectResponse(f"{root}/login", 303)
        answer.headers["set-cookie"] = self._cookie(scope, "", "; Max-Age=0")
        await answer(scope, receive, send)

    async def _by_address(self, scope: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
        if not await self.door.let_in(_client(scope), "", query.pop("token")):
            raise RefusedError(401, "the token in the address is wrong; the server tells the right one when it starts")
        rest = f"?{urlencode(query)}" if query else ""
        answer = RedirectResponse(_below(quote(scope["path"]) + rest, scope.get("root_path", "")), 303)
        answer.headers["set-cookie"] = self._cookie(scope, self.door.sessions.begin())
        await answer(scope, receive, send)

    def _session(self, scope: Scope) -> Session | None:
        secret = self._secret(scope)
        return self.door.sessions.find(secret) if secret else None

    def _secret(self, scope: Scope) -> str:
        try:
            morsel = SimpleCookie(Headers(scope=scope).get("cookie", "")).get(self.name)
        except CookieError:
            return ""
        return morsel.value if morsel is not None else ""

    def _cookie(self, scope: Scope, secret: str, rest: str = "") -> str:
        """Only for this server, never for scripts of a page, and where there is TLS in front, for nothing else."""
        told = Headers(scope=scope).get("x-forwarded-proto", "").partition(",")[0].strip().lower()
        secure = "; Secure" if "https" in (scope.get("scheme"), told) or scope.get("scheme") == "wss" else ""
        return f"{self.name}={secret}; Path={scope.get('root_path', '')}/; HttpOnly; SameSite=Lax{secure}{rest}"


def is_for_people(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Whether somebody opens this address in a browser."""
    return scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", "")


async def _page(scope: Scope, send: Send, action: str, fields: str, status: int) -> None:
    answer = HTMLResponse(PAGE.format(action=html.escape(action), fields=fields), status)
    answer.headers["cache-control"] = "no-store"
    answer.headers["content-security-policy"] = LOGIN
    await answer(scope, _nothing, send)


async def _nothing() -> Any:
    await asyncio.Event().wait()


async def _form(receive: Receive) -> dict[str, str]:
    """The fields of a small form. Raises RefusedError where it is a large one, or none."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise RefusedError(400, "the form did not come whole")
        body += message.get("body", b"")
        if len(body) > LONGEST_FORM:
            raise RefusedError(413, "that is more than a user and a password")
        if not message.get("more_body"):
            break
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=10))
    except ValueError as error:
        raise RefusedError(400, f"that is no form: {error}") from error


def _below(address: str, root: str) -> str:
    """Where a login leads: an address of this server, and of no other."""
    parts = urlsplit(address)
    here = address.startswith(f"{root}/") and not address.startswith(("//", "/\\")) and not parts.netloc
    return address if here and address.isprintable() else f"{root}/"


def _query(scope: Scope) -> str:
    query: str = scope["query_string"].decode("latin-1")
    return f"?{query}" if query else ""


def _client(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else ""


def _decoded(basic: str) -> str:
    try:
        return base64.b64decode(basic, validate=True).decode()
    except ValueError:
        return ""
