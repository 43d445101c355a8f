"""Values that the caller of a run gives: nodes that hand them out take the place of those that would compute them.

It happens to the workflow before it is bound, so that types, keys and the plan follow as they do for any other graph.
"""

from __future__ import annotations

import copy
import json
import os
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor, nn

from graph_runner.base.problems import Problem, WorkflowError, did_you_mean
from graph_runner.base.values import content_hash
from graph_runner.bind.suited import adopted, told, unsuited
from graph_runner.contract import NodeSpec, Port, PortType
from graph_runner.contract import node as as_node
from graph_runner.contract.registry import Registry
from graph_runner.contract.spec import ANY
from graph_runner.format.wires import joined, mapped, nodes_in, split
from graph_runner.format.workflow import Node, Workflow, walk

UNSEEN = "no content that can be seen"


class Given(NamedTuple):
    """A workflow with values given to it.

    workflow: to be run with these nodes. written: to be recorded: with what was typed in, and none of the nodes that stand
    for values. values: by the names that the caller used, what is known of each.
    """

    workflow: Workflow
    nodes: Registry
    written: Workflow
    values: dict[str, str]


@as_node(category="given", formerly=("given_value",))
def given(content: str) -> Any:
    """A value that the caller of the run gives.

    content: its hash.
    """
    raise NotImplementedError(content)  # each value has a copy of this specification, with a function of its own


def with_inputs(
    workflow: Workflow,
    registry: Registry,
    inputs: Mapping[str, Any],
    targets: Collection[str] = (),
    known: Mapping[str, str] = {},
) -> Given:
    """The workflow with values at these places.

    A name is what the workflow exposes, a node that gives one value (its result is given, and what only it needed is left
    out), or a port of a node (`node.output`, or `node.input`: a literal typed in, a value instead of the wire). An exposed
    parameter goes before a node of the same name, as in the script that `export --python` writes; among ports an output's name
    goes before an input's. targets: nodes that are asked for, and stay.
    known: what another process knows of the values, who took them in before.

    Raises WorkflowError with every input that names nothing, or whose value does not suit its place.
    """
    if not inputs:
        return Given(workflow, registry, workflow, {})
    giving = _Giving(workflow, registry, known)
    for name, value in inputs.items():
        giving.give(name, value)
    if giving.problems:
        raise WorkflowError(giving.problems)
    giving.leave_out({split(target)[0] for target in targets})
    return Given(giving.workflow, registry.with_nodes(giving.specs), giving.written, giving.values)


