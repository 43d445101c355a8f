"""Named graphs used as nodes: each use of a definition becomes its nodes, under ids `USE/NODE`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from graph_runner.base.problems import Problem, Problems, did_you_mean
from graph_runner.bind.sizes import MOST_NESTED, MOST_NODES, MOST_WIRES, Sizes
from graph_runner.bind.use import Use
from graph_runner.format.wires import mapped, split
from graph_runner.format.workflow import Body, Definition, Node, Workflow, walk

Uses = dict[str, dict[str, Any]]  # for each use, what its outputs stand for


class Expanded(NamedTuple):
    """Nodes without uses of definitions.

    uses: what the outputs of the uses at the top stand for. ids: of all uses, which are nodes no more. origins: of each node
    the definition that it is from, and its id there. left_out: for an input of a node, the use and its input that should
    have filled it.
    """

    nodes: Mapping[str, Node]
    uses: Uses
    ids: set[str]
    problems: Problems
    origins: Mapping[str, tuple[str, str]] = {}
    left_out: Mapping[tuple[str, str], tuple[str, str]] = {}


def expand(workflow: Workflow) -> Expanded:
    """The workflow's nodes with every use of a definition replaced by what it stands for.

    A graph that would be too large is not made: what it would be is counted first, and told.
    """
    problems = Problems()
    count, nested, _ = Sizes(workflow.definitions).of(workflow.nodes)
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
    return Expanded(nodes, uses, expansion.ids, problems, expansion.origins, expansion.left_out)


class _TooManyWiresError(Exception):
    """Definitions whose lists of wires double."""


class _Expansion:
    def __init__(self, definitions: dict[str, Definition], problems: Problems) -> None:
        self.definitions, self.problems = definitions, problems
        self.ids: set[str] = set()
        self.origins: dict[str, tuple[str, str]] = {}
        self.left_out: dict[tuple[str, str], tuple[str, str]] = {}
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
            while (id := split(reference)[0]) in uses:
                outputs, port = uses[id], split(reference)[1]
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
                    return self.mapped(reference, partial(follow, seen=seen))
            return reference

        flat = {id: self._rewired(node, follow) for id, node in flat.items()}
        uses = {
            id: {port: self.mapped(value, follow) for port, value in outputs.items()} for id, outputs in uses.items()
        }
        return flat, {port: self.mapped(value, follow) for port, value in results.items()}, uses

    def _instance(
        self, id: str, node: Node, definition: Definition, inside: tuple[str, ...], prefix: str
    ) -> tuple[dict[str, Node], dict[str, Any]]:
        """The nodes that one use stands for, and what its outputs are among them."""
        body = node.body
        if body is not None and definition.body is not None:
            own, given, _ = self.expand(body.nodes, body.results, inside, prefix)
            body = Body.model_construct(nodes=own, results=given)
        use = Use(self, id, node, definition, body if definition.body is not None else None, prefix)
        inner, results, _ = self.expand(definition.nodes, definition.results, (*inside, node.type), f"{prefix}{id}/")
        nodes = use.nodes(inner)
        own_place = f"{inside[-1] if inside else ''}:{id}"
        for copy, name in use.copies():
            self.origins.setdefault(f"{prefix}{copy}", (own_place, name))
        for name, _ in walk(inner):
            self.origins.setdefault(f"{prefix}{id}/{name}", (node.type, name))
        outputs = {port: self.mapped(value, use.outside) for port, value in results.items()}
        return nodes, {port: value for port, value in outputs.items() if value is not None}

    def _rewired(self, node: Node, follow: Callable[[str], Any]) -> Node:
        body = node.body
        if body is not None:
            nodes = {id: self._rewired(child, follow) for id, child in body.nodes.items()}
            body = Body.model_construct(
                nodes=nodes, results={k: self.mapped(v, follow) for k, v in body.results.items()}
            )
        return node.model_copy(
            update={"wires": {k: self.mapped(v, follow) for k, v in node.wires.items()}, "body": body}
        )

    def mapped(self, value: Any, follow: Callable[[str], Any]) -> Any:
        """Wires with every reference followed; one that leads nowhere is left out, one to a list is spliced into a list."""
        if not isinstance(value, list):
            return mapped(value, follow)
        spliced: list[Any] = []
        for reference in value:
            wired = follow(reference)
            spliced += wired if isinstance(wired, list) else [] if wired is None else [wired]
            self.wires += len(wired) if isinstance(wired, list) else 1
            if self.wires > MOST_WIRES:
                raise _TooManyWiresError
        return spliced
