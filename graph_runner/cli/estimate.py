"""What a dry run found, as a table for a terminal."""

from __future__ import annotations

import os

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from graph_runner.base.telling import large
from graph_runner.bind.graph import Scope
from graph_runner.estimate.dry import Estimate, NodeEstimate


def tell(estimate: Estimate, top: Scope, everything: bool) -> None:
    """Print what each node gives and costs; everything: the nodes inside zones too, else their cost with their zone's."""
    console = Console()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("node")
    table.add_column("gives", ratio=1)
    table.add_column("operations", justify="right", no_wrap=True)
    table.add_column("steps", justify="right", no_wrap=True)
    _rows(table, top, estimate, everything)
    console.print(table)
    console.print(
        f"{large(estimate.flops)} floating-point operations in all; at most {large(estimate.memory, 'B')} of tensors at once,"
        f" in {estimate.memory_at or 'no node'}",
        soft_wrap=True,
    )
    if told := _parts(estimate):
        console.print(told, soft_wrap=True)
    if estimate.memory > (here := _memory_here()):
        console.print(f"That is more than this machine's {large(here, 'B')} of memory.", style="yellow", soft_wrap=True)


def _parts(estimate: Estimate) -> str:
    """What the memory is of, where something trains or several processes share it."""
    if estimate.processes == 1 and "gradients" not in estimate.parts:
        return ""
    how = "split among them" if estimate.sharded else "the models whole in each"
    who = f"In each of {estimate.processes} processes, {how}" if estimate.processes > 1 else "Of that"
    largest = sorted(estimate.parts.items(), key=lambda part: -part[1])
    told = ", ".join(f"{name} {large(size, 'B')}" for name, size in largest)
    return f"{who}: {told}. Python and PyTorch themselves take about 0.2 GB in each process."


def _memory_here() -> float:
    """Bytes of this machine's memory; infinitely many where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return float("inf")


def _rows(table: Table, scope: Scope, estimate: Estimate, everything: bool) -> None:
    for id, bound in scope.nodes.items():
        node = estimate.nodes[id]
        inside = 0.0 if everything or bound.body is None else sum(estimate.nodes[b.id].flops for b in bound.body.walk())
        gives, flops = _gives(node), node.flops + inside
        if gives or flops or everything:
            turns = f"{node.runs:,.0f}" if scope.depth else ""
            name = "  " * scope.depth + id
            table.add_row(escape(name), escape(gives), large(flops) if flops else "", turns)
        if everything and bound.body is not None:
            _rows(table, bound.body, estimate, everything)


def _gives(node: NodeEstimate) -> str:
    told = "; ".join(f"{port} {text}" if port else text for port, text in node.gives.items())
    return told or (f"({node.open})" if node.open and node.open != "it only has an effect" else "")
