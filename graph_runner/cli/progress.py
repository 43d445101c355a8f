"""What a person sees while a run goes on: bars on a terminal, plain lines elsewhere. Both listen to the events."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from graph_runner.base import events
from graph_runner.base.problems import some
from graph_runner.cli.wording import count, duration, figures

QUICK = 1.0
"""Seconds below which a node that does not loop is not worth a line, nor a loop inside another a bar."""
BLINK = 0.3
"""Seconds before a node that does not loop is shown at all: what flickers tells nothing."""
LINE_SECONDS = 10.0
"""Plain lines about one node come no more often than this."""

Clock = Callable[[], float]


@dataclass
class Turns:
    """How far a loop is, and how fast it was over the last minute or so."""

    node: str
    depth: int
    total: int
    samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=120))
    done: int = 0
    began: float = 0.0

    def advance(self, done: int, now: float) -> None:
        """Note that `done` steps are done; the first word of a loop only says where it starts to be timed."""
        if not self.samples:
            self.began = now
        if not self.samples or now - self.samples[-1][0] >= 0.5:
            self.samples.append((now, done))
        self.done, self.now = done, now

    def left(self, now: float) -> float | None:
        """Seconds to the end; None while nothing can be said."""
        if not self.samples or self.done <= self.samples[0][1]:
            return None
        seconds, turns = self.now - self.samples[0][0], self.done - self.samples[0][1]
        return max(0.0, seconds / turns * (self.total - self.done) - (now - self.now))


class Watch:
    """The state of a run as its events tell it: the node at work, its loops from the outside in, its last numbers."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.began = clock()
        self.run = ""
        self.planned: list[str] = []
        self.cached: list[str] = []
        self.finished = 0
        self.node = ""
        self.started = 0.0
        self.loops: dict[tuple[int, str], Turns] = {}
        self.numbers: dict[str, float] = {}
        self.placed: events.Placed | None = None
        self._owners: dict[str, str] = {}

    def __call__(self, event: events.Event) -> None:
        """Take in one event."""
        match event:
            case events.Planned():
                self.run, self.planned, self.cached = event.run, event.nodes, event.cached
            case events.Started():
                self.node, self.started = event.node, self.clock()
                self.loops, self.numbers, self._owners = {}, {}, {}
            case events.Progress():
                self._advance(event)
            case events.Metric():
                for name, value in event.values.items():
                    owner = self._owners.setdefault(name, event.node)
                    self.numbers[name if owner == event.node else f"{event.node}.{name}"] = value
            case events.Finished():
                self.finished += 1
            case events.Placed():
                self.placed = event

    def _advance(self, event: events.Progress) -> None:
        depth = len(event.path)
        for key in [key for key in self.loops if key[0] > depth]:
            del self.loops[key]
        turns = self.loops.setdefault((depth, event.node), Turns(event.node, depth, event.total))
        turns.advance(event.done, self.clock())
        if depth and event.done == event.total:
            del self.loops[depth, event.node]

    @property
    def turns(self) -> int:
        """The steps of the node's own loop, 0 where it has none."""
        return self.loops[0, self.node].total if (0, self.node) in self.loops else 0

    def remarkable(self, event: events.Finished) -> bool:
        """Whether the end of a node is worth a line."""
        return event.seconds >= QUICK or bool(self.numbers)


