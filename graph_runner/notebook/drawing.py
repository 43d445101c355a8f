"""A workflow drawn as SVG: its nodes as boxes from left to right in the order of their wires, zones with their bodies inside.

It is drawn from the graph alone; where a person put the nodes on the canvas does not matter here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import networkx as nx

from graph_runner.format.wires import nodes_in, references_in, split
from graph_runner.format.workflow import Node, Workflow

LETTER, LINE, PAD, GAP_X, GAP_Y, HEAD = 6.6, 16, 10, 48, 14, 24
"""Pixels: of a letter's width, a line, within boxes, between boxes, and a box's head."""
LONGEST = 28


@dataclass(eq=False)
class _Box:
    """A node as it is drawn. x, y: of its corner in the whole drawing, once it is placed."""

    id: str
    node: Node
    lines: list[str]
    inside: list[_Box]
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0


def drawing(workflow: Workflow) -> str:
    """The SVG text of a workflow."""
    boxes, width, height = _arranged(workflow.nodes)
    placed: dict[str, _Box] = {}
    shapes = [shape for box in boxes for shape in _shapes(box, PAD, PAD, placed, 0)]
    top = {box.id for box in boxes}
    ends = [
        (placed[source], box)
        for box in placed.values()
        for source in dict.fromkeys(_sources(box.node))
        if source in placed
    ]
    behind = [_wire(source, box) for source, box in ends if box.id in top]  # nodes that they pass stay readable
    before = [_wire(source, box) for source, box in ends if box.id not in top]
    width, height = width + 2 * PAD, height + 2 * PAD
    title = f"<title>{escape(workflow.title)}</title>" if workflow.title else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        f'style="max-width: 100%; height: auto" font-family="system-ui, sans-serif" font-size="11">{title}'
        f"{''.join([*behind, *shapes, *before])}</svg>"
    )


def _arranged(nodes: Mapping[str, Node]) -> tuple[list[_Box], float, float]:
    """The boxes of one scope in columns, each right of those that it reads; and the room they take."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(
        (source, id) for id, node in nodes.items() for source in _reads(node) if source in nodes and source != id
    )
    try:
        order = {id: n for n, id in enumerate(nodes)}
        columns = [sorted(column, key=order.__getitem__) for column in nx.topological_generations(graph)]
    except nx.NetworkXUnfeasible:  # wires in a circle, which validation tells
        columns = [list(nodes)]
    boxes, x, height = [], 0.0, 0.0
    for column in columns:
        made = [_box(id, nodes[id]) for id in column]
        y = 0.0
        for box in made:
            box.x, box.y = x, y
            y += box.height + GAP_Y
        boxes += made
        height = max(height, y - GAP_Y)
        x += max(box.width for box in made) + GAP_X
    return boxes, max(x - GAP_X, 0.0), height


def _box(id: str, node: Node) -> _Box:
    lines = [_short(f"{name} {_told(value)}") for name, value in node.params.items()]
    inside, inner_width, inner_height = _arranged(node.body.nodes) if node.body is not None else ([], 0.0, 0.0)
    text = max(map(len, [id, node.type, *lines]))
    width = max(text * LETTER + 2 * PAD, 110.0, inner_width + 2 * PAD)
    height = HEAD + LINE * (1 + len(lines)) + PAD + (inner_height + PAD if inside else 0.0)
    return _Box(id, node, lines, inside, width, height)


def _shapes(box: _Box, x: float, y: float, placed: dict[str, _Box], depth: int) -> list[str]:
    """A box and all in it, moved by (x, y)."""
    box.x, box.y = box.x + x, box.y + y
    placed[box.id] = box
    fill = "#ffffff" if depth % 2 == 0 else "#f4f6f8"
    faint = ' opacity="0.45"' if box.node.mode != "run" else ""
    parts = [
        f'<g{faint}><rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="6" fill="{fill}" stroke="#8a94a0"/>'
        f'<text x="{box.x + PAD:.1f}" y="{box.y + 16:.1f}" font-weight="600" fill="#1d2733">{escape(box.id)}</text>'
        f'<text x="{box.x + PAD:.1f}" y="{box.y + HEAD + 8:.1f}" fill="#5b6672">{escape(box.node.type)}</text>'
    ]
    for i, line in enumerate(box.lines, 1):
        parts.append(
            f'<text x="{box.x + PAD:.1f}" y="{box.y + HEAD + 8 + LINE * i:.1f}" fill="#1d2733">{escape(line)}</text>'
        )
    top = box.y + HEAD + LINE * (1 + len(box.lines)) + PAD / 2
    for each in box.inside:
        parts += _shapes(each, box.x + PAD, top, placed, depth + 1)
    return [*parts, "</g>"]


def _wire(source: _Box, target: _Box) -> str:
    """A curve from one box to another; from a zone into its own body it begins at the zone's left side."""
    within = source.x <= target.x and target.x + target.width <= source.x + source.width and source.y < target.y
    x0 = source.x if within else source.x + source.width
    y0 = target.y + HEAD / 2 if within else source.y + HEAD / 2
    x1, y1 = target.x, target.y + HEAD / 2
    bend = max(abs(x1 - x0) / 2, 12.0)
    return (
        f'<path d="M{x0:.1f} {y0:.1f} C{x0 + bend:.1f} {y0:.1f} {x1 - bend:.1f} {y1:.1f} {x1:.1f} {y1:.1f}" fill="none" '
        'stroke="#3b82c4" stroke-width="1.5" opacity="0.75"/>'
    )


def _sources(node: Node) -> list[str]:
    """The nodes that a node's own wires come from."""
    return [split(reference)[0] for wired in node.wires.values() for reference in references_in(wired)]


def _reads(node: Node) -> list[str]:
    """The nodes that a node and its body read."""
    inside = [source for child in node.body.nodes.values() for source in _reads(child)] if node.body is not None else []
    results = [id for wired in node.body.results.values() for id in nodes_in(wired)] if node.body is not None else []
    return [*_sources(node), *inside, *results]


def _told(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
