"""Run a plan: decide from the cache what must be computed, then compute it in order and tell the event stream."""

from __future__ import annotations

import time
from typing import Any

import torch

from graph_runner.base import events
from graph_runner.base.disk import sentence
from graph_runner.bind.graph import BoundNode, Scope, Slot
from graph_runner.compile.compiler import Plan
from graph_runner.compile.keys import lasting
from graph_runner.compile.plan import Frame, NodeError, Step, Stopped, at_rest
from graph_runner.contract import PortType
from graph_runner.run.numbers import non_finite
from graph_runner.run.runtime import Activation, Runtime
from graph_runner.store.cache import Cache, Entry


def execute(plan: Plan, top: Scope, runtime: Runtime, cache: Cache) -> dict[str, Any]:
    """Run a plan and give the values of its targets. Raises NodeError or Stopped."""
    needed, held = _decide(plan, top, cache, runtime)
    needed, cached = runtime.processes.agree((needed, set(held)))
    todo = [step.id for step in plan.code.steps if step.id in needed]
    runtime.emit(events.Planned(runtime.folder.name, todo, sorted(cached)))
    frame: Frame = [None] * plan.code.size
    here = Activation(runtime)
    with torch.no_grad():
        for step in plan.code.steps:
            if step.id in cached:
                _take(step, top.nodes[step.id], frame, runtime, held.pop(step.id, None), cache)
            elif step.id in needed:
                if runtime.stopping():
                    raise Stopped
                _compute(step, top.nodes[step.id], frame, here, cache)
            step.release(frame)
    return {name: frame[slot] for name, slot in plan.targets.items()}


def _decide(plan: Plan, top: Scope, cache: Cache, runtime: Runtime) -> tuple[set[str], dict[str, Entry]]:
    """Which nodes to compute, and the cached values of the others, asking only for what the targets need.

    Values are read here and held, so that what is damaged is computed anew, together with what it needs; and so that what
    is remembered meanwhile cannot push them out.
    """
    wanted = {step.id for step in plan.roots}
    needed: set[str] = set()
    cached: dict[str, Entry] = {}
    for step in reversed(plan.code.steps):
        if step.id not in wanted:
            continue
        if step.made_of:
            cache.made_of(step.key, step.made_of, top.nodes[step.id].outputs.values())
        entry = None if runtime.fresh or not _cacheable(step) else _recall(step, top.nodes[step.id], runtime, cache)
        if entry is not None and not (runtime.search and non_finite(entry.values)):
            cached[step.id] = entry
        else:
            needed.add(step.id)
            wanted.update(parent.id for parent in step.parents)
    return needed, cached


def _recall(step: Step, bound: BoundNode, runtime: Runtime, cache: Cache) -> Entry | None:
    slots = {step.spec.stored(slot) for _, slot in step.stores}
    try:
        return cache.recall(step.key, _types(bound), slots, step.spec.keep, lasting(bound))
    except Exception as error:  # whatever damage does to a codec
        runtime.emit(events.Log(f"is computed anew, as its cached value is damaged: {error}", step.id, "warning"))
        if runtime.processes.rank == 0:
            cache.forget(step.key)
        return None


def _types(bound: BoundNode) -> dict[Slot, PortType]:
    """The types of a node's outputs, by the names under which caches hold them."""
    return {bound.spec.stored(slot): kind for slot, kind in bound.outputs.items()}


def _cacheable(step: Step) -> bool:
    return step.storable and not step.spec.effect


def _take(step: Step, bound: BoundNode, frame: Frame, runtime: Runtime, held: Entry | None, cache: Cache) -> None:
    """Put a cached node's values into the frame, and show again the files it once showed."""
    try:
        entry = held or cache.get(step.key, _types(bound))
    except Exception as error:
        raise NodeError(step.id, error) from error
    for slot, port in step.stores:
        frame[slot] = runtime.place(entry.values[step.spec.stored(port)])
        at_rest(frame[slot])
    runtime.emit(events.Cached(step.id))
    for shown in entry.shown:
        runtime.show_again(shown)


def _compute(step: Step, bound: BoundNode, frame: Frame, here: Activation, cache: Cache) -> None:
    runtime = here.runtime
    runtime.emit(events.Started(step.id))
    began, shown_before = time.perf_counter(), len(runtime.shown)
    try:
        if not step.idle(here):
            arguments = {name: runtime.place(value) for name, value in step.arguments(frame).items()}
            step.store(frame, step.call(arguments, frame, here))
            if (changed := runtime.contents.changed(step.id)) is not None:
                raise ValueError(f"{changed} changed while it was read; run again once it is at rest")
        if _cacheable(step) and not (step.spec.keep and _stale(step, runtime)):
            values = {step.spec.stored(port): frame[slot] for slot, port in step.stores}
            entry = Entry(values, runtime.shown[shown_before:])
            _keep(step, bound, entry, runtime, cache)
    except (NodeError, Stopped):
        raise
    except Exception as error:
        raise NodeError(step.id, error) from error
    runtime.emit(events.Finished(step.id, round(time.perf_counter() - began, 6)))


def _keep(step: Step, bound: BoundNode, entry: Entry, runtime: Runtime, cache: Cache) -> None:
    """Remember what was computed. A full disk does not take it from those who wait for it."""
    keep = step.spec.keep and runtime.processes.rank == 0 and not non_finite(entry.values)
    try:
        cache.put(step.key, entry, _types(bound), keep)
    except OSError as error:
        runtime.emit(events.Log(f"is not kept on disk: {sentence(error)}", step.id, "warning"))


def _stale(step: Step, runtime: Runtime) -> bool:
    """Whether files changed while the run used them: what was made of them is not what its key says, and is not kept."""
    changed = runtime.contents.changed_since()
    if changed is not None:
        told = f"{changed} changed while the run used it, so this result is not kept; the next run computes it anew"
        runtime.emit(events.Log(told, step.id, "warning"))
    return changed is not None
