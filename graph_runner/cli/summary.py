"""What a person is told at the end of a run: what was done, where it lies, and how to go on."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from graph_runner.base.telling import in_a_line, large
from graph_runner.cli.arguments import program
from graph_runner.cli.wording import count, duration, place

if TYPE_CHECKING:
    from graph_runner.base.events import Placed
    from graph_runner.cli.progress import Watch
    from graph_runner.run.engine import Result

MOST_PATHS = 8


def show(
    console: Console,
    result: Result,
    values: Mapping[str, Any],
    watch: Watch,
    exposed: Mapping[str, Any],
    argv: Sequence[str],
    written: Iterable[Path] = (),
) -> None:
    """Tell how a run ended: the values asked for, the files written and shown, what the workflow exposes, the command
    again."""

    def say(sentence: str, style: str = "") -> None:
        console.print(Text(sentence, style), soft_wrap=True)

    say("")
    spent = duration(watch.clock() - watch.began)
    if result.status == "stopped":
        at = ", ".join(f"{turns.node} at step {turns.done:,} of {turns.total:,}" for turns in watch.loops.values())
        say(f"Stopped after {spent}{at and ', '}{at}. What was done is kept; the same command goes on:", "bold")
        say(f"  {program()} {shlex.join(argv)}")
        return
    say(f"Done in {spent}: {_work(watch)}.", "bold green")
    if watch.placed is not None and watch.placed.came:
        say(_models(watch.placed), "dim")
    for name, given in values.items():
        say(f"  {name} = {in_a_line(given)}")
    for path in written:
        say(f"  {place(path)}")
    _places(say, result)
    if exposed:
        now = "  ".join(f"{name}={_short(given)}" for name, given in exposed.items())
        say(f"To change a setting: the same command with --set NAME=VALUE. Now: {now}", "dim")
    else:
        say("To change a parameter: the same command with --set NODE.PARAM=VALUE.", "dim")


def _short(given: Any) -> str:
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return shlex.quote(text) if len(text) <= 40 else "…"


def _models(placed: Placed) -> str:
    """What lies on the device, and how much had to move for it."""
    parts = [f"{_named(placed.here) or 'no model'} on {placed.device}"]
    if placed.waiting:
        parts.append(f"{_named(placed.waiting)} on the host")
    if placed.streamed:
        parts.append(f"{_named(placed.streamed)} streamed from there")
    of = "" if placed.budget is None else f" of {large(placed.budget, 'B')}"
    free = "" if placed.free is None else f"; {large(placed.free, 'B')}{of} free"
    back = f", {large(placed.left, 'B')} back" if placed.left else ""
    return f"{'; '.join(parts)}{free}. {large(placed.came, 'B')} of models went there{back}."


def _named(models: Mapping[str, int]) -> str:
    """Models with their sizes: "unet 3.44 GB, autoencoder 335 MB"."""
    return ", ".join(f"{name} {large(models[name], 'B')}" for name in models)


def _work(watch: Watch) -> str:
    computed = f"{count(watch.finished, 'node')} computed"
    return f"{computed}, {len(watch.cached)} from the cache" if watch.cached else computed


def _places(say: Any, result: Result) -> None:
    """The files to look at: what was saved by its paths, previews by their number and folder."""
    workspace = result.folder.parent.parent
    saved = [workspace / shown.path for shown in result.shown if not shown.preview]
    previews = [shown for shown in result.shown if shown.preview]
    for path in saved[:MOST_PATHS]:
        say(f"  {place(path)}")
    if len(saved) > MOST_PATHS:
        say(f"  and {count(len(saved) - MOST_PATHS, 'more file')} there")
    if previews:
        say(f"  {count(len(previews), 'preview')} in {place(result.folder / 'outputs')}")