class _Giving:
    """Two copies of a workflow while values are put into them: the one to run, and the one to record."""

    def __init__(self, workflow: Workflow, registry: Mapping[str, NodeSpec], known: Mapping[str, str]) -> None:
        self.known = known
        self.workflow, self.written = workflow.model_copy(deep=True), workflow.model_copy(deep=True)
        self.specs: dict[str, NodeSpec] = dict(registry)
        self.values: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.nodes = dict(walk(self.workflow.nodes))
        self._unread: list[str] = []  # nodes that were read where now a value is given

    def give(self, name: str, value: Any) -> None:
        """Put one value where its name says."""
        exposed = self.workflow.exposed
        id, port = split(name)
        if parameter := name in exposed.params:
            id, port = split(exposed.params[name])
        elif id not in self.nodes and name in exposed.outputs:
            id, port = split(exposed.outputs[name])
        found = self.nodes.get(id)
        if found is None:
            known = [*self.nodes, *exposed.params, *exposed.outputs]
            self._refuse(name, f"there is no node {id!r}", did_you_mean(id, known))
            return
        outputs, ports = self._outputs(found), self._inputs(found)
        if not port and len(outputs) == 1:
            port = next(iter(outputs))
        if port in outputs and not (parameter and port in ports):
            self._output(name, id, port, outputs, value)
        elif port in ports:
            self._input(name, id, ports[port], value)
        elif not port:
            remedy = f"Name one: {', '.join(f'{id}.{each}' for each in outputs)}" if outputs else ""
            self._refuse(name, f"{id!r} gives {'several values' if outputs else 'nothing'}", remedy)
        else:
            self._refuse(name, f"{id!r} has no port {port!r}", did_you_mean(port, [*outputs, *ports]))

    def leave_out(self, wanted: Collection[str]) -> None:
        """Take nodes out that nobody reads since values are given, and what only they read; what saves or shows stays."""
        todo, read = self._unread, list(_references(self.workflow.nodes))
        while todo:
            id = todo.pop()
            if id not in self.nodes or id in wanted or id in read or self._has_effect(self.nodes[id]):
                continue
            gone = self.nodes[id]
            _remove(self.workflow.nodes, id)
            self.nodes, read = dict(walk(self.workflow.nodes)), list(_references(self.workflow.nodes))
            todo += _references({id: gone})
        exposed = self.workflow.exposed
        for names in (exposed.params, exposed.outputs):
            for name, reference in list(names.items()):
                id, port = split(reference)
                if id not in self.nodes or (names is exposed.params and port not in self._inputs(self.nodes[id])):
                    del names[name]

    def _output(self, name: str, id: str, port: str, outputs: Mapping[str, PortType], value: Any) -> None:
        """Give what a node would have computed."""
        if (spec := self._spec(name, id, outputs[port], port, value)) is None:
            return
        instead = Node(type=spec.type, params={"content": self.values[name]})
        node = self.nodes[id]
        if len(outputs) == 1 and node.type in self.specs:
            self._unread += _references({id: node})
            node.type, node.params, node.wires, node.body, node.mode = spec.type, instead.params, {}, None, "run"
            self.nodes = dict(walk(self.workflow.nodes))
            return
        new = self._new_id(f"{id}_{port.replace('.', '_')}")
        swap = {f"{id}.{port}": new} | ({id: new} if len(outputs) == 1 else {})
        _swap(self.workflow.nodes, swap)
        self._add(new, instead)
        self._unread.append(id)

    def _input(self, name: str, id: str, port: Port, value: Any) -> None:
        """Give what a node would have read: a literal, or a value instead of a wire."""
        node = self.nodes[id]
        spec = self.specs.get(node.type)
        if spec is None or port.name in spec.params:
            try:
                typed = json.loads(json.dumps(_plain(value), allow_nan=False))
            except (TypeError, ValueError):
                kind = type(value).__name__
                self._refuse(
                    name, f"{port.name!r} is typed in as a plain value, and this is of the type {kind}", port.help
                )
                return
            for workflow in (self.workflow, self.written):
                place = dict(walk(workflow.nodes))[id]
                if (wire := place.wires.pop(port.name, None)) is not None and workflow is self.workflow:
                    self._unread += nodes_in(wire)
                place.params[port.name] = typed
            self.values[name] = json.dumps(typed)
            return
        if port.named:
            self._refuse(
                name, f"{port.name!r} takes values that the user names", "Give the nodes that are wired into it"
            )
            return
        if (value_spec := self._spec(name, id, port.type, "value", value)) is None:
            return
        new = self._new_id(f"{id}_{port.name}")
        self._unread += nodes_in(node.wires.pop(port.name, []))
        node.wires[port.name] = new
        self._add(new, Node(type=value_spec.type, params={"content": self.values[name]}))

    def _add(self, id: str, node: Node) -> None:
        """Put a node at the top, where every body sees it."""
        self.workflow.nodes[id] = node
        self.nodes[id] = node

    def _spec(self, name: str, id: str, kind: PortType, port: str, value: Any) -> NodeSpec | None:
        """The specification of a node that hands out a value. What it is known by is noted."""
        try:
            value = adopted(value, kind)
        except ValueError as error:
            self._refuse(name, f"takes {told(kind)}, and {error}", "Give a value of that form")
            return None
        if wrong := unsuited(value, kind):
            self._refuse(name, f"takes {told(kind)}, and {wrong}", "Give a value of that form")
            return None
        codec = kind.wire.codec if kind.wire is not None and not kind.many else None
        content = content_hash(value if codec is None else codec.save(value))
        self.values[name] = content or self.known.get(name) or f"{UNSEEN} {uuid.uuid4().hex}"

        def hand_out(content: str) -> Any:  # noqa: ARG001 - what its key goes by
            return _own(value)

        type_name = "given_" + id
        while type_name in self.specs or type_name in self.workflow.definitions:
            type_name += "_"
        spec: NodeSpec = replace(
            given.__node__,  # type: ignore[attr-defined]
            type=type_name,
            function=hand_out,
            outputs=(Port(port, kind),),
            fleeting=content is None,
        )
        self.specs[type_name] = spec
        return spec

    def _new_id(self, wanted: str) -> str:
        while wanted in self.nodes:
            wanted += "_"
        return wanted

    def _outputs(self, node: Node) -> dict[str, PortType]:
        """What a node gives, by the names that wires use; of wires that the user names, those that go in and come out."""
        if node.type in self.workflow.definitions:
            return dict.fromkeys(self.workflow.definitions[node.type].results, ANY)
        spec = self.specs.get(node.type)
        found: dict[str, PortType] = {}
        for port in spec.outputs if spec is not None else ():
            names = _named(node) if port.named else [""]
            found |= {joined(port.name, each): port.type for each in names}
        return found

    def _inputs(self, node: Node) -> dict[str, Port]:
        if node.type in self.workflow.definitions:
            return {name: Port(name, ANY) for name in self.workflow.definitions[node.type].inputs}
        spec = self.specs.get(node.type)
        return dict(spec.input) if spec is not None else {}

    def _has_effect(self, node: Node) -> bool:
        """Whether a node, or anything in it, saves or shows something, or is a callback, which runs for what it shows."""
        if node.type in self.workflow.definitions:
            inside: Mapping[str, Node] = self.workflow.definitions[node.type].nodes
        else:
            inside = node.body.nodes if node.body is not None else {}
        spec = self.specs.get(node.type)
        shows = spec is not None and bool(spec.effect or spec.aside)
        return shows or any(self._has_effect(child) for child in inside.values())

    def _refuse(self, name: str, message: str, remedy: str) -> None:
        self.problems.append(Problem(message, "inputs", name, remedy))


