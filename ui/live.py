"""What happens, as it happens: a feed for each page, made from the ledger, so that a slow page costs no memory.

A feed remembers only what changed and how far each subscription has come; what is sent is read when it is sent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from ui.messages import ClientMessage
from ui.runs import RunManager
from ui.schemas import RunEvent, printable

log = logging.getLogger(__name__)

PAGE = 500
"""The most events in one message."""
LONGEST_MESSAGE = 10_000
"""Characters of a page's message; what a page says is short."""
MOST_SUBSCRIPTIONS = 1000
"""Of one page."""


@dataclass
class Subscription:
    """How far a subscriber of one run has come. Up to `head`, what `kept` does not hold of the thinned kinds is left out."""

    sent: int
    head: int
    kept: set[int] = field(default_factory=set)
    thinned: frozenset[str] = frozenset()
    caught_up: bool = False

    def wants(self, event: RunEvent) -> bool:
        """Whether this event is to be sent."""
        return event["event"] not in self.thinned or event["n"] > self.head or event["n"] in self.kept


class Feed:
    """One page's view of the server; a context manager, registered with the run manager inside of it."""

    def __init__(self, manager: RunManager) -> None:
        self.manager = manager
        self._wake = asyncio.Event()
        self._runs: set[int] = set()
        self._removed: list[int] = []
        self._workers = self._workflows = self._nodes = False
        self._subscriptions: dict[int, Subscription] = {}
        self._behind: set[int] = set()  # subscriptions of which there is more to send

    def __enter__(self) -> Feed:
        self.manager.watchers.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.manager.watchers.discard(self)

    def runs_changed(self, runs: list[int]) -> None:
        """The summaries of these runs changed."""
        self._runs.update(runs)
        self._wake.set()

    def runs_removed(self, runs: list[int]) -> None:
        """These runs are forgotten."""
        self._removed += runs
        self._wake.set()

    def events_added(self, run: int) -> None:
        """A run has new events."""
        if run in self._subscriptions:
            self._behind.add(run)
            self._wake.set()

    def workers_changed(self) -> None:
        """A worker's state changed."""
        self._workers = True
        self._wake.set()

    def workflows_changed(self) -> None:
        """A workflow was saved or deleted."""
        self._workflows = True
        self._wake.set()

    def nodes_changed(self) -> None:
        """Node packages were loaded anew."""
        self._nodes = True
        self._wake.set()

    async def subscribe(self, run: int, after: int = 0, brief: bool = False, metrics: bool = True) -> None:
        """Send this run's events from number after + 1 on (`ui.messages.ClientMessage` tells of `brief` and `metrics`).

        Raises ValueError where there are too many subscriptions.
        """
        if run not in self._subscriptions and len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            raise ValueError(f"{MOST_SUBSCRIPTIONS} runs are subscribed already; unsubscribe some")
        ledger = self.manager.ledger
        thinned = frozenset((["progress"] if brief else []) + ([] if metrics else ["metric"]))
        kept = await asyncio.to_thread(ledger.last_progress, run) if brief else set()
        self._subscriptions[run] = Subscription(after, ledger.last(run), kept, thinned)
        self._behind.add(run)
        self._wake.set()

    def unsubscribe(self, run: int) -> None:
        """Send no more of this run."""
        self._subscriptions.pop(run, None)

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Messages for the page, for ever; waits while nothing changes."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            for message in self._news():  # all of one moment
                yield message

    def _news(self) -> list[dict[str, Any]]:
        """What there is to say now. A run's events come before the word that it is over."""
        pages, self._behind = self._behind, set()
        messages = [message for run in sorted(pages) for message in self._page(run)]
        behind = self._runs & self._behind
        runs, self._runs = self._runs - behind, behind
        if summaries := [run for run in map(self.manager.ledger.get, sorted(runs)) if run is not None]:
            messages.append({"runs": [run.model_dump() for run in summaries]})
        if self._removed:
            removed, self._removed = self._removed, []
            messages.append({"removed": removed})
        if self._workers:
            self._workers = False
            messages.append({"workers": [worker.model_dump() for worker in self.manager.workers()]})
        if self._workflows:
            self._workflows = False
            messages.append({"workflows": True})
        if self._nodes:
            self._nodes = False
            messages.append({"nodes": True})
        return messages

    def _page(self, run: int) -> list[dict[str, Any]]:
        """The next events of one subscription; wakes the feed again where more are there."""
        subscription = self._subscriptions.get(run)
        if subscription is None:
            return []
        events = self.manager.ledger.events(run, subscription.sent, PAGE)
        messages: list[dict[str, Any]] = []
        if events:
            subscription.sent = events[-1]["n"]
            if wanted := [event for event in events if subscription.wants(event)]:
                messages.append({"run": run, "events": wanted})
            if subscription.sent < self.manager.ledger.last(run):
                self._behind.add(run)
                self._wake.set()
        if not subscription.caught_up and subscription.sent >= subscription.head:
            subscription.caught_up = True
            messages.append({"caught_up": run, "n": subscription.sent})
        return messages


