"""Calls that differ only in their rows, made as one: guidance drawn as two denoisers costs one forward pass.

The compiler finds the calls (one node type that declares `batched` inputs, all else equal, none waiting for another);
whether their values can be joined shows when they are there: outside of gradients, where devices, types and trailing shapes agree.
What once failed to join is called one by one from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import networkx as nx
import torch
from torch import Tensor

from graph_runner.compile.plan import Frame, NodeError, Step

if TYPE_CHECKING:
    from graph_runner.run.runtime import Activation

HARMLESS = {"device", "dtype", "workspace", "processes"}
"""What may be handed in to a joined call: the same for all, whichever node asks."""


def fuse(graph: nx.DiGraph[str], steps: dict[str, Step]) -> list[Step]:
    """The steps of a body in an order to run, with calls that may be joined as one step.

    graph: an edge from each step to those that wait for it. steps: in an order that runs as well.
    """
    alike: dict[str, list[str]] = {}
    for id, step in steps.items():
        if _may_join(step):
            alike.setdefault(_all_else(step), []).append(id)
    if all(len(ids) == 1 for ids in alike.values()):
        return list(steps.values())
    graph = graph.copy()
    groups = {id: [id] for id in steps}
    for ids in alike.values():
        leaders: list[str] = []
        for id in ids:
            for leader in leaders:
                if not (nx.has_path(graph, leader, id) or nx.has_path(graph, id, leader)):
                    nx.contracted_nodes(graph, leader, id, self_loops=False, copy=False)
                    groups[leader].append(id)
                    break
            else:
                leaders.append(id)
    order = {id: i for i, id in enumerate(steps)}
    joined = ([steps[id] for id in groups[leader]] for leader in nx.lexicographical_topological_sort(graph, order.get))
    return [members[0] if len(members) == 1 else Joined(members) for members in joined]


def _may_join(step: Step) -> bool:
    spec = step.spec
    return (
        bool(spec.batched)
        and spec.returns.form == "one"
        and not (step.grads or step.copied or step.body or spec.effect)
        and HARMLESS.issuperset(spec.injected.values())
        and not any(name in spec.batched for name, _ in (*step.lists, *step.dicts))
    )


def _all_else(step: Step) -> str:
    """What must be equal in calls that are joined: everything but the values of batched inputs."""
    batched = [name for name, _ in step.singles if name in step.spec.batched]
    others = [single for single in step.singles if single[0] not in step.spec.batched]
    parts = (step.constants.items(), others, step.lists, step.dicts, batched)
    return repr([step.spec.type, *(sorted(part, key=repr) for part in parts)])


class Joined(Step):
    """Several calls of one node, made as one where their values allow it."""

    def __init__(self, members: list[Step]) -> None:
        super().__init__(
            members[0].id,
            members[0].spec,
            members[0].function,
            singles=[single for member in members for single in member.singles],
            lists=members[0].lists,
            whole=members[0].whole,
            dicts=members[0].dicts,
            stores=[store for member in members for store in member.stores],
        )
        self.members = members
        self.names = [name for name, _ in members[0].singles if name in self.spec.batched]
        self._apart: set[tuple[Any, ...]] = set()

    def bind(self) -> Callable[[Frame, Activation], None]:
        """There is but one way to run."""
        return self.run

    def run(self, frame: Frame, around: Activation) -> None:
        """Make the calls, as one where it can be."""
        calls = [member.arguments(frame) for member in self.members]
        values = None if torch.is_grad_enabled() else self._together(calls, frame, around)
        for i, member in enumerate(self.members):
            try:
                member.store(frame, member.call(calls[i], frame, around) if values is None else values[i])
            except Exception as error:
                raise NodeError(member.id, error, around.when) from error
        self.release(frame)

    def _together(self, calls: list[dict[str, Any]], frame: Frame, around: Activation) -> list[Tensor] | None:
        """The values of all calls from one; None where they cannot be joined."""
        form = tuple(_form(call[name]) for call in calls for name in self.names)
        if form in self._apart:
            return None
        try:
            rows = [_rows([call[name] for name in self.names]) for call in calls]
            joined = {
                name: _cat([_expanded(call[name], n) for call, n in zip(calls, rows, strict=True)])
                for name in self.names
            }
            value = self.members[0].call(calls[0] | joined, frame, around)
            return _split(value, rows)
        except Exception:  # whatever it was: each call for itself shows whether it is an error, and whose
            self._apart.add(form)
            return None


def _form(value: Any) -> Any:
    return (value.shape, value.dtype, value.device) if isinstance(value, Tensor) else type(value)


def _rows(values: list[Any]) -> int:
    """How many rows a call has: single values stand for any number."""
    sizes = {len(value) for value in values if isinstance(value, Tensor) and value.ndim > 0}
    if not sizes or len(sizes - {1}) > 1:
        raise ValueError("the call has no one number of rows")
    return max(sizes)


def _expanded(value: Any, n: int) -> Any:
    if not isinstance(value, Tensor):
        return value.expand(n) if hasattr(value, "expand") else value
    if value.ndim > 0 and len(value) == n:
        return value
    return value.expand(n, *value.shape[1:])


def _cat(values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        if len({(value.shape[1:], value.dtype, value.device) for value in values}) > 1:
            raise ValueError("the calls' tensors differ in more than rows")
        return torch.cat(values)
    if hasattr(first, "cat"):
        return type(first).cat(values)
    if any(value != first for value in values):
        raise ValueError("the calls' plain values differ")
    return first


def _split(value: Any, rows: list[int]) -> list[Tensor]:
    if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != sum(rows):
        raise ValueError("the result has not one row for each of the calls'")
    return list(torch.split(value, rows))
