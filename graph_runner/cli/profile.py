"""`run --profile`: the slowest nodes, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graph_runner.cli.wording import count, place

if TYPE_CHECKING:
    from graph_runner.run.profile import Profile

MOST = 15


def show(console: Console, profile: Profile, folder: Path) -> None:
    """Tell what the slowest nodes of a run took, and where the rest is written."""
    from graph_runner.base.telling import large
    from graph_runner.run.profile import PROFILE, TRACE

    nodes = sorted(profile.nodes.items(), key=lambda item: -item[1].own_seconds)
    on_device = any(node.device_seconds is not None for _, node in nodes)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("node")
    table.add_column("type", style="dim")
    heads = ["calls", "own s", "share", "with inside s", *(["device s"] * on_device)]
    for head in [*heads, *(["memory"] * (profile.memory is not None))]:
        table.add_column(head, justify="right")
    for id, node in nodes[:MOST]:
        share = node.own_seconds / profile.seconds if profile.seconds else 0.0
        device = [f"{node.device_seconds or 0:.3f}"] if on_device else []
        memory = [large(node.memory, "B")] if profile.memory is not None else []
        row = (f"{node.calls:,}", f"{node.own_seconds:.3f}", f"{share:.0%}", f"{node.seconds:.3f}", *device, *memory)
        table.add_row(Text(id), Text(node.type), *row)
    console.print()
    console.print(table)
    rest = max(0.0, profile.seconds - sum(node.own_seconds for _, node in nodes))
    more = f"{count(len(nodes) - MOST, 'quicker node')} and " if len(nodes) > MOST else ""
    console.print(
        Text(
            f"{rest:.3f} s were the engine's: reading, checking, storing. {more}all of this is in "
            f"{place(folder / PROFILE)}; {TRACE} beside it opens in Perfetto.",
            "dim",
        ),
        soft_wrap=True,
    )
