"""Named graphs used as nodes: each use of a definition becomes its nodes, under ids `USE/NODE`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from graph_runner.base.problems import Problem, Problems, did_you_mean
from graph_runner.format.workflow import Body, Definition, Node, Workflow

INPUTS = "inputs"
MOST_NODES = 20_000
"""In a whole graph, the nodes of each use of a definition counted each time."""
MOST_WIRES = 200_000
"""That the uses of definitions may stand for: a list of wires doubles as nodes do."""
MOST_NESTED = 24
"""Zones and uses of definitions within each other."""
Uses = dict[str, dict[str, Any]]  # for each use, what its outputs stand for


class Expanded(NamedTuple):
    """Nodes without uses of definitions.

    uses: what the outputs of the uses at the top stand for. ids: of all uses, which are nodes no more.
    """

    nodes: Mapping[str, Node]
    uses: Uses
    ids: set[str]
    problems: Problems


def expand(workflow: Workflow) -> Expanded:
    """The workflow's nodes with every use of a definition replaced by what it stands for.

    A graph that would be too large is not made: what it would be is counted first, and told.
    """
    problems = Problems()
    count, nested = _Sizes(workflow.definitions).of(workflow.nodes)
    if nested > MOST_NESTED:
        message = f"zones and definitions lie more than {MOST_NESTED} deep in each other"
        problems.append(Problem(message, remedy="Unpack some of them: put their nodes where they are used"))
    elif count > MOST_NODES:
        told = f"the graph has {count:,} nodes, uses of definitions counted; at most {MOST_NODES:,} are possible"
        problems.append(Problem(told))
    if problems:
        return Expanded({}, {}, set(), problems)
    if not workflow.definitions:
        return Expanded(workflow.nodes, {}, set(), problems)
    expansion = _Expansion(workflow.definitions, problems)
    try:
        nodes, _, uses = expansion.expand(workflow.nodes, {}, (), "")
    except _TooManyWiresError:
        problems.append(Problem(f"the uses of definitions stand for more than {MOST_WIRES:,} wires"))
        return Expanded({}, {}, set(), problems)
    return Expanded(nodes, uses, expansion.ids, problems)


class _TooManyWiresError(Exception):
    """Definitions whose lists of wires double."""


class _Sizes:
    """How many nodes a graph stands for, and how deep they lie, without making it: each definition is counted once."""

    def __init__(self, definitions: dict[str, Definition]) -> None:
        self.definitions = definitions
        self.known: dict[str, tuple[int, int]] = {}

    def of(self, nodes: Mapping[str, Node], around: int = 0) -> tuple[int, int]:
        """The number of nodes, and of zones and uses within each other. A definition that uses itself counts no more."""
        count = deepest = 0
        for node in nodes.values():
            inner, nested = (0, 0)
            if around > MOST_NESTED:
                nested = MOST_NESTED
            elif node.type in self.definitions:
                if node.type not in self.known:
                    self.known[node.type] = (0, 0)  # while it is counted: a circle ends here, and is told elsewhere
                    self.known[node.type] = self.of(self.definitions[node.type].nodes, around + 1)
                inner, nested = self.known[node.type]
                nested += 1
            elif node.body is not None:
                inner, nested = self.of(node.body.nodes, around + 1)
                nested += 1
            count, deepest = count + 1 + inner, max(deepest, nested)
        return count, deepest


class _Expansion:
    def __init__(self, definitions: dict[str, Definition], problems: Problems) -> None:
        self.definitions, self.problems = definitions, problems
        self.ids: set[str] = set()
        self.wires = 0

    def tell(self, message: str, id: str, port: str = "", remedy: str = "") -> None:
        """Note a problem once, however often it is met."""
        if (problem := Problem(message, id, port, remedy)) not in self.problems:
            self.problems.append(problem)

    def expand(
        self, nodes: dict[str, Node], results: dict[str, Any], inside: tuple[str, ...], prefix: str
    ) -> tuple[dict[str, Node], dict[str, Any], Uses]:
        """Replace the uses among these nodes, and in the bodies of the others.

        inside: the definitions around. prefix: what the ids of these nodes will begin with.
        """
        flat: dict[str, Node] = {}
        uses: Uses = {}
        for id, node in nodes.items():
            definition = self.definitions.get(node.type)
            if definition is None:
                if node.body is not None:
                    inner, inner_results, _ = self.expand(node.body.nodes, node.body.results, inside, prefix)
                    node = node.model_copy(update={"body": Body.model_construct(nodes=inner, results=inner_results)})
                flat[id] = node
            elif node.mode == "mute":
                flat[id] = node  # goes out as it is
            elif node.type in inside:
                chain = " → ".join((*inside, node.type))
                self.tell(f"the definition {node.type!r} uses itself ({chain})", prefix + id, remedy="Break the circle")
                uses[id] = {}
            else:
                if node.mode == "bypass":
                    self.tell(
                        "a definition's use cannot be bypassed", prefix + id, remedy="Mute it, or bypass nodes inside"
                    )
                inner, uses[id] = self._instance(id, node, definition, inside, prefix)
                flat.update(inner)
        if not uses:
            return flat, results, uses
        self.ids |= {prefix + id for id in uses}

        def follow(reference: str, seen: frozenset[str] = frozenset()) -> Any:
            while (id := reference.partition(".")[0]) in uses:
                outputs, port = uses[id], reference.partition(".")[2]
                if not port and len(outputs) == 1:
                    port = next(iter(outputs))
                if reference in seen:
                    self.tell("these definitions hand on each other's results, and nobody gives one", prefix + id, port)
                    return reference
                if port not in outputs:
                    if nodes[id].type not in inside:
                        message = f"the definition {nodes[id].type!r} gives no result {port!r}"
                        self.tell(message, prefix + id, port, did_you_mean(port, outputs))
                    return reference
                seen |= {reference}
                reference = outputs[port]
                if not isinstance(reference, str):
                    return self._mapped(reference, partial(follow, seen=seen))
            return reference

        flat = {id: self._rewired(node, follow) for id, node in flat.items()}
        uses = {
            id: {port: self._mapped(value, follow) for port, value in outputs.items()} for id, outputs in uses.items()
        }
        return flat, {port: self._mapped(value, follow) for port, value in results.items()}, uses

    def _instance(
        self, id: str, use: Node, definition: Definition, inside: tuple[str, ...], prefix: str
    ) -> tuple[dict[str, Node], dict[str, Any]]:
        """The nodes that one use stands for, and what its outputs are among them."""
        self._check_inputs((*use.wires, *use.params), prefix + id, use.type, definition)
        inner, results, _ = self.expand(definition.nodes, definition.results, (*inside, use.type), f"{prefix}{id}/")

        def outside(reference: str) -> Any:
            head, _, name = reference.partition(".")
            if head != INPUTS:
                return f"{id}/{reference}"
            self._check_inputs((name,), prefix + id, use.type, definition)
            if name in use.params:
                self.tell("is typed in, and is needed as a wire", prefix + id, name, "Wire a node's output into it")
            return use.wires.get(name)

        nodes = {f"{id}/{name}": self._bound(node, id, use, outside) for name, node in inner.items()}
        outputs = {port: self._mapped(value, outside) for port, value in results.items()}
        return nodes, {port: value for port, value in outputs.items() if value is not None}

    def _check_inputs(self, names: tuple[str, ...], id: str, type_name: str, definition: Definition) -> None:
        for name in names:
            if name not in definition.inputs:
                remedy = did_you_mean(name, definition.inputs)
                self.tell(f"the definition {type_name!r} has no input {name!r}", id, name, remedy)

    def _bound(self, node: Node, prefix: str, use: Node, outside: Callable[[str], Any]) -> Node:
        """A node of a definition with what this use gives: literals typed in, wires led outside, ids prefixed."""
        params, wires = dict(node.params), dict[str, Any]()
        for port, value in node.wires.items():
            name = value.partition(".")[2] if isinstance(value, str) and value.startswith(f"{INPUTS}.") else None
            if name is not None and name in use.params:
                params[port] = use.params[name]
            elif (
                wired := self._mapped(value, outside)
            ) is not None:  # an input that this use leaves out stays the node's own
                wires[port] = wired
        body = node.body
        if body is not None:
            inner = {f"{prefix}/{id}": self._bound(child, prefix, use, outside) for id, child in body.nodes.items()}
            results = {port: self._mapped(value, outside) for port, value in body.results.items()}
            results = {port: value for port, value in results.items() if value is not None}
            body = Body.model_construct(nodes=inner, results=results)
        return node.model_copy(update={"wires": wires, "params": params, "body": body})

    def _rewired(self, node: Node, follow: Callable[[str], Any]) -> Node:
        body = node.body
        if body is not None:
            nodes = {id: self._rewired(child, follow) for id, child in body.nodes.items()}
            body = Body.model_construct(
                nodes=nodes, results={k: self._mapped(v, follow) for k, v in body.results.items()}
            )
        return node.model_copy(
            update={"wires": {k: self._mapped(v, follow) for k, v in node.wires.items()}, "body": body}
        )

    def _mapped(self, value: Any, follow: Callable[[str], Any]) -> Any:
        """Wires with every reference followed; one that leads nowhere is left out, one to a list is spliced into a list."""
        if isinstance(value, str):
            return follow(value)
        if isinstance(value, dict):
            return {name: wired for name, reference in value.items() if (wired := follow(reference)) is not None}
        mapped: list[Any] = []
        for reference in value:
            wired = follow(reference)
            mapped += wired if isinstance(wired, list) else [] if wired is None else [wired]
            self.wires += len(wired) if isinstance(wired, list) else 1
            if self.wires > MOST_WIRES:
                raise _TooManyWiresError
        return mapped
