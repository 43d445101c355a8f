"""One use of a definition: copies of its nodes, and of the use's body wherever the definition calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

from graph_runner.base.problems import did_you_mean
from graph_runner.format.wires import split
from graph_runner.format.workflow import CALL, INPUTS, Body, Definition, Node, walk

Follow = Callable[[str], Any]


class Around(Protocol):
    """What a use needs of the expansion that it is a part of."""

    ids: set[str]
    left_out: dict[tuple[str, str], tuple[str, str]]

    def tell(self, message: str, id: str, port: str = "", remedy: str = "") -> None:
        """Note a problem once."""
        ...

    def mapped(self, value: Any, follow: Follow) -> Any:
        """Wires with every reference followed."""
        ...


class Use:
    """The nodes that one use stands for, under ids `USE/NODE`, and those of its body under `USE/CALL/NODE`.

    body: the use's, without uses in it. prefix: what the use's id will begin with in the whole graph.
    """

    def __init__(
        self, around: Around, id: str, node: Node, definition: Definition, body: Body | None, prefix: str
    ) -> None:
        self.around, self.id, self.node, self.definition, self.body = around, id, node, definition, body
        self.prefix, self.full = prefix, prefix + id
        self._inside = {name for name, _ in walk(body.nodes)} if body is not None else set()
        self._calls: dict[str, Node] = {}
        self._busy: set[tuple[str, str]] = set()
        self._check()

    def nodes(self, inner: dict[str, Node]) -> dict[str, Node]:
        """The definition's nodes (without uses) as this use gives them: literals typed in, wires led outside, ids prefixed."""
        if self.definition.body is not None:
            self._calls = {name: node for name, node in walk(inner) if node.type == CALL}
        self.around.ids |= {f"{self.full}/{name}" for name in self._calls}
        return self._bodily(inner)

    def copies(self) -> Iterator[tuple[str, str]]:
        """Of each node of the body, for each call: the copy's id, and its own."""
        yield from ((f"{self.id}/{call}/{name}", name) for call in self._calls for name in self._inside)

    def _bodily(self, inner: dict[str, Node]) -> dict[str, Node]:
        made: dict[str, Node] = {}
        for name, node in inner.items():
            if name in self._calls:
                made |= self._called(name)
            else:
                made[f"{self.id}/{name}"] = self._bound(name, node)
        return made

    def outside(self, reference: str) -> Any:
        """What a reference of the definition stands for where it is used; None for an input that the use leaves out."""
        head, name = split(reference)
        if head in self._calls:
            return self._result(head, name)
        if head != INPUTS:
            return f"{self.id}/{reference}"
        self.check_inputs((name,))
        if name in self.node.params:
            self.around.tell("is typed in, and is needed as a wire", self.full, name, "Wire a node's output into it")
        return self.node.wires.get(name)

    def check_inputs(self, names: tuple[str, ...]) -> None:
        """Tell of names that are no inputs of the definition."""
        for name in names:
            if name not in self.definition.inputs:
                remedy = did_you_mean(name, self.definition.inputs)
                message = f"the definition {self.node.type!r} has no input {name!r}"
                self.around.tell(message, self.full, name, remedy)

    def _check(self) -> None:
        kind, declared = self.node.type, self.definition.body
        self.check_inputs((*self.node.wires, *self.node.params))
        if declared is None:
            if self.node.body is not None:
                remedy = f"Move its nodes out, or give the definition {kind!r} a body"
                self.around.tell(f"{kind!r} takes no body", self.full, "body", remedy)
            return
        if self.body is None:
            message, remedy = f"{kind!r} is a zone and has no body", 'Add "body": {"nodes": …, "results": …}'
            self.around.tell(message, self.full, "body", remedy)
            return
        missing = [name for name in declared.results if name not in self.body.results]
        for result in self.body.results:
            if result not in declared.results:
                message = f"the body has no result {result!r}"
                self.around.tell(message, self.full, f"results.{result}", did_you_mean(result, declared.results))
                missing = missing[1:]  # it was meant for that one
        for name in missing:
            remedy = f'Add "{name}" to its results'
            self.around.tell(f"the body gives no result {name!r}", self.full, f"results.{name}", remedy)

    def _result(self, call: str, name: str) -> Any:
        """What a result of the use's body is, where the definition calls it."""
        declared = self.definition.body.results if self.definition.body is not None else []
        name = name or (declared[0] if len(declared) == 1 else "")
        known = f"{self.id}/{call}"  # exists, and no wire from it is a problem: that is told
        if name not in declared:
            remedy = did_you_mean(name, declared)
            self.around.tell(
                f"the body of {self.node.type!r} gives no result {name!r}", f"{self.prefix}{known}", "", remedy
            )
            return known
        if self.body is None or name not in self.body.results:
            return known
        if (call, name) in self._busy:
            self.around.tell(f"the body's result {name!r} is made of itself", self.full, f"results.{name}")
            return known
        self._busy.add((call, name))
        try:
            return self.around.mapped(self.body.results[name], partial(self._within, call))
        finally:
            self._busy.discard((call, name))

    def _within(self, call: str, reference: str) -> Any:
        """What a reference in the use's body stands for: an inner port, a node beside it, or what is around the use."""
        head, name = split(reference)
        if head == self.id:
            return self._port(call, name)
        return f"{self.id}/{call}/{reference}" if head in self._inside else reference

    def _port(self, call: str, name: str) -> Any:
        declared = self.definition.body.ports if self.definition.body is not None else []
        name = name or (declared[0] if len(declared) == 1 else "")
        if name not in declared:
            remedy = did_you_mean(name, declared)
            self.around.tell(f"{self.id!r} has no inner port {name!r}", self.full, "body", remedy)
            return f"{self.id}/{call}"
        wired = self._calls[call].wires.get(name)
        if wired is None:
            message, remedy = f"the call gives nothing to the inner port {name!r}", f"Wire {name!r} of the call"
            self.around.tell(message, f"{self.full}/{call}", name, remedy)
            return f"{self.id}/{call}"
        return self.around.mapped(wired, self.outside)

    def _called(self, call: str) -> dict[str, Node]:
        """Copies of the body's nodes, for one call."""
        given = self._calls[call]
        for port in given.params:
            remedy = "Wire a node's output into it"
            self.around.tell("a call of the body takes wires, no literals", f"{self.full}/{call}", port, remedy)
        follow = partial(self._within, call)

        def copied(node: Node) -> Node:
            wires = {port: self.around.mapped(value, follow) for port, value in node.wires.items()}
            return self._with(node, wires, node.params, copies, follow)

        def copies(nodes: dict[str, Node]) -> dict[str, Node]:
            return {f"{self.id}/{call}/{name}": copied(node) for name, node in nodes.items()}

        return copies(self.body.nodes) if self.body is not None else {}

    def _bound(self, name: str, node: Node) -> Node:
        params, wires = dict(node.params), dict[str, Any]()
        for port, value in node.wires.items():
            own = split(value)[1] if isinstance(value, str) and value.startswith(f"{INPUTS}.") else None
            if own is not None and own in self.node.params:
                params[port] = self.node.params[own]
                continue
            wires[port] = self.around.mapped(value, self.outside)
            if wires[port] is None and own is not None:  # it stays the node's own
                self.around.left_out[f"{self.full}/{name}", port] = (self.full, own)
        return self._with(node, wires, params, self._bodily, self.outside)

    def _with(
        self,
        node: Node,
        wires: dict[str, Any],
        params: dict[str, Any],
        nodes: Callable[[dict[str, Node]], dict[str, Node]],
        follow: Follow,
    ) -> Node:
        """The node with these wires and literals, its body's nodes and results brought along."""
        body = node.body
        if body is not None:
            results = {port: self.around.mapped(value, follow) for port, value in body.results.items()}
            results = {port: value for port, value in results.items() if value is not None}
            body = Body.model_construct(nodes=nodes(body.nodes), results=results)
        wires = {port: value for port, value in wires.items() if value is not None}
        return node.model_copy(update={"wires": wires, "params": params, "body": body})
