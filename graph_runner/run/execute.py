"""Run a plan: decide from the cache what must be computed, then compute it in order and tell the event stream."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from graph_runner.base import events
from graph_runner.base.disk import sentence
from graph_runner.base.home import HomeError
from graph_runner.compile.plan import Kept, Plan, Step, Unit
from graph_runner.format.wires import joined
from graph_runner.run.activation import Activation
from graph_runner.run.call import at_rest
from graph_runner.run.failures import Stopped, blamed
from graph_runner.run.interpreter import Frame
from graph_runner.run.numbers import non_finite
from graph_runner.run.runtime import Runtime
from graph_runner.store.cache import Cache, Entry
from graph_runner.store.host import UncopiedError
from graph_runner.store.modules import UnknownKindError


def execute(plan: Plan, runtime: Runtime, cache: Cache) -> dict[str, Any]:
    """Run a plan and give the values of its targets. Raises NodeError or Stopped."""
    needed, held = _decide(plan, cache, runtime)
    needed, cached = runtime.processes.agree((needed, set(held)))
    todo = [unit.id for unit in plan.code.steps if unit.id in needed]
    runtime.emit(events.Planned(runtime.folder.name, todo, sorted(cached)))
    frame: Frame = [None] * plan.code.size
    top = _Top(plan, cache, needed, cached, held)
    with torch.no_grad():
        runtime.interpreter.perform(plan.code, frame, Activation(runtime), top)
    return {name: frame[slot] for name, slot in plan.targets.items()}


def _decide(plan: Plan, cache: Cache, runtime: Runtime) -> tuple[set[str], dict[str, Entry]]:
    """Which nodes to compute, and the cached values of the others, asking only for what the targets need.

    Values are read here and held, so that what is damaged is computed anew, together with what it needs; and so that what
    is remembered meanwhile cannot push them out.
    """
    wanted = set(plan.roots)
    needed: set[str] = set()
    cached: dict[str, Entry] = {}
    for unit in reversed(plan.code.steps):
        if unit.id not in wanted:
            continue
        [step], kept = unit.members, plan.kept[unit.id]
        if kept.made_of:
            cache.made_of(step.key, kept.made_of, kept.types.values())
        entry = None
        if not runtime.fresh and _cacheable(unit, kept):
            entry = _recall(unit, kept, runtime, cache)
        elif runtime.fresh and runtime.processes.rank == 0 and "value_folder" in step.spec.injected.values():
            cache.discard(step.key)  # it would go on with the files that are there
        if entry is not None and not (runtime.search and non_finite(entry.values)):
            cached[step.id] = entry
        else:
            needed.add(step.id)
            wanted.update(kept.parents)
    return needed, cached


def _recall(unit: Unit, kept: Kept, runtime: Runtime, cache: Cache) -> Entry | None:
    [step] = unit.members
    slots = {step.spec.stored(slot) for _, slot in step.stores}
    try:
        return cache.recall(step.key, kept.types, slots, step.spec.keep, kept.lasting)
    except HomeError as error:
        runtime.emit(events.Log(f"is computed anew, as its value cannot be brought: {error}", step.id, "warning"))
        return None
    except Exception as error:  # whatever damage does to a codec
        runtime.emit(events.Log(f"is computed anew, as its cached value is damaged: {error}", step.id, "warning"))
        if runtime.processes.rank == 0:
            cache.forget(step.key)
        return None


def _cacheable(unit: Unit, kept: Kept) -> bool:
    return kept.storable and not unit.spec.effect


class _Top:
    """Does the steps at the top (see `graph_runner.run.interpreter.Do`): by the cache, or as all others are done."""

    def __init__(self, plan: Plan, cache: Cache, needed: set[str], cached: set[str], held: dict[str, Entry]) -> None:
        self.plan, self.cache, self.needed, self.cached, self.held = plan, cache, needed, cached, held

    def __call__(self, unit: Unit, frame: Frame, around: Activation) -> Sequence[Any]:
        """Do a step, where it is needed at all; nobody looks at what it gave."""
        if unit.id in self.cached:
            self._take(unit, frame, around.runtime)
        elif unit.id in self.needed:
            if around.runtime.stopping():
                raise Stopped
            self._compute(unit, frame, around)
        return ()

    def _take(self, unit: Unit, frame: Frame, runtime: Runtime) -> None:
        """Put a cached node's values into the frame, and show again the files it once showed."""
        [step], kept = unit.members, self.plan.kept[unit.id]
        with blamed(step.id):
            entry = self.held.pop(step.id, None) or self.cache.get(step.key, kept.types)
            values = self.cache.used(entry)
        for slot, port in step.stores:
            frame[slot] = values[step.spec.stored(port)]
            at_rest(frame[slot])
        _adopt(step, frame, runtime)
        runtime.emit(events.Cached(step.id))
        for shown in entry.shown:
            runtime.show_again(shown)
        if runtime.observer is not None:
            runtime.observer.on_values(step.id, entry.values, kept.types)

    def _compute(self, unit: Unit, frame: Frame, around: Activation) -> None:
        runtime, kept = around.runtime, self.plan.kept[unit.id]
        [step] = unit.members
        runtime.emit(events.Started(step.id))
        began, shown_before = time.perf_counter(), len(runtime.shown)
        with blamed(step.id):
            runtime.interpreter.do(unit, frame, around)
            if (changed := runtime.contents.changed(step.id)) is not None:
                raise ValueError(f"{changed} changed while it was read; run again once it is at rest")
            _adopt(step, frame, runtime)
            values = {step.spec.stored(port): frame[slot] for slot, port in step.stores}
            if _cacheable(unit, kept) and not (step.spec.keep and _stale(step.id, runtime)):
                entry = Entry(values, runtime.shown[shown_before:])
                self._keep(step, entry, kept, runtime)
        if runtime.observer is not None:
            runtime.observer.on_values(step.id, values, kept.types)
        runtime.emit(events.Finished(step.id, round(time.perf_counter() - began, 6)))

    def _keep(self, step: Step, entry: Entry, kept: Kept, runtime: Runtime) -> None:
        """Remember what was computed. A full disk does not take it from those who wait for it."""
        keep = step.spec.keep and runtime.processes.rank == 0 and not non_finite(entry.values)
        try:
            self.cache.put(step.key, entry, kept.types, keep)
        except OSError as error:
            runtime.emit(events.Log(f"is not kept on disk: {sentence(error)}", step.id, "warning"))
        except UnknownKindError as error:  # hours of training may be in it, and others wait for it
            runtime.emit(events.Log(f"is not kept on disk: {error}", step.id, "warning"))
        except UncopiedError as error:
            runtime.emit(events.Log(f"is not kept: {error}", step.id, "warning"))


def _adopt(step: Step, frame: Frame, runtime: Runtime) -> None:
    """Tell the owner of the device's memory of the models that a node gave, each by its port where there are several."""
    if runtime.residence is None:
        return
    for slot, port in step.stores:
        name = step.id if len(step.stores) == 1 else f"{step.id}.{joined(*port)}"
        runtime.residence.adopt(frame[slot], name)


def _stale(node: str, runtime: Runtime) -> bool:
    """Whether files changed while the run used them: what was made of them is not what its key says, and is not kept."""
    changed = runtime.contents.changed_since()
    if changed is not None:
        told = f"{changed} changed while the run used it, so this result is not kept; the next run computes it anew"
        runtime.emit(events.Log(told, node, "warning"))
    return changed is not None
