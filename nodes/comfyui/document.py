"""ComfyUI's two files, the canvas' (litegraph) and the API's, read into one form: nodes with named inputs.

Reroutes and primitive nodes are followed, and subgraphs are taken apart; which of them a node came from is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from graph_runner.base.problems import Problem, WorkflowError, shortened

MOST_NODES = 20_000
DEEPEST = 24
INPUT, OUTPUT = "-10", "-20"
"""The ids of a subgraph's borders."""
MODES = {2: "mute", 4: "bypass"}
AFTER_SEED = ("fixed", "increment", "decrement", "randomize")
"""What stands after a seed among the values of a node: what becomes of it after a run."""
SEEDS = ("seed", "noise_seed")
PASSED = ("Reroute", "PrimitiveNode")

Widgets = Callable[[str], tuple[str, ...] | None]
"""The names of a class' widgets in their order; None for a class that is not known."""


class Link(NamedTuple):
    """An output of a node."""

    node: str
    slot: int


@dataclass(frozen=True)
class Item:
    """A node of theirs. inputs: links and literals by name. kinds: the types of linked inputs and of outputs, where told.

    within: the subgraphs that it lies in, the outermost first: pairs of the id of the node that stands for it and its name.
    """

    id: str
    kind: str
    inputs: dict[str, Any]
    input_kinds: dict[str, str] = field(default_factory=dict)
    outputs: tuple[tuple[str, str], ...] = ()
    title: str = ""
    mode: str = "run"
    at: tuple[int, int] | None = None
    within: tuple[tuple[str, str], ...] = ()


class Drawn(NamedTuple):
    """A note or a group: text, place, size, colour."""

    kind: str
    text: str
    at: tuple[int, int]
    size: tuple[int, int]


@dataclass
class Sheet:
    """All nodes by id, and what is only drawn."""

    items: dict[str, Item] = field(default_factory=dict)
    drawn: list[Drawn] = field(default_factory=list)


def is_api(document: Mapping[str, Any]) -> bool:
    """Whether a document is a prompt as the API takes it."""
    return bool(document) and all(isinstance(each, dict) and "class_type" in each for each in document.values())


def is_sheet(document: Mapping[str, Any]) -> bool:
    """Whether a document is a workflow as the canvas saves it."""
    return isinstance(document.get("nodes"), list) and "links" in document and "loom" not in document


def read_api(document: Mapping[str, Any]) -> Sheet:
    """The nodes of an API prompt. Raises WorkflowError, naming the node, where it is malformed."""
    sheet = Sheet()
    _bounded(len(document))
    for id, node in document.items():
        inputs = node.get("inputs", {})
        if not isinstance(node["class_type"], str) or not isinstance(inputs, dict):
            raise _wrong(f"node {shortened(id)} needs a class_type that is text and inputs that are an object")
        meta = node.get("_meta")
        sheet.items[id] = Item(
            id,
            node["class_type"],
            {name: _api_value(value) for name, value in inputs.items()},
            title=_text(meta.get("title")) if isinstance(meta, dict) else "",
        )
    return sheet


def _api_value(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int) and isinstance(value[1], int):
        return Link(str(value[0]), value[1])
    if isinstance(value, dict) and set(value) == {"__value__"}:
        return value["__value__"]
    return value


def read_sheet(document: Mapping[str, Any], widgets: Widgets) -> Sheet:
    """The nodes of a canvas' file, subgraphs taken apart. Raises WorkflowError, naming the node, where it is malformed."""
    definitions = document.get("definitions")
    found = definitions.get("subgraphs", []) if isinstance(definitions, dict) else []
    subgraphs = {str(each["id"]): each for each in found if isinstance(each, dict) and "id" in each}
    sheet = Sheet()
    _Reader(sheet, subgraphs, widgets).read(document, "", (), {})
    return sheet


