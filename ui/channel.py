"""What the server and a worker say to each other: JSON messages over a socket of their own, each after its length.

The socket is neither standard input nor output, is closed in every process that the worker starts, and its number is told
to nobody: what a node reads or prints is not ours.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

HEADER = 8
"""Bytes of a message's length, most significant first."""
LARGEST = 2**24
"""The longest message in bytes. A worker shortens what would be longer; the server passes over it."""


def packed(message: Any) -> bytes:
    """A message as it travels."""
    body = json.dumps(message, default=str).encode()
    return len(body).to_bytes(HEADER, "big") + body


class Channel:
    """The worker's end. May be used from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))  # by another number than the command line names
        os.close(descriptor)
        # Else a data loader's process would keep it open when this one has died.
        os.register_at_fork(after_in_child=lambda: os.close(self._socket.detach()))
        self._lock = threading.Lock()

    def send(self, **message: Any) -> None:
        """Send one message, shortened where it is too long; a server that has gone is noticed by the reader, not here."""
        frame, limit = packed(message), 2**20
        while len(frame) > LARGEST and limit:
            frame, limit = packed(_cut(message, limit)), limit >> 4
        with self._lock, suppress(OSError):
            self._socket.sendall(frame)

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the server says, until it has gone (or was killed, which resets the connection where it had not read all)."""
        return received(self._socket)


def received(connection: socket.socket) -> Iterator[dict[str, Any]]:
    """What the other end of a connection says, until it has gone."""
    with suppress(ConnectionError), connection.makefile("rb") as file:
        while len(header := file.read(HEADER)) == HEADER:
            size = int.from_bytes(header, "big")
            if len(body := file.read(size)) < size:
                return
            yield json.loads(body)


async def heard(reader: asyncio.StreamReader) -> AsyncIterator[dict[str, Any] | int]:
    """What a worker says, until it has gone: each message, or the size in bytes of one that was too long to be kept."""
    try:
        while True:
            size = int.from_bytes(await reader.readexactly(HEADER), "big")
            if size <= LARGEST:
                yield json.loads(await reader.readexactly(size))
                continue
            left = size
            while left:
                left -= len(await reader.readexactly(min(left, 2**16)))
            yield size
    except (asyncio.IncompleteReadError, ConnectionError):
        return


def _cut(value: Any, limit: int) -> Any:
    """A value with no text of more characters and no list of more items than `limit`; a text says what it lacks."""
    if isinstance(value, str) and len(value) > limit:
        return f"{value[:limit]}… ({len(value) - limit:,} characters more)"
    if isinstance(value, dict):
        return {_cut(key, limit): _cut(item, limit) for key, item in islice(value.items(), limit)}
    if isinstance(value, list | tuple):
        return [_cut(item, limit) for item in value[:limit]]
    return value
