"""A workflow of ours being drawn from a sheet of theirs: nodes with free ids, placeholders, what is to be told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from graph_runner.contract import Folders
from graph_runner.format.workflow import Body, Node, Place
from nodes.comfyui.document import Item, Link, name_in
from nodes.comfyui.values import (
    SETTINGS,
    Clip,
    Condition,
    Empty,
    Entry,
    Latent,
    Model,
    NoCounterpart,
    One,
    Ref,
    Value,
    wire_of,
)

PREFIX = "comfy_"
"""How the types of placeholders begin."""
SIDEWAYS, DOWN = 0.7, 1.2
"""Of their distances: their nodes are wider than ours, and show fewer settings."""


class Inputs:
    """The inputs of one node of theirs, asked for by name and kind. Raises NoCounterpart for what is missing or another."""

    def __init__(self, item: Item, values: Mapping[str, Value]) -> None:
        self.item, self.values = item, values

    def has(self, name: str) -> bool:
        """Whether there is such an input."""
        return self.values.get(name) is not None

    def get(self, name: str, kind: type[Any], default: Any = None) -> Any:
        """A value of one of the classes of `values`."""
        value = self.values.get(name)
        if value is None:
            if default is not None:
                return default
            raise NoCounterpart(f"has an input {name!r} that is not connected")
        if isinstance(value, One) and (adopted := _adopted(value, kind)) is not None:
            return adopted
        if not isinstance(value, kind):
            raise NoCounterpart(f"has an input {name!r} that is connected to what gives something else")
        return value

    def ref(self, name: str) -> Ref:
        """What is one wire here."""
        return str(self.get(name, One).ref)

    def number(self, name: str, default: float | None = None) -> float:
        """A number that is typed in."""
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NoCounterpart(f"has a {name!r} that is no number of the file")
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number that is typed in."""
        return int(self.number(name, default))

    def text(self, name: str, default: str | None = None) -> str:
        """A text that is typed in."""
        value = self.values.get(name, default)
        if not isinstance(value, str):
            raise NoCounterpart(f"has a {name!r} that is no text of the file")
        return value

    def flag(self, name: str, default: bool = True) -> bool:
        """A switch, which they write in several ways."""
        return self.values.get(name, default) in (True, "enable", "true", 1)


def _adopted(value: One, kind: type[Any]) -> Value:
    """What a placeholder gives, or one wire, as what several stand for."""
    node = value.ref.partition(".")[0]
    if kind is Model:
        return Model(value.ref, f"{node}.schedule")
    if kind is Clip:
        return Clip(value.ref, f"{node}.tokenizer")
    if kind is Condition:
        return Condition((Entry(value.ref),))
    return Latent(value.ref) if kind in (Latent, Latent | Empty) else None


class Builder:
    """The nodes so far, the places of those of the top, and sentences about what differs or is missing."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self.nodes: dict[str, Node] = {}
        self.layout: dict[str, Place] = {}
        self.within: dict[str, tuple[tuple[str, str], ...]] = {}
        self.exposed: dict[str, str] = {}
        self.remarks: list[str] = []
        self.placeholders: dict[str, str] = {}
        self.checkpoints: list[str] = []
        self.read_slots: set[int] = set()
        self.item = Item("", "", {})
        self._taken: set[str] = set()
        self._offset = 0

    def at(self, item: Item) -> None:
        """Draw where this node of theirs stands."""
        self.item, self._offset = item, 0

    def name(self, wanted: str) -> str:
        """A free id."""
        free, n = wanted, 1
        while free in self._taken:
            n += 1
            free = f"{wanted}{n}"
        self._taken.add(free)
        return free

    def add(
        self,
        type: str,
        wanted: str = "",
        params: Mapping[str, Any] | None = None,
        wires: Mapping[str, Any] | None = None,
        body: Body | None = None,
        id: str = "",
        text: str | None = None,
    ) -> str:
        """Draw a node; its id. What is None among params and wires is left out. text: beside it, where it is a zone."""
        id = id or self.name(wanted or type)
        kept = {name: value for name, value in (params or {}).items() if value is not None}
        wired = {name: ref for name, ref in (wires or {}).items() if ref is not None}
        self.nodes[id] = Node(type=type, params=kept, wires=wired, body=body)
        self.within[id] = self.item.within
        if self.item.at is not None:
            x, y = self.item.at
            self.layout[id] = Place(at=(round(SIDEWAYS * x), round(DOWN * y) + self._offset), text=text)
            self._offset += 160
        return id

    def expose(self, name: str, reference: str) -> None:
        """Show a parameter on the app's page and to --set."""
        free, n = name, 1
        while free in self.exposed:
            n += 1
            free = f"{name}{n}"
        self.exposed[free] = reference

    def tell(self, sentence: str) -> None:
        """Something that a person should know, once."""
        if sentence not in self.remarks:
            self.remarks.append(sentence)

    def model_file(self, name: str, *kinds: str) -> str:
        """The path of a file below the folder of models, by the folders where such files lie; the first where it is absent."""
        return self._file(name, self.folders.models, Path("models"), kinds, "--models DIR")

    def picture_file(self, name: str) -> str:
        """The path of a picture below the folder of pictures."""
        name = name.removesuffix(" [input]").removesuffix(" [output]").removesuffix(" [temp]")
        return self._file(name, self.folders.pictures, Path("uploads"), ("",), "--pictures DIR")

    def _file(self, name: str, given: Path | None, usual: Path, kinds: tuple[str, ...], option: str) -> str:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or ".." in parts or parts[0].endswith((":", "/")) or "\0" in name:
            raise NoCounterpart(f"names the file {name!r:.80}, which leaves its folder")
        base = given if given is not None else usual
        if given is not None:
            found = [path for kind in (*kinds, "") if (path := base.joinpath(kind, *parts)).exists()]
            if found:
                return str(found[0])
            self.tell(
                f"{'/'.join(parts)} does not lie in {base / kinds[0]}; put it there, or choose another on the node"
            )
        else:
            self.tell(f"files are named below {base}/; say where they lie with {option}")
        return str(base.joinpath(kinds[0], *parts))

    def placeholder(self, item: Item, values: Mapping[str, Value], why: str) -> str:
        """A node that stands for one of theirs that has no counterpart, with its wires and values."""
        kind = PREFIX + name_in(item.kind)
        wires: dict[str, Any] = {}
        params: dict[str, Any] = {}
        for name, value in values.items():
            port = name_in(name, "input")
            if isinstance(value, SETTINGS):
                link = item.inputs.get(name)
                if isinstance(link, Link) and link.node in self.placeholders:
                    wires[port] = f"{self.placeholders[link.node]}.{port}"
            elif (ref := wire_of(value)) is not None:
                wires[port] = ref
            elif value is not None:
                params[port] = value
        id = self.add(kind, name_in(item.kind), params, wires)
        self.placeholders[item.id] = id
        self.tell(
            f"ComfyUI's {item.kind} {why}: {id} keeps its wires, and nodes of ours have to take its place before a run"
        )
        return id
