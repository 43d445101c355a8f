"""What a person sees while a run goes on."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from graph_runner.base.events import Ended, Event, Failed, Finished, Log, Metric, Planned, Progress, Started
from graph_runner.cli.progress import Bars, Lines, Watch
from graph_runner.cli.wording import duration, figures, value

ERASED = "\x1b[?25h\r\x1b[1A\x1b[2K"
"""The cursor shown again, the line above it erased."""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def train(clock: Clock, listener: object, turns: range, total: int = 1000, seconds: float = 0.125) -> None:
    """`turns` of a training, each as long."""
    for turn in turns:
        clock.now += seconds
        listener(Metric("fit", {"loss": 1 / (turn + 1)}, turn))
        listener(Progress("fit", turn + 1, total))


def begin(listener: object) -> None:
    listener(Planned("20260101-run", ["data", "fit"], ["encoded"]))
    listener(Started("fit"))


def test_time_left_is_measured_on_the_turns_of_this_run() -> None:
    clock = Clock()
    watch = Watch(clock)
    begin(watch)
    clock.now += 60  # the first turn is slow, and it goes on from turn 500
    watch(Progress("fit", 501, 1000))
    (turns,) = watch.loops.values()
    assert turns.left(clock.now) is None, "one turn tells nothing"
    train(clock, watch, range(501, 600))
    assert turns.left(clock.now) == pytest.approx(400 * 0.125)
    assert turns.left(clock.now + 1) == pytest.approx(400 * 0.125 - 1), "it runs down between two words"
    train(clock, watch, range(600, 990), seconds=1)
    assert turns.left(clock.now) == pytest.approx(10, rel=0.05), "what was fast at first is forgotten"


def test_an_inner_loop_ends_with_its_turn() -> None:
    watch = Watch(Clock())
    begin(watch)
    watch(Progress("fit", 1, 10))
    watch(Progress("preview", 3, 20, (0,)))
    watch(Progress("inmost", 1, 5, (0, 2)))
    assert [turns.node for turns in watch.loops.values()] == ["fit", "preview", "inmost"]
    watch(Progress("preview", 4, 20, (0,)))
    assert [turns.node for turns in watch.loops.values()] == ["fit", "preview"]
    watch(Progress("preview", 20, 20, (0,)))
    assert [turns.node for turns in watch.loops.values()] == ["fit"]
    watch(Started("save"))
    assert not watch.loops


def test_numbers_of_one_name_from_two_nodes_are_kept_apart() -> None:
    watch = Watch(Clock())
    begin(watch)
    watch(Metric("fit", {"loss": 1.0}, 0))
    watch(Metric("other", {"loss": 2.0}, 0))
    watch(Metric("fit", {"loss": 0.5}, 1))
    assert watch.numbers == {"loss": 0.5, "other.loss": 2.0}


def test_plain_lines_come_seldom_and_at_a_nodes_end() -> None:
    clock, stream = Clock(), io.StringIO()
    lines = Lines(stream, clock)
    begin(lines)
    train(clock, lines, range(200))
    lines(Finished("fit", 25.0))
    lines(Started("quick"))
    lines(Finished("quick", 0.01))
    lines(Log("something to know", "fit", "warning"))
    assert stream.getvalue().splitlines() == [
        "0:00:00  from the cache: encoded",
        "0:00:10  fit 80/1000, 1 min 55 s left  loss 0.0125",
        "0:00:20  fit 160/1000, 1 min 45 s left  loss 0.00625",
        "0:00:25  fit done in 25 s (1,000 steps)  loss 0.005",
        "0:00:25  warning: fit something to know",
    ]


def on_terminal(events: list[Event], look_after: int) -> tuple[str, str]:
    """The bars after some events, and all that stays on the terminal in the end."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None, legacy_windows=False)
    bars = Bars(console)
    for event in events[:look_after]:
        bars(event)
    with console.capture() as capture:
        console.print(bars._picture())
    for event in events[look_after:]:
        bars(event)
    bars.close()
    return capture.get(), console.file.getvalue()


def test_bars_show_the_loop_its_numbers_and_then_one_line() -> None:
    picture, stays = on_terminal(
        [
            Planned("run", ["fit"], ["encoded"]),
            Started("fit"),
            Progress("fit", 1, 200),
            Metric("fit", {"loss": 0.25}, 1),
            Progress("fit", 50, 200),
            Finished("fit", 65.0),
            Ended("done", 65.0),
        ],
        look_after=5,
    )
    assert "fit" in picture
    assert "50/200" in picture
    assert "left" in picture
    assert "loss 0.25" in picture
    assert "from the cache: encoded" in stays
    assert "✓ fit 200 steps 1 min 05 s loss 0.25" in " ".join(stays.split())
    assert stays.endswith(ERASED), "only lines of what is done stay"


def test_bars_are_gone_when_a_node_fails() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, legacy_windows=False)
    bars = Bars(console)
    begin(bars)
    bars(Progress("fit", 1, 10))
    bars(Failed("fit", "fit: it broke", "Traceback"))
    assert not bars._live.is_started
    assert console.file.getvalue().endswith(ERASED)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (151, "2 min 31 s"), (3900, "1 h 05 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_numbers_and_values_are_short() -> None:
    import torch

    assert figures({"loss": 0.123456, "total": 12345.6}) == "loss 0.1235  total 12,346"
    assert figures({"loss/a": 1.0, "loss/b": 2.0, "lr/a": 1e-5}) == "loss a 1  b 2 · lr a 1e-05"
    assert value(torch.tensor([1.0, 2.0])) == "[1.0, 2.0]"
    assert value(torch.zeros(4, 3, 32, 32)) == "4 × 3 × 32 × 32, float32, mean 0, std 0, from 0 to 0"
    assert value([1, "two"]) == "[1, 'two']"


def test_files_that_are_read_before_the_run_is_planned_have_a_bar() -> None:
    out = io.StringIO()
    bars = Bars(Console(file=out, force_terminal=True, width=100))
    bars(Log("reads /data/pictures (3,100 MB new or changed) to know whether its result is known", "photos"))
    bars(Progress("photos", 1200, 3100))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(bars._picture())
    bars.close()
    assert "photos reads /data/pictures (3,100 MB" in out.getvalue()
    assert "1,200/3,100" in console.export_text()
