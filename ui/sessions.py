"""Who has been let in: passwords and tokens compared, wrong ones slowed down, a session for each login."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ui.refusal import RefusedError

T = TypeVar("T")

IDLE_SECONDS = 14 * 24 * 3600.0
"""A session that nobody used for so long is over."""
MOST_SESSIONS = 1000
FIRST_DELAY, LONGEST_DELAY = 0.25, 5.0
"""Seconds until a wrong try is answered: doubled with each one of the same client."""
AT_ONCE = 4
"""Tries of one client that may wait for their answer; further ones are not looked at."""
FORGOTTEN_SECONDS = 900.0
"""After so long without a wrong try a client begins anew."""
MOST_CLIENTS = 10_000


@dataclass
class Session:
    """One login. ended: set when it is over, for what lives longer than a request."""

    used: float
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_over(self, waiting: Awaitable[T], otherwise: T) -> T:
        """What is waited for, or `otherwise` once the session is over."""
        wanted, over = asyncio.ensure_future(waiting), asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait({wanted, over}, return_when=asyncio.FIRST_COMPLETED)
            return wanted.result() if wanted.done() else otherwise
        finally:
            wanted.cancel()
            over.cancel()


class Sessions:
    """The sessions of this server, by a secret that only its browser knows; gone when the server ends."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self) -> str:
        """A new session's secret."""
        secret = secrets.token_urlsafe(32)
        self._open[_digest(secret)] = Session(self._clock())
        while len(self._open) > MOST_SESSIONS:
            self._end(next(iter(self._open)))
        return secret

    def find(self, secret: str) -> Session | None:
        """The session of a secret. Found by its digest: how long that takes tells nothing of the secret."""
        digest = _digest(secret)
        session = self._open.get(digest)
        if session is None:
            return None
        if self._clock() - session.used > IDLE_SECONDS:
            self._end(digest)
            return None
        session.used = self._clock()
        self._open.move_to_end(digest)
        return session

    def end(self, secret: str) -> None:
        """End a session, if there is such a one."""
        if _digest(secret) in self._open:
            self._end(_digest(secret))

    def _end(self, digest: bytes) -> None:
        self._open.pop(digest).ended.set()


@dataclass
class _Tries:
    """A client's wrong tries, when the last one was, and how many wait for their answer."""

    wrong: int = 0
    last: float = 0.0
    waiting: int = 0


class Door:
    """The password or the token of a server, and how often it may be guessed.

    A right try is answered at once, however many wrong ones came before: nobody is locked out by somebody else's guesses.
    credentials: ("user", "password"). token: stands for any user's password.
    """

    def __init__(self, credentials: tuple[str, str] | None, token: str | None) -> None:
        self.sessions = Sessions()
        self.by_name = credentials is not None
        self._credentials = None if credentials is None else (_digest(credentials[0]), _digest(credentials[1]))
        self._token = None if token is None else _digest(token)
        self._clients: OrderedDict[str, _Tries] = OrderedDict()

    async def let_in(self, client: str, user: str, secret: str) -> bool:
        """Whether this is the password or the token; takes its time where it is not.

        Raises RefusedError where too many tries of the client wait already.
        """
        tries = self._tries(client)
        if tries.waiting >= AT_ONCE:
            raise RefusedError(
                429, f"too many wrong passwords came from here; try again in {LONGEST_DELAY:.0f} seconds"
            )
        if self._is_right(user, secret):
            return True
        tries.wrong, tries.last = tries.wrong + 1, time.monotonic()
        tries.waiting += 1
        try:
            await asyncio.sleep(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(tries.wrong - 1, 10)))
        finally:
            tries.waiting -= 1
        return False

    def _is_right(self, user: str, secret: str) -> bool:
        """Compared by digests, and all of them, so that the time taken tells nothing."""
        name, word = _digest(user), _digest(secret)
        right = False
        if self._credentials is not None:
            right = hmac.compare_digest(name, self._credentials[0]) & hmac.compare_digest(word, self._credentials[1])
        if self._token is not None:
            right |= hmac.compare_digest(word, self._token)
        return right

    def _tries(self, client: str) -> _Tries:
        key = _network(client)
        tries = self._clients.setdefault(key, _Tries())
        self._clients.move_to_end(key)
        if time.monotonic() - tries.last > FORGOTTEN_SECONDS:
            tries.wrong = 0
        while len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        return tries


def _network(client: str) -> str:
    """What of an address one person holds: of IPv6 the first 64 bits."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else client


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