@dataclass
class _Reader:
    sheet: Sheet
    subgraphs: Mapping[str, Mapping[str, Any]]
    widgets: Widgets
    entered: int = 0

    def read(
        self, graph: Mapping[str, Any], prefix: str, within: tuple[tuple[str, str], ...], given: Mapping[int, Any]
    ) -> dict[int, Any]:
        """Read a graph. given: what comes in at its border, by slot. Gives what leaves it, by slot."""
        if len(within) > DEEPEST:
            raise _wrong(f"subgraphs lie in each other deeper than {DEEPEST}")
        nodes: dict[str, dict[str, Any]] = {}
        for node in _list(graph.get("nodes"), "nodes"):
            if not isinstance(node, dict) or "id" not in node or not isinstance(node.get("type"), str):
                raise _wrong(f"a node has no id, or no type: {shortened(str(node))}")
            nodes[str(node["id"])] = node
        links = dict(_link(each) for each in _list(graph.get("links"), "links"))
        inner: dict[str, dict[int, Any]] = {}

        def follow(origin: str, slot: int, entering: frozenset[str] = frozenset()) -> Any:
            """What an output is, past reroutes, primitives and borders."""
            seen = set(entering)
            while (node := nodes.get(origin)) is not None and node["type"] == "Reroute":
                if origin in seen:
                    raise _wrong(f"reroutes lead in a circle at node {origin}")
                seen.add(origin)
                came = next((links.get(e["link"]) for e in _entries(node, "inputs") if e.get("link") is not None), None)
                if came is None:
                    return None
                origin, slot = came
            if origin == INPUT:
                return given.get(slot)
            if node is None:
                return Link(prefix + origin, slot)  # told where it is read
            if origin in seen:
                raise _wrong(f"node {origin} reads its own result")
            if node["type"] == "PrimitiveNode":
                values = node.get("widgets_values") or [None]
                return values[0] if isinstance(values, list) else None
            if node["type"] in self.subgraphs:
                if origin not in inner:
                    inner[origin] = self._enter(node, prefix, within, frozenset(seen | {origin}), inputs_of)
                return inner[origin].get(slot)
            return Link(prefix + origin, slot)

        def inputs_of(node: Mapping[str, Any], seen: frozenset[str] = frozenset()) -> dict[str, Any]:
            """The inputs of a node by name: its widgets' values, and over them what is linked."""
            inputs = _widget_values(node, self.widgets(node["type"]))
            for entry in _entries(node, "inputs"):
                if entry.get("link") is None or (came := links.get(entry["link"])) is None:
                    continue
                if (value := follow(came.node, came.slot, seen)) is not None:  # else the widget's own value holds
                    inputs[_text(entry.get("name"))] = value
            return inputs

        for id, node in nodes.items():
            kind = node["type"]
            if kind in ("Note", "MarkdownNote"):
                values = node.get("widgets_values")
                text = _text(values[0]) if isinstance(values, list) and values else ""
                if not within:
                    self.sheet.drawn.append(Drawn("note", text, _pair(node.get("pos")), _pair(node.get("size"))))
            elif kind in self.subgraphs:
                follow(id, 0)
            elif kind not in PASSED:
                _bounded(len(self.sheet.items) + 1)
                self.sheet.items[prefix + id] = Item(
                    prefix + id,
                    kind,
                    inputs_of(node),
                    {_text(e.get("name")): _text(e.get("type")) for e in _entries(node, "inputs")},
                    tuple((_text(o.get("name")), _text(o.get("type"))) for o in _entries(node, "outputs")),
                    _text(node.get("title")),
                    MODES.get(node.get("mode", 0), "run"),
                    _pair(node.get("pos")),
                    within,
                )
        if not within:
            for group in _list(graph.get("groups"), "groups"):
                if isinstance(group, dict) and isinstance(box := group.get("bounding"), list) and len(box) == 4:
                    self.sheet.drawn.append(Drawn("frame", _text(group.get("title")), _pair(box[:2]), _pair(box[2:])))
        ends = [link for link in _list(graph.get("links"), "links") if isinstance(link, dict)]
        leaving = [end for end in ends if str(end.get("target_id")) == OUTPUT]
        return {int(end.get("target_slot", 0)): follow(*_link(end)[1]) for end in leaving}

    def _enter(
        self,
        node: Mapping[str, Any],
        prefix: str,
        within: tuple[tuple[str, str], ...],
        seen: frozenset[str],
        inputs_of: Callable[..., dict[str, Any]],
    ) -> dict[int, Any]:
        """Read the inside of a node that stands for a subgraph."""
        graph = self.subgraphs[node["type"]]
        self.entered += 1
        _bounded(self.entered)
        ports = [_text(each.get("name")) for each in _list(graph.get("inputs"), "inputs") if isinstance(each, dict)]
        inputs = inputs_of({**node, "type": ""}, seen)
        values = node.get("widgets_values")
        shown = [_text(e.get("name")) for e in _entries(node, "inputs") if isinstance(e.get("widget"), dict)]
        if isinstance(values, list):
            inputs = dict(_aligned(shown, values)) | inputs
        given = {slot: inputs[name] for slot, name in enumerate(ports) if name in inputs}
        name = node.get("title") or graph.get("name") or "subgraph"
        deeper = (*within, (prefix + str(node["id"]), _text(name)))
        before = set(self.sheet.items)
        left = self.read(graph, f"{prefix}{node['id']}:", deeper, given)
        if mode := MODES.get(node.get("mode", 0)):
            for id in self.sheet.items.keys() - before:
                self.sheet.items[id] = replace(self.sheet.items[id], mode=mode)
        return left