async def follow(manager: RunManager, run: int, after: int) -> AsyncIterator[list[RunEvent]]:
    """A run's events from number after + 1 on, in batches, until it has ended."""
    manager.get(run)
    with Feed(manager) as feed:
        await feed.subscribe(run, after)
        async for message in feed.messages():
            if message.get("run") == run:
                yield message["events"]
                if message["events"][-1]["event"] == "ended":
                    return
            elif message.get("caught_up") == run and manager.ledger.last(run) <= message["n"]:
                if manager.get(run).ended is not None:  # its last word was sent before `after`
                    return
            elif run in message.get("removed", ()):
                return


async def serve(socket: WebSocket, manager: RunManager, hello: dict[str, Any], feeds: set[Feed]) -> None:
    """Speak with one page until it goes. Whatever it says, it is answered, and the socket stays."""
    await socket.accept()
    with Feed(manager) as feed:
        feeds.add(feed)
        sender = asyncio.create_task(_send(socket, feed, hello))
        try:
            while (message := await socket.receive())["type"] == "websocket.receive":
                await _obey(socket, feed, message)
        except (WebSocketDisconnect, RuntimeError):  # starlette's ways to say that the page has gone
            pass
        finally:
            feeds.discard(feed)
            sender.cancel()


async def _send(socket: WebSocket, feed: Feed, hello: dict[str, Any]) -> None:
    try:
        await socket.send_text(_packed(hello))
        async for message in feed.messages():
            await socket.send_text(_packed(message))
    except (WebSocketDisconnect, RuntimeError):
        pass
    except sqlite3.Error as error:  # a page that heard nothing more would show what is no longer so
        log.error("a page could not be told what happens: %s", error)
        with suppress(RuntimeError):
            await socket.close(1011, "the server's memory cannot be read")


async def _obey(socket: WebSocket, feed: Feed, message: Mapping[str, Any]) -> None:
    """Do what a page asks; answer what cannot be understood."""
    try:
        text = message.get("text")
        if text is None:
            raise ValueError("a message is a text")
        if len(text) > LONGEST_MESSAGE:
            raise ValueError(f"a message has no more than {LONGEST_MESSAGE} characters")
        ask = ClientMessage.model_validate_json(text)
        if ask.subscribe is not None:
            await feed.subscribe(ask.subscribe, ask.after, ask.brief, ask.metrics)
        elif ask.unsubscribe is not None:
            feed.unsubscribe(ask.unsubscribe)
        else:
            raise ValueError('say {"subscribe": RUN, "after": N} or {"unsubscribe": RUN}')
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, each['loc']))} {each['msg']}".strip() for each in error.errors()[:3])
        await socket.send_text(_packed({"error": printable(f"not understood: {said}")}))
    except (ValueError, sqlite3.Error) as error:
        await socket.send_text(_packed({"error": printable(f"not understood: {error}")}))


def _packed(message: Mapping[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))
