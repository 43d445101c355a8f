"""From a validated graph to a plan: prune, hoist, key, and bind every wire to a slot. The graph stays as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import networkx as nx

from graph_runner.bind.graph import BoundNode, Scope, Source, Wired, dependencies, in_order, reads, sources_of
from graph_runner.compile.fuse import fuse
from graph_runner.compile.keys import Keys, draws, has_effect, lasting
from graph_runner.compile.lazy import not_always_read
from graph_runner.compile.plan import Code, Kept, Need, Plan, Step, Unit
from graph_runner.format.wires import split


def compile_graph(top: Scope, targets: Mapping[str, Source], keys: Keys | None, only: set[str] | None = None) -> Plan:
    """Compile a graph without problems. `targets` are asked for by name, besides everything with an effect.

    keys: what values are stored under; None where nothing will be stored.
    only: run these nodes and what they need, instead of everything with an effect.
    """
    wanted = {source.node for source in targets.values()} | (only or set())
    top = _pruned(top, wanted, effects=only is None)
    _hoist(top)
    readers = _count_readers(top)
    for source in targets.values():
        readers[source.node] += 1
    slots = _Slots()
    asked = {name: slots.of(source) for name, source in targets.items()}
    code = _code(top, slots, keys, readers, asked.values())
    roots = frozenset(id for id, bound in top.nodes.items() if id in wanted or (only is None and has_effect(bound)))
    plan = Plan(code, asked, roots, _kept(top, code, keys))
    _let_go(top)
    return plan


def _pruned(
    scope: Scope,
    wanted: Iterable[str],
    effects: bool = True,
    parent: Scope | None = None,
    zone: BoundNode | None = None,
) -> Scope:
    """A new scope with what a result, effect or target needs; bodies first, for what they read counts for their zone."""
    new = Scope(parent, zone, results=scope.results, ports=scope.ports)
    for id, bound in scope.nodes.items():
        copy = new.nodes[id] = BoundNode(id, bound.spec, new, bound.params, bound.wires, outputs=bound.outputs)
        if bound.body is not None:
            results = (source.node for source in sources_of(bound.body.results.values()) if not source.inner)
            copy.body = _pruned(bound.body, results, parent=new, zone=copy)
    needed = {id for id in wanted if id in new.nodes}
    needed |= {id for id, bound in new.nodes.items() if effects and has_effect(bound)}
    todo = list(needed)
    while todo:
        for source in reads(new.nodes[todo.pop()]):
            if not source.inner and source.node in new.nodes and source.node not in needed:
                needed.add(source.node)
                todo.append(source.node)
    new.nodes = {id: bound for id, bound in new.nodes.items() if id in needed}
    return new


def _let_go(scope: Scope) -> None:
    """Break the circles of a graph that nobody needs any more: it is gone at once, and no garbage collection looks at it."""
    for bound in scope.nodes.values():
        if bound.body is not None:
            _let_go(bound.body)
    scope.nodes.clear()


def _hoist(scope: Scope) -> None:
    """Move nodes that draw nothing, change nothing and depend on no port of their zone out of it, inmost first.

    Never out of the body of a callback or a condition, which may never run at all, nor out of one that is done whole.
    """
    for bound in list(scope.nodes.values()):
        if bound.body is not None:
            _hoist(bound.body)
    if scope.parent is None or scope.zone is None:
        return
    around = scope.zone.spec
    if around.aside or around.conditional or around.whole:
        return
    for id in list(nx.topological_sort(dependencies(scope))):
        bound = scope.nodes[id]
        pure = not (draws(bound) or has_effect(bound) or bound.spec.mutates or bound.spec.aside or bound.spec.grad)
        free = all(
            source.node != scope.zone.id if source.inner else source.node not in scope.nodes for source in reads(bound)
        )
        if pure and free:
            del scope.nodes[id]
            scope.parent.nodes[id] = bound
            bound.scope = scope.parent
            if bound.body is not None:
                bound.body.parent = scope.parent


def _count_readers(top: Scope) -> Counter[str]:
    """How often each node is read, anywhere (the results of bodies count)."""
    counts: Counter[str] = Counter()
    for bound in top.walk():
        counts.update(source.node for source in sources_of(bound.wires.values()) if not source.inner)
        if bound.body is not None:
            counts.update(source.node for source in sources_of(bound.body.results.values()) if not source.inner)
    return counts


class _Slots:
    """Numbers for the values of one scope; what is not its own is captured from the scope around."""

    def __init__(self) -> None:
        self.numbers: dict[Source, int] = {}

    def of(self, source: Source) -> int:
        return self.numbers.setdefault(source, len(self.numbers))

    def of_all(self, sources: Iterable[Source]) -> tuple[int, ...]:
        return tuple(self.of(source) for source in sources)


class _Wiring(NamedTuple):
    """What a node reads, as slots; its body compiled."""

    singles: tuple[tuple[str, int], ...]
    lists: tuple[tuple[str, tuple[int, ...]], ...]
    dicts: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
    body: Code | None = None
    captures: tuple[tuple[int, int], ...] = ()
    whole: frozenset[int] = frozenset()


def _code(scope: Scope, slots: _Slots, keys: Keys | None, readers: Counter[str], asked: Iterable[int] = ()) -> Code:
    """Number every value that is read, then make the steps. asked: slots that outlive the steps, besides the results."""
    order = {id: i for i, id in enumerate(scope.nodes)}
    graph = dependencies(scope)
    waiting = not_always_read(scope, graph)
    ids = list(order) if in_order(graph) else list(nx.lexicographical_topological_sort(graph, key=order.__getitem__))
    wirings = {id: _wiring(scope.nodes[id], slots, keys, readers) for id in ids}
    needed = {
        id: tuple(
            Need(
                each.node,
                each.asks,
                each.constants,
                tuple((name, slots.of(source)) for name, source in each.wires.items()),
            )
            for each in found
        )
        for id, found in waiting.items()
    }
    returns = scope.zone.spec.body_returns if scope.zone is not None else None
    results: list[tuple[str, str, int | tuple[int, ...]]] = []
    for result, wired in scope.results.items():
        port, name = ("", result) if returns is not None and returns.form == "mapping" else split(result)
        results.append(
            (port, name, slots.of(wired) if isinstance(wired, Source) else slots.of_all(sources_of([wired])))
        )
    ports = []
    stores: dict[str, list[tuple[int, tuple[str, str]]]] = {id: [] for id in ids}
    for source, slot in slots.numbers.items():
        if source.inner and scope.zone is not None and source.node == scope.zone.id:
            ports.append((slot, (source.port, source.name)))
        elif not source.inner and source.node in stores:
            stores[source.node].append((slot, (source.port, source.name)))
    leaves, grads = _differentiate(scope, graph, slots)
    steps = {
        id: _step(scope.nodes[id], wirings[id], tuple(stores[id]), id in grads, keys, readers, needed.get(id, ()))
        for id in ids
    }
    asides = tuple(step for step in steps.values() if step.spec.aside)
    units = [unit for unit in (fuse(graph, steps) if scope.zone else steps.values()) if not unit.spec.aside]
    keep = {*asked, *(slot for step in asides for slot in step.reads())}
    for _, _, at in results:
        keep.update([at] if isinstance(at, int) else at)
    size = len(slots.numbers)
    return Code(size, tuple(units), _released(units, keep), tuple(ports), tuple(results), asides, leaves)


def _wiring(bound: BoundNode, slots: _Slots, keys: Keys | None, readers: Counter[str]) -> _Wiring:
    singles, lists, dicts = [], [], []
    whole: set[int] = set()
    for port, wired in bound.wires.items():
        if isinstance(wired, Source):
            singles.append((port, slots.of(wired)))
        elif isinstance(wired, dict):
            dicts.append((port, tuple((name, slots.of(source)) for name, source in wired.items())))
        else:
            lists.append((port, slots.of_all(wired)))
            whole.update(slots.of(source) for source in wired if source.whole)
    wiring = _Wiring(tuple(singles), tuple(lists), tuple(dicts), whole=frozenset(whole))
    if bound.body is None:
        return wiring
    inside = _Slots()
    body = _code(bound.body, inside, keys, readers)
    captures = tuple(
        (slots.of(source), slot)
        for source, slot in inside.numbers.items()
        if not (source.node == bound.id if source.inner else source.node in bound.body.nodes)
    )
    return wiring._replace(body=body, captures=captures)


def _step(
    bound: BoundNode,
    wiring: _Wiring,
    stores: tuple[tuple[int, tuple[str, str]], ...],
    grads: bool,
    keys: Keys | None,
    readers: Counter[str],
    needed: tuple[Need, ...] = (),
) -> Step:
    spec, wires = bound.spec, bound.wires
    params = bound.params
    left_out = [port for port in spec.input if port not in wires and port not in spec.params and port not in params]
    return Step(
        bound.id,
        spec,
        {**params, **dict.fromkeys(left_out)},
        wiring.singles,
        wiring.lists,
        wiring.dicts,
        stores,
        tuple(port for port in spec.mutates if port in wires and not _owned(bound, wires[port], readers)),
        spec.wired_paths(wires),
        grads,
        wiring.body,
        wiring.captures,
        keys.key(bound) if keys is not None else "",
        keys.lineage(bound) if keys is not None and spec.loops else "",
        wiring.whole,
        keys.handed(bound) if keys is not None and bound.body is not None else "",
        needed,
    )


def _owned(bound: BoundNode, wired: Wired, readers: Counter[str]) -> bool:
    """Whether nobody else can see what this node is about to change: then no copy is made, and nothing stored.

    The values must be made in this very scope, out of literals alone (what is made of other values may be one of them,
    or share memory with it), be read here alone, and not be worth keeping.
    """
    makers = [bound.scope.nodes.get(source.node) if not source.inner else None for source in sources_of([wired])]
    return all(
        maker is not None
        and readers[maker.id] == 1
        and not maker.spec.keep
        and maker.body is None
        and maker.wires.keys() <= maker.spec.params.keys()
        for maker in makers
    )


def _released(units: list[Unit], keep: set[int]) -> tuple[tuple[int, ...], ...]:
    """For each step, the values of which it is the last reader: they can be forgotten."""
    last: dict[int, int] = {}
    for i, unit in enumerate(units):
        for member in unit.members:
            last.update(dict.fromkeys((slot for slot, _ in member.stores), i))
            last.update(dict.fromkeys(member.reads(), i))
    released: list[list[int]] = [[] for _ in units]
    for slot, i in last.items():
        if slot not in keep:
            released[i].append(slot)
    return tuple(map(tuple, released))


def _kept(top: Scope, code: Code, keys: Keys | None) -> dict[str, Kept]:
    """What the cache has to know of the steps at the top: which steps each reads, and what is changed by its one reader."""
    changed: set[str] = set()
    made_of: dict[str, frozenset[str]] = {}
    parents: dict[str, tuple[str, ...]] = {}
    for unit in code.steps:
        for step in unit.members:
            bound = top.nodes[step.id]
            parents[step.id] = tuple(dict.fromkeys(source.node for source in reads(bound) if not source.inner))
            made_of[step.id] = _paths_in(bound).union(*(made_of[parent] for parent in parents[step.id]))
            owned = [bound.wires[port] for port in step.spec.mutates if port in bound.wires and port not in step.copied]
            changed.update(source.node for source in sources_of(owned))
    return {
        id: Kept(
            {bound.spec.stored(slot): kind for slot, kind in bound.outputs.items()},
            lasting(bound),
            id not in changed and (keys is None or keys.recurs(bound)),
            parents[id],
            made_of[id],
        )
        for id, bound in top.nodes.items()
    }


def _paths_in(bound: BoundNode) -> frozenset[str]:
    """The paths that a node, and the nodes inside of it, read by their literals."""
    inside = [bound, *bound.body.walk()] if bound.body is not None else [bound] if bound.spec.path_kinds else []
    typed = ((each, name) for each in inside for name in each.spec.path_kinds)
    return frozenset(str(each.params[name]) for each, name in typed if each.params.get(name))


def _differentiate(scope: Scope, graph: nx.DiGraph[str], slots: _Slots) -> tuple[tuple[int, ...], set[str]]:
    """The inner ports with respect to which nodes differentiate, and the nodes between, which run with gradients on.

    A node that differentiates may be drawn in a zone inside: then that zone is run with gradients on, as a whole.
    """
    leaves: list[int] = []
    grads: set[str] = set()
    for bound, wired in _differentiated(scope):
        leaves.append(slots.of(wired))
        readers = {b.id for b in scope.nodes.values() if wired in set(reads(b))}
        after = readers | {id for reader in readers for id in nx.descendants(graph, reader)}
        before: set[str] = nx.ancestors(graph, bound.id)
        grads |= (after & before) | {bound.id}
    return tuple(leaves), grads


def _differentiated(scope: Scope) -> Iterator[tuple[BoundNode, Source]]:
    """The nodes of a scope that differentiate with respect to one of its ports, or have inside what does, and that port."""
    for bound in scope.nodes.values():
        for inside in [bound, *(bound.body.walk() if bound.body is not None else ())]:
            for port in inside.spec.grad:
                wired = inside.wires.get(port)
                if isinstance(wired, Source) and scope.zone is not None and wired.inner and wired.node == scope.zone.id:
                    yield bound, wired