def _widget_values(node: Mapping[str, Any], names: tuple[str, ...] | None) -> dict[str, Any]:
    """The values of a node's widgets by name: as the class has them, or else as its inputs say."""
    values = node.get("widgets_values")
    if isinstance(values, dict):
        return dict(values)
    if not isinstance(values, list):
        return {}
    if names is None:
        entries = [e for e in _entries(node, "inputs") if isinstance(e.get("widget"), dict)]
        names = tuple(_text(entry.get("name")) for entry in entries)
        if not names and values and node["type"]:
            return {"widgets": values}
    return dict(_aligned(names, values))


def _aligned(names: list[str] | tuple[str, ...], values: list[Any]) -> list[tuple[str, Any]]:
    """Names and values side by side, without what stands after a seed."""
    aligned, at = [], 0
    for name in names:
        if at >= len(values):
            break
        aligned.append((name, values[at]))
        at += 1
        if name in SEEDS and at < len(values) and values[at] in AFTER_SEED:
            at += 1
    return aligned


def _link(link: Any) -> tuple[Any, Link]:
    try:
        if isinstance(link, dict):
            return link["id"], Link(str(link["origin_id"]), int(link["origin_slot"]))
        return link[0], Link(str(link[1]), int(link[2]))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _wrong(f"a link is malformed: {shortened(str(link))}") from error


def _entries(node: Mapping[str, Any], what: str) -> list[dict[str, Any]]:
    """The inputs or outputs of a node."""
    return [entry for entry in _list(node.get(what), what) if isinstance(entry, dict)]


def _list(value: Any, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(f"its {what} are no list")
    return value


def _pair(value: Any) -> tuple[int, int]:
    """A place or size, which litegraph writes as a list or as {"0": x, "1": y}."""
    if isinstance(value, dict):
        value = [value.get("0"), value.get("1")]
    if isinstance(value, list) and len(value) >= 2 and all(isinstance(n, int | float) for n in value[:2]):
        x, y = (max(-(10**6), min(10**6, round(n))) for n in value[:2])
        return x, y
    return 0, 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def name_in(text: str, fallback: str = "node") -> str:
    """A name as our files have them, of any text: CLIPTextEncode becomes clip_text_encode."""
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", text))
    name = re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")[:80]
    return name if name and name[0].isalpha() else f"{fallback}_{name}".strip("_")


def _bounded(count: int) -> None:
    if count > MOST_NODES:
        raise _wrong(f"it holds more than {MOST_NODES:,} nodes")


def _wrong(message: str) -> WorkflowError:
    return WorkflowError([Problem(f"the ComfyUI workflow is malformed: {message}", remedy="Save it in ComfyUI again")])
