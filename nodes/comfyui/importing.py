"""ComfyUI's workflows and prompts as workflows of ours: every node is asked for its counterpart, in the order of their wires."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.contract import Folders, Imported, imports_workflows
from graph_runner.format.workflow import Exposed, Node, Place, Workflow, write
from nodes.comfyui.builder import DOWN, SIDEWAYS, Builder, Inputs
from nodes.comfyui.document import Item, Link, Sheet, is_api, is_sheet, name_in, read_api, read_sheet
from nodes.comfyui.subgraphs import as_definitions
from nodes.comfyui.table import CONSTANTS, TABLE, widgets_of
from nodes.comfyui.values import SETTINGS, Clip, Model, NoCounterpart, One, Value

BYPASSED_HERE = ("LoraLoader", "LoraLoaderModelOnly", "CLIPSetLastLayer")
"""What can be bypassed here as it is there: one node becomes one, and what goes in is of the kinds that come out."""
NAMED_FOR = {"model": "MODEL", "clip": "CLIP"}
"""Inputs that are named for the type of what they take, which the API's form does not say."""
MOST_SLOTS = 100
SHOWN = ("save_image", "preview_image")
ZONE = 520
"""By how much a sampling is wider here than their one node."""


@imports_workflows
def comfyui(document: dict[str, Any], folders: Folders) -> Imported | None:
    """A workflow of ComfyUI's canvas or API; None for what is neither. Raises WorkflowError where it is malformed."""
    try:
        if is_api(document):
            return imported(read_api(document), folders)
        return imported(read_sheet(document, widgets_of), folders) if is_sheet(document) else None
    except RecursionError as error:
        raise WorkflowError([Problem("the ComfyUI workflow nests too deeply")]) from error


def of_prompt(text: str) -> tuple[str, tuple[str, ...]]:
    """A workflow's text, and what differs in it, of the prompt that a picture carries. Raises ValueError where it is malformed."""
    document = json.loads(text)
    brought = comfyui(document, Folders()) if isinstance(document, dict) else None
    if brought is None:
        raise ValueError("its prompt holds no nodes")
    return write(brought.workflow), brought.remarks


def imported(sheet: Sheet, folders: Folders) -> Imported:
    """Our workflow of a sheet, and what differs in it. Nothing is executed."""
    b = Builder(folders)
    _Translation(b, sheet).run()
    for n, drawn in enumerate(sheet.drawn):
        scales = (SIDEWAYS, DOWN, SIDEWAYS, DOWN)
        x, y, width, height = (
            round(scale * each) for scale, each in zip(scales, (*drawn.at, *drawn.size), strict=True)
        )
        text = drawn.text or None
        b.layout[b.name(f"{drawn.kind}{n + 1}")] = Place(at=(x, y), size=(max(width, 60), max(height, 40)), kind=drawn.kind, text=text)  # type: ignore[arg-type]  # fmt: skip
    definitions, nodes, layout, moved = as_definitions(b)
    layout = _with_room(layout, nodes)
    shown = [id for id, node in nodes.items() if node.type in SHOWN]
    outputs = {id: ref for id in shown if isinstance(ref := nodes[id].wires.get("images"), str)}
    exposed = {name: ref for name, ref in b.exposed.items() if ref.partition(".")[0] not in moved}
    about = "Brought from ComfyUI." + "".join(f" {told[0].upper()}{told[1:]}." for told in b.remarks)
    workflow = Workflow(
        title="From ComfyUI",
        about=about,
        exposed=Exposed(params=exposed, outputs=outputs),
        definitions=definitions,
        nodes=nodes,
        layout=layout,
    )
    return Imported(workflow, tuple(b.remarks))


def _with_room(layout: Mapping[str, Place], nodes: Mapping[str, Node]) -> dict[str, Place]:
    """What stands right of a zone, farther to the right; frames around one, wider."""
    room = dict(layout)
    edges = sorted(layout[id].at[0] for id, node in nodes.items() if node.body and id in layout)
    for nth, left in enumerate(edges):
        if nth and left - edges[nth - 1] < ZONE / 2:  # one below the other
            continue
        for id, place in layout.items():
            if place.kind == "node" and id not in nodes:  # inside of a zone
                continue
            x, y = room[id].at
            if place.at[0] > left + 20:
                room[id] = room[id].model_copy(update={"at": (x + ZONE, y)})
            elif place.size is not None and place.at[0] + place.size[0] > left + 20 and place.kind == "frame":
                width, height = room[id].size or place.size
                room[id] = room[id].model_copy(update={"size": (width + ZONE, height)})
    return room


