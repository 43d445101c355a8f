"""A workflow that people are at work on: what is wrong with it after a change of literals, without looking at all of it again.

A literal says something of its own node, and with others of what they draw and save. What depends on it besides, such as the
kinds on wires where the user names them, is left to a whole validation.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from graph_runner.base.problems import MOST_PROBLEMS, Problem, Problems, TooManyProblemsError
from graph_runner.bind.graph import BoundNode
from graph_runner.bind.literals import bind_inputs
from graph_runner.bind.paths import Paths
from graph_runner.bind.renamed import present
from graph_runner.bind.validate import SAVES, SEEDS, Parts, equal_seeds, find, saved_twice, told_once
from graph_runner.contract import NodeSpec
from graph_runner.format.workflow import Node, Workflow, walk

FILES = "#files"


class Standing:
    """A validated workflow, kept to be asked what literals would change. `problems`: what `validate` tells of it."""

    def __init__(self, workflow: Workflow, registry: Mapping[str, NodeSpec], paths: Paths) -> None:
        self._parts, self._paths, self._lock = Parts(workflow, registry), paths, threading.Lock()
        self.top, self._may_change = self._parts.top, False
        problems = self._parts.problems
        with suppress(TooManyProblemsError):
            find(self._parts, registry)
            with self._parts.part(FILES):
                problems += paths.wrong(self.top.walk())
            self._may_change = True
        self.problems = told_once(self._parts.expanded, problems)

    # Who only wants to know what is wrong now, a run or an estimate, asks for none of these.
    @cached_property
    def _nodes(self) -> dict[str, Node]:
        return dict(walk(self._parts.nodes))

    @cached_property
    def _bound(self) -> dict[str, BoundNode]:
        return {bound.id: bound for bound in self.top.walk()}

    @cached_property
    def _reading(self) -> list[BoundNode]:
        return [bound for bound in self._bound.values() if bound.spec.path_kinds]

    @cached_property
    def _seeded(self) -> set[str]:
        return {id for id, node in walk(self._parts.expanded.nodes) if "seed" in node.params}

    @cached_property
    def _has_names(self) -> bool:
        """Whether every id names one node."""
        return len(self._bound) == sum(1 for _ in self.top.walk())

    def __len__(self) -> int:
        return len(self._nodes)

    def again(self, literals: Mapping[str, Mapping[str, Any]]) -> list[Problem] | None:
        """What `validate` would tell if these nodes, by id, had these literals; None where only that can tell."""
        if not self._may_change or not self._has_names or not all(self._stands_alone(id) for id in literals):
            return None
        changed = [self._bound[id] for id in literals]
        found: dict[str, list[Problem]] = {}
        with self._lock:
            before = {bound: bound.params for bound in changed}
            try:
                for bound in changed:
                    bound.params, found[bound.id] = {}, Problems()
                    bind_inputs(bound, self._with(bound.id, literals[bound.id]), found[bound.id])
                if any("seed" in bound.spec.params for bound in changed):
                    typed = {id for id in literals if "seed" in self._with(id, literals[id]).params}
                    found[SEEDS] = equal_seeds(self.top, self._seeded - literals.keys() | typed)
                if any(bound.spec.saves is not None for bound in changed):
                    found[SAVES] = saved_twice(self.top)
                found[FILES] = self._paths.wrong(self._reading)  # a file may have come or gone meanwhile
            except TooManyProblemsError:
                return None
            finally:
                for bound, params in before.items():
                    bound.params = params
        problems = list(self._parts.problems)
        for part in sorted(found, key=lambda part: self._parts.spans[part].order, reverse=True):
            span = self._parts.spans[part]
            problems[span.start : span.stop] = found[part]
        return told_once(self._parts.expanded, problems) if len(problems) <= MOST_PROBLEMS else None

    def _stands_alone(self, id: str) -> bool:
        """Whether a node's literals bear on nothing but what `again` looks at: not on kinds, nor on copies of the node."""
        known = id in self._bound and id not in self._parts.expanded.origins
        return known and not any(port.named or port.names_in is not None for port in self._bound[id].spec.inputs)

    def _with(self, id: str, literals: Mapping[str, Any]) -> Node:
        inputs = self._bound[id].spec.inputs
        params = {present(inputs, name): value for name, value in literals.items()}
        return self._nodes[id].model_copy(update={"params": params})
