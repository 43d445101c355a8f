"""A prompt for ComfyUI's API being written from a workflow of ours, and what cannot be told there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from graph_runner.base.problems import Problem
from graph_runner.format.wires import split
from graph_runner.format.workflow import Node, Workflow
from nodes.comfyui.document import name_in

Link = list[Any]
PORTS = {
    "load_checkpoint": {"denoiser": 0, "unet": 0, "schedule": 0, "text_encoder": 1, "tokenizer": 1, "autoencoder": 2},
    "lora": {"unet": 0, "text_encoder": 1},
    "pad_for_outpainting": {"images": 0, "mask": 1},
}
"""Which output of theirs stands for which of ours, where there are several; other nodes have one."""


class Refused(Exception):  # noqa: N818
    """Why a node cannot be expressed."""


class Export:
    """The nodes so far, and what cannot be told. writers: how each type of ours is. within: nodes that others tell with themselves."""

    def __init__(self, workflow: Workflow, writers: Mapping[str, Writer]) -> None:
        self.nodes, self.writers = workflow.nodes, writers
        self.prompt: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self.within: set[str] = set()

    def tried(self, id: str, node: Node) -> None:
        """Express a node, or tell why not."""
        try:
            if node.mode != "run":
                raise Refused("is muted or bypassed; take it out")
            if node.type not in self.writers:
                raise Refused(f"ComfyUI has no node for {node.type!r}")
            kind, inputs = self.writers[node.type](self, node)
            self.prompt[id] = {"class_type": kind, "inputs": inputs, "_meta": {"title": id}}
        except Refused as refused:
            self.problems.append(Problem(str(refused), id))

    def drop_unread(self) -> None:
        """Leave out what others tell with themselves, where nothing else reads it."""
        links = [value[0] for node in self.prompt.values() for value in node["inputs"].values() if isinstance(value, list)]  # fmt: skip
        for id in self.within - set(links):
            self.prompt.pop(id, None)

    def beside(self, kind: str, inputs: Mapping[str, Any]) -> str:
        """Write a node that is none of ours; its id."""
        stem = name_in(kind)
        id = next(free for n in range(1, 10**6) if (free := stem if n == 1 else f"{stem}{n}") not in (self.nodes.keys() | self.prompt))  # fmt: skip
        self.prompt[id] = {"class_type": kind, "inputs": dict(inputs), "_meta": {"title": id}}
        return id

    def link(self, node: Node, port: str) -> Link:
        """What goes into a port. Raises Refused where nothing does, or what they have no wire for."""
        ref = node.wires.get(port)
        if not isinstance(ref, str):
            raise Refused(f"its {port} needs one wire")
        return self.output(ref, port)

    def output(self, ref: str, port: str) -> Link:
        """A wire of ours into a port, as theirs. Raises Refused for what they have no wire for."""
        source, output = split(ref)
        if source not in self.nodes:
            raise Refused(f"its {port} comes from a body")
        slots = PORTS.get(self.nodes[source].type)
        if slots is not None and output not in slots:
            raise Refused(f"its {port} comes from {ref}, which ComfyUI does not give")
        return [source, slots[output] if slots is not None else 0]

    def literal(self, node: Node, name: str, default: Any = None) -> Any:
        """A parameter. Raises Refused where it is wired."""
        if name in node.wires:
            raise Refused(f"its {name} is wired; type it in")
        return node.params.get(name, default)

    def plain(self, node: Node, *known: str) -> None:
        """Raise Refused for a parameter that is set and has no place there."""
        if others := sorted(name for name, value in node.params.items() if name not in known and value is not None):
            raise Refused(f"ComfyUI has no place for its {', '.join(others)}")


Writer = Callable[[Export, Node], tuple[str, dict[str, Any]]]
"""How a node of ours is told: the class there, and its inputs."""


def file_name(path: str, folder: str) -> str:
    """The name of a file as ComfyUI has it: below the folder of its kind, or the last part alone."""
    parts = PurePosixPath(path).parts
    return "/".join(parts[parts.index(folder) + 1 :] if folder in parts[:-1] else parts[-1:])