class Bars:
    """A listener for terminals: a line for each node that took its time, and bars below for what runs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.watch = Watch()
        self._lock = threading.RLock()
        self._width = 12  # of the names; it only grows
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(get_renderable=self._picture, console=console, transient=True, refresh_per_second=8)

    def __call__(self, event: events.Event) -> None:
        """Take in one event and show what changed."""
        with self._lock:
            self.watch(event)
        match event:
            case events.Planned():
                if event.cached:
                    self.console.print(f"[dim]from the cache: {some(event.cached)}[/]", highlight=False)
                self._live.start()
            case events.Progress():  # of files that are read before the run is planned
                self._live.start()
            case events.Finished() if self.watch.remarkable(event):
                self.console.print(self._row("[green]✓[/]", event), highlight=False)
            case events.Log():
                self.say(_sentence(event), "yellow" if event.level == "warning" else "dim")
            case events.Failed() | events.Ended():
                self.close()

    def say(self, sentence: str, style: str = "") -> None:
        """One line above the bars."""
        self.console.print(Text(sentence, style), soft_wrap=True)

    def close(self) -> None:
        """Take the bars away; the terminal is as it was."""
        self._live.stop()

    def _row(self, mark: str, event: events.Finished) -> Table:
        turns = count(self.watch.turns, "step") if self.watch.turns else ""
        row = self._grid(event.node)
        row.add_row(mark, escape(event.node), turns, duration(event.seconds), figures(self.watch.numbers))
        return row

    def _grid(self, *names: str) -> Table:
        self._width = min(28, max([self._width, *map(len, names)]))
        # Not quite the whole width: a terminal echoes ^C behind it, which must not begin a new line.
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        grid.width = self.console.width - 4
        grid.add_column(width=1)
        grid.add_column(width=self._width, no_wrap=True, overflow="ellipsis")
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column(style="dim", no_wrap=True, overflow="ellipsis", ratio=1)
        return grid

    def _picture(self) -> Table:
        with self._lock:
            watch, now = self.watch, self.watch.clock()
            loops = [turns for turns in watch.loops.values() if turns.depth == 0 or now - turns.began >= QUICK]
            if not loops and (not watch.node or now - watch.started < BLINK):
                return self._grid()
            grid = self._grid(watch.node, *("  " * turns.depth + turns.node for turns in loops))
            numbers = figures(watch.numbers)
            if watch.node and not any(turns.node == watch.node for turns in loops):
                grid.add_row(self._spinner, escape(watch.node), "", duration(now - watch.started), numbers)
            for turns in loops:
                left = turns.left(now)
                bar = Table.grid(padding=(0, 2, 0, 0))
                bar.add_row(
                    ProgressBar(turns.total, turns.done, width=max(8, min(32, self.console.width // 4))),
                    f"{turns.done:,}/{turns.total:,}",
                )
                name = "  " * turns.depth + escape(turns.node)
                time_left = "" if left is None else f"{duration(left)} left"
                mark = self._spinner if turns.node == watch.node else ""
                grid.add_row(mark, name, bar, time_left, numbers if turns.node == watch.node else "")
            return grid


class Lines:
    """A listener for logs: plain lines, each beginning with the time since the start."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self.stream = stream
        self.watch = Watch(clock)
        self._told = clock()

    def __call__(self, event: events.Event) -> None:
        """Take in one event, and write a line where it is time for one."""
        watch = self.watch
        watch(event)
        match event:
            case events.Planned() if event.cached:
                self.say(f"from the cache: {some(event.cached)}")
            case events.Started():
                self._told = watch.clock()
            case events.Progress() if watch.clock() - self._told >= LINE_SECONDS:
                self._told = watch.clock()
                self.say("  ".join(filter(None, [self._turns(), figures(watch.numbers)])))
            case events.Finished() if watch.remarkable(event):
                turns = f" ({count(watch.turns, 'step')})" if watch.turns else ""
                done = f"{event.node} done in {duration(event.seconds)}{turns}"
                self.say("  ".join(filter(None, [done, figures(watch.numbers)])))
            case events.Log():
                self.say(_sentence(event))

    def say(self, sentence: str, style: str = "") -> None:  # noqa: ARG002 - plain lines have no style
        """One line."""
        elapsed = round(self.watch.clock() - self.watch.began)
        print(
            f"{elapsed // 3600}:{elapsed // 60 % 60:02d}:{elapsed % 60:02d}  {sentence}", file=self.stream, flush=True
        )

    def close(self) -> None:
        """Nothing to take away."""

    def _turns(self) -> str:
        now = self.watch.clock()
        loops = list(self.watch.loops.values())
        if not loops:
            return self.watch.node
        left = loops[0].left(now)
        at = " · ".join(f"{turns.node} {turns.done}/{turns.total}" for turns in loops)
        return at if left is None else f"{at}, {duration(left)} left"


def listener(console: Console) -> Bars | Lines:
    """What suits a terminal, or else a log."""
    return Bars(console) if console.is_terminal else Lines(sys.stderr)


def progress() -> Bars | Lines:
    """A listener that shows a run on a terminal as the command line does, and in plain lines in a notebook or a log."""
    return listener(Console(stderr=True))


def _sentence(event: events.Log) -> str:
    sentence = f"{event.node} {event.message}" if event.node else event.message
    return f"warning: {sentence}" if event.level == "warning" else sentence