class _Translation:
    """One walk over the nodes of a sheet: each gets the values of those that it reads."""

    def __init__(self, b: Builder, sheet: Sheet) -> None:
        self.b, self.sheet = b, sheet
        self.values: dict[Link, Value] = {}
        self.muted: set[str] = set()
        self.read_slots: dict[str, set[int]] = defaultdict(set)
        self.read_as: dict[Link, str] = {}
        for item in sheet.items.values():
            for name, value in item.inputs.items():
                if isinstance(value, Link):
                    self.read_slots[value.node].add(value.slot)
                    self.read_as.setdefault(value, name)

    def run(self) -> None:
        """Translate all nodes."""
        for item in self._in_order():
            self.b.at(item)
            self.b.read_slots = self.read_slots[item.id]
            given = {name: self._value(item, name, value) for name, value in item.inputs.items()}
            before = set(self.b.nodes)
            out = self._translated(item, given)
            self.values |= {Link(item.id, slot): value for slot, value in enumerate(out)}
            if item.mode == "mute" or any(isinstance(v, Link) and v.node in self.muted for v in item.inputs.values()):
                self.muted.add(item.id)
                self._mode(before, "mute")
            elif item.mode == "bypass" and item.kind in BYPASSED_HERE:
                self._mode(before, "bypass")

    def _mode(self, before: set[str], mode: str) -> None:
        for id in self.b.nodes.keys() - before:
            self.b.nodes[id] = self.b.nodes[id].model_copy(update={"mode": mode})

    def _in_order(self) -> list[Item]:
        """What is read before what reads it; checkpoints first, whose autoencoders others are scaled like."""
        items = self.sheet.items
        graph = {
            id: {v.node for v in item.inputs.values() if isinstance(v, Link) and v.node in items}
            for id, item in sorted(items.items(), key=lambda pair: not pair[1].kind.startswith("Checkpoint"))
        }
        try:
            return [items[id] for id in TopologicalSorter(graph).static_order()]
        except CycleError as error:
            circle = ", ".join(dict.fromkeys(map(str, error.args[1])))
            raise WorkflowError([Problem(f"the ComfyUI workflow has a circle of nodes: {circle}")]) from error

    def _value(self, item: Item, name: str, value: Any) -> Value:
        if not isinstance(value, Link):
            return value
        if value.node not in self.sheet.items:
            self.b.tell(f"{item.kind} (node {item.id}) reads node {value.node} in {name!r}, and there is none")
            return None
        return self.values.get(value)

    def _translated(self, item: Item, given: dict[str, Value]) -> tuple[Value, ...]:
        if item.mode == "bypass" and item.kind not in BYPASSED_HERE:
            self.b.tell(f"{item.kind} (node {item.id}) is bypassed in the file, and left out here")
            return self._passed(item, given)
        if item.kind in CONSTANTS:
            return (given.get("value"),)
        row = TABLE.get(item.kind)
        why = "has no counterpart here"
        if row is not None:
            try:
                return row.build(self.b, Inputs(item, given))
            except NoCounterpart as error:
                why = str(error)
        return self._kept(item, given, why)

    def _passed(self, item: Item, given: dict[str, Value]) -> tuple[Value, ...]:
        """What a bypassed node lets through: to each output the first input of its type."""
        kinds = {kind: given.get(name) for name, kind in reversed(item.input_kinds.items()) if isinstance(item.inputs.get(name), Link)}  # fmt: skip
        return tuple(kinds.get(kind) for _, kind in self._outputs(item))

    def _kept(self, item: Item, given: dict[str, Value], why: str) -> tuple[Value, ...]:
        """A placeholder, and wires from it: of models and text encoders, what it changes of those that go in."""
        for name, value in given.items():
            link = item.inputs.get(name)
            if isinstance(value, SETTINGS) and isinstance(link, Link) and link.node not in self.b.placeholders:
                self._settled(self.sheet.items[link.node])
        id = self.b.placeholder(item, given, why)
        outputs = self._outputs(item)
        known = {type(value): value for value in reversed(given.values())}
        return tuple(_changed(One(f"{id}.{name_in(name, 'output')}", kind), known) for name, kind in outputs)

    def _settled(self, item: Item) -> None:
        """A setting that a placeholder reads is a node after all."""
        given = {name: self._value(item, name, value) for name, value in item.inputs.items()}
        self.b.placeholder(item, given, "is a setting of what has no counterpart")

    def _outputs(self, item: Item) -> tuple[tuple[str, str], ...]:
        if item.outputs:
            return item.outputs
        if item.kind in TABLE:
            return tuple((kind, kind) for kind in TABLE[item.kind].outputs.split())
        last = max(self.read_slots[item.id], default=-1)
        kinds = [
            NAMED_FOR.get(self.read_as.get(Link(item.id, slot), ""), "") for slot in range(min(last, MOST_SLOTS) + 1)
        ]
        return tuple((f"output{slot}", kind) for slot, kind in enumerate(kinds))


def _changed(output: One, known: dict[type, Value]) -> Value:
    """A placeholder's output in the place of what it changes: a model keeps its schedule, a text encoder its tokenizer."""
    model, clip = known.get(Model), known.get(Clip)
    if output.kind == "MODEL" and isinstance(model, Model):
        return replace(model, denoiser=output.ref)
    if output.kind == "CLIP" and isinstance(clip, Clip):
        return replace(clip, encoder=output.ref)
    return output