def _plain(value: Any) -> Any:
    """A path as text: one that Python holds starts at its current folder, and not at the workspace."""
    return str(os.path.abspath(value)) if isinstance(value, os.PathLike) else value  # noqa: PTH100


def _own(value: Any) -> Any:
    """A value that the run may hold on to and change, whatever its giver does with the one that was given."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(_own(item) for item in value)
    return copy.deepcopy(value) if isinstance(value, nn.Module | dict) else value


def _named(node: Node) -> list[str]:
    """The names that the user gave: of wires that go into a node, and of what its body gives."""
    entering = [name for wired in node.wires.values() if isinstance(wired, dict) for name in wired]
    leaving = [result.rpartition(".")[2] for result in node.body.results] if node.body is not None else []
    return list(dict.fromkeys([*entering, *leaving]))


def _references(nodes: Mapping[str, Node]) -> Iterator[str]:
    """The ids that nodes read, from outside of themselves."""
    for id, node in nodes.items():
        inside = list(_references(node.body.nodes)) if node.body is not None else []
        results = node.body.results.values() if node.body is not None else ()
        for wired in (*node.wires.values(), *results):
            inside += nodes_in(wired)
        yield from (each for each in inside if each != id)


def _swap(nodes: Mapping[str, Node], swap: Mapping[str, str]) -> None:
    """Lead wires elsewhere; inside of a zone its own id stands for its inner ports, and stays."""

    def led(reference: str) -> str:
        return swap.get(reference, reference)

    for id, node in nodes.items():
        node.wires = {port: mapped(wired, led) for port, wired in node.wires.items()}
        if node.body is not None and not any(split(reference)[0] == id for reference in swap):
            _swap(node.body.nodes, swap)
            node.body.results = {result: mapped(wired, led) for result, wired in node.body.results.items()}


def _remove(nodes: dict[str, Node], id: str) -> None:
    nodes.pop(id, None)
    for node in nodes.values():
        if node.body is not None:
            _remove(node.body.nodes, id)
