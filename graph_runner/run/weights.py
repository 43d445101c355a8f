"""How a run keeps the weights of models that do not train: in float32, or in fewer bytes (`--weights`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from graph_runner.base.layerwise import narrow
from graph_runner.bind.graph import BoundNode, Scope, Wired, reads, sources_of
from graph_runner.compile.plan import Step
from graph_runner.run.call import at_rest

KINDS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float8": torch.float8_e4m3fn,
}
"""What weights may be kept in, by the names of the option."""


def known_weights(kind: str) -> str:
    """One of `KINDS`. Raises ValueError for another name."""
    if kind not in KINDS:
        raise ValueError(f"weights cannot be kept in {kind!r}; choose {', '.join(KINDS)}")
    return kind


class Weights:
    """Settles what nodes give: models on wires are in eval mode without gradients, and kept in the run's dtype for weights.

    What a zone trains, what it has trained and what a node saves stays as it is, and so does all that these are made from.

    kind: one of `KINDS`. top: the validated graph.
    """

    def __init__(self, kind: str, top: Scope) -> None:
        self.dtype = KINDS[kind]
        self._exact = set(_exact(top)) if kind != "float32" else set[str]()
        self.instead = {bound.id: kept for bound in top.walk() if (kept := self._loaded(bound))}
        """By the ids of nodes that load: in what, where they leave it to the run."""

    def __call__(self, step: Step, value: Any) -> None:
        """A node has given this."""
        at_rest(value)
        if self.dtype != torch.float32 and step.id not in self._exact and isinstance(value, nn.Module):
            narrow(value, self.dtype)

    def _loaded(self, bound: BoundNode) -> dict[str, str]:
        """The parameters of a node that loads, as the run has them."""
        if self.dtype == torch.float32 or bound.id in self._exact:
            return {}
        alone = [param for param in bound.spec.params.values() if param.stored and param.name not in bound.wires]
        left = [param.name for param in alone if bound.params.get(param.name, param.default) == "float32"]
        return dict.fromkeys(left, str(self.dtype).removeprefix("torch."))


def _exact(top: Scope) -> Iterator[str]:
    """The ids of the nodes whose models must not be rounded."""
    nodes = {bound.id: bound for bound in top.walk()}
    for zone in nodes.values():  # what a zone gives may have been trained inside
        if zone.body is not None and any(bound.spec.trains for bound in zone.body.walk()):
            yield zone.id
    todo = [id for id, bound in nodes.items() if bound.spec.trains or (bound.spec.effect and bound.spec.takes_models)]
    seen: set[str] = set()
    while todo:
        if (id := todo.pop()) in seen or id not in nodes:
            continue
        seen.add(id)
        yield id
        todo += _sources(nodes[id], nodes[id].spec.mutates if nodes[id].spec.trains else None)


def _sources(bound: BoundNode, ports: tuple[str, ...] | None) -> Iterator[str]:
    """The nodes that these ports of a node read; None for all that it reads, its body's results among them."""
    if ports is not None:
        wired: list[Wired] = [bound.wires[port] for port in ports if port in bound.wires]
        yield from (source.node for source in sources_of(wired))
        return
    yield from (source.node for source in reads(bound))
    if bound.body is not None:
        yield from (source.node for source in sources_of(bound.body.results.values()))
