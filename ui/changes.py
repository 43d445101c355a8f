"""What a run does otherwise than another one of the same workflow: parameters by name, nodes that came or went, its options."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MOST = 8
"""Changes that are told one by one."""
LONGEST = 40
"""Characters of a value."""


@dataclass(frozen=True)
class Asked:
    """What a run was asked: a workflow's file, as an object, the seed, and options."""

    workflow: Mapping[str, Any]
    seed: int
    options: Mapping[str, Any]


def changed(before: Asked, now: Asked) -> list[str]:
    """In words: "guide.scale 3 → 5", "without save"; at most `MOST`, and then how many more."""
    old, new = dict(every_node(before.workflow)), dict(every_node(now.workflow))
    told = [
        f"{id}.{name} {values}"
        for id in new
        if id in old
        for name, values in _differing(_of(old[id], "params"), _of(new[id], "params"))
    ]
    told += [f"wires of {id}" for id in new if id in old and _wiring(old[id]) != _wiring(new[id])]
    told += [f"with {id}" for id in new if id not in old] + [f"without {id}" for id in old if id not in new]
    told += [
        f"{name} {values}"
        for name, values in _differing({"seed": before.seed, **before.options}, {"seed": now.seed, **now.options})
    ]
    return told if len(told) <= MOST else [*told[:MOST], f"{len(told) - MOST} more"]


def every_node(graph: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every node of a workflow as it was read, of every depth, those of its definitions too; what is no node is passed over."""
    for id, node in _of(graph, "nodes").items():
        if isinstance(node, Mapping):
            yield id, node
            yield from every_node(_of(node, "body"))
    definitions = _of(graph, "definitions")
    for name in definitions:
        yield from every_node(_of(definitions, name))


def _wiring(node: Mapping[str, Any]) -> tuple[Any, ...]:
    return node.get("type"), node.get("mode"), node.get("wires"), _of(node, "body").get("results")


def _of(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in {**old, **new}:
        if old.get(name) != new.get(name):
            yield name, f"{_told(old.get(name))} → {_told(new.get(name))}"


def _told(value: Any) -> str:
    """A value in few characters; what is not set is as it is by default."""
    if value is None:
        return "default"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
