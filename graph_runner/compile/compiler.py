"""From a validated graph to a plan: prune, hoist, key, and bind every wire to a slot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import networkx as nx

from graph_runner.bind.graph import BoundNode, Scope, Source, Wired, dependencies, reads, sources_of
from graph_runner.compile.fuse import fuse
from graph_runner.compile.keys import Keys, draws, has_effect
from graph_runner.compile.plan import Code, Policy, Step, as_written


@dataclass(eq=False)
class Plan:
    """A graph ready to run: the top's code, and the slots of what was asked for."""

    code: Code
    targets: dict[str, int] = field(default_factory=dict)
    roots: list[Step] = field(default_factory=list)


def compile_graph(
    top: Scope,
    targets: dict[str, Source],
    keys: Keys | None,
    only: set[str] | None = None,
    policy: Policy = as_written,
) -> Plan:
    """Compile a graph without problems. `targets` are asked for by name, besides everything with an effect.

    keys: what values are stored under; None where nothing will be stored.
    only: run these nodes and what they need, instead of everything with an effect.
    policy: how the functions of nodes are called.
    """
    wanted = {source.node for source in targets.values()} | (only or set())
    _prune(top, wanted, effects=only is None)
    _hoist(top)
    readers = _count_readers(top)
    for source in targets.values():
        readers[source.node] += 1
    slots = _Slots()
    asked = {name: slots.of(source) for name, source in targets.items()}
    code = _code(top, slots, keys, readers, policy)
    plan = Plan(code, asked)
    plan.roots = [step for step in code.steps if step.id in wanted or (only is None and has_effect(top.nodes[step.id]))]
    _link(top, code)
    _release(code, keep=set(plan.targets.values()))
    return plan


def _prune(scope: Scope, wanted: Iterable[str], effects: bool = True) -> None:
    """Drop what no result, effect or target needs; bodies first, for what they read counts for their zone."""
    for bound in scope.nodes.values():
        if bound.body is not None:
            _prune(bound.body, (source.node for source in sources_of(bound.body.results.values()) if not source.inner))
    graph = dependencies(scope)
    needed = {id for id in wanted if id in scope.nodes}
    needed |= {bound.id for bound in scope.nodes.values() if effects and has_effect(bound)}
    todo = list(needed)
    while todo:
        for before in graph.predecessors(todo.pop()):
            if before not in needed:
                needed.add(before)
                todo.append(before)
    scope.nodes = {id: bound for id, bound in scope.nodes.items() if id in needed}


def _hoist(scope: Scope) -> None:
    """Move nodes that draw nothing, change nothing and depend on no port of their zone out of it, inmost first.

    Never out of a body that runs beside the turns: it may never run at all.
    """
    for bound in list(scope.nodes.values()):
        if bound.body is not None:
            _hoist(bound.body)
    if scope.parent is None or scope.zone is None or scope.zone.spec.aside:
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


def _code(scope: Scope, slots: _Slots, keys: Keys | None, readers: Counter[str], policy: Policy) -> Code:
    code = Code()
    order = {id: i for i, id in enumerate(scope.nodes)}
    steps: dict[str, Step] = {}
    graph = dependencies(scope)
    for id in nx.lexicographical_topological_sort(graph, key=order.__getitem__):
        steps[id] = _step(scope.nodes[id], slots, keys, readers, policy)
    returns = scope.zone.spec.body_returns if scope.zone is not None else None
    for result, wired in scope.results.items():
        port, _, name = ("", "", result) if returns is not None and returns.form == "mapping" else result.partition(".")
        at = slots.of(wired) if isinstance(wired, Source) else [slots.of(source) for source in sources_of([wired])]
        code.results.append((port, name, at))
    for source, slot in slots.numbers.items():
        if source.inner and scope.zone is not None and source.node == scope.zone.id:
            code.ports.append((slot, (source.port, source.name)))
        elif not source.inner and source.node in steps:
            steps[source.node].stores.append((slot, (source.port, source.name)))
    _differentiate(scope, graph, code, steps, slots)
    code.asides = [step for step in steps.values() if step.spec.aside]
    code.steps = [step for step in (fuse(graph, steps) if scope.zone else steps.values()) if not step.spec.aside]
    code.size = len(slots.numbers)
    return code


def _step(bound: BoundNode, slots: _Slots, keys: Keys | None, readers: Counter[str], policy: Policy) -> Step:
    spec = bound.spec
    step = Step(bound.id, spec, policy(spec), dict(bound.params))
    for port, wired in bound.wires.items():
        if isinstance(wired, Source):
            step.singles.append((port, slots.of(wired)))
        elif isinstance(wired, list):
            step.lists.append((port, [slots.of(source) for source in wired]))
            step.whole[port] = {slots.of(source) for source in wired if source.whole}
        else:
            step.dicts.append((port, [(name, slots.of(source)) for name, source in wired.items()]))
    for left_out in spec.input.keys() - bound.wires.keys() - spec.params.keys() - bound.params.keys():
        step.constants[left_out] = None
    step.paths = spec.wired_paths(bound.wires)
    step.implicit_seed = spec.draws and not spec.seeded
    step.copied = tuple(
        port for port in spec.mutates if port in bound.wires and not _owned(bound, bound.wires[port], readers)
    )
    if bound.body is not None:
        inside = _Slots()
        step.body = _code(bound.body, inside, keys, readers, policy)
        own = set(bound.body.nodes)
        for source, slot in list(inside.numbers.items()):
            if not (source.node == bound.id if source.inner else source.node in own):
                step.captures.append((slots.of(source), slot))
        step.body.size = len(inside.numbers)
        _release(step.body, keep=set(_kept(step.body)))
        step.body.bind()
    if keys is not None:
        step.key = keys.key(bound)
        step.lineage = keys.lineage(bound) if spec.loops else ""
    return step


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


def _kept(code: Code) -> Iterator[int]:
    """Slots that outlive the steps of a body: its results, and what runs beside the turns reads."""
    for _, _, at in code.results:
        yield from [at] if isinstance(at, int) else at
    for aside in code.asides:
        yield from _read_slots(aside)


def _read_slots(step: Step) -> Iterator[int]:
    yield from (slot for _, slot in step.singles)
    yield from (slot for _, slots in step.lists for slot in slots)
    yield from (slot for _, named in step.dicts for _, slot in named)
    yield from (outside for outside, _ in step.captures)


def _release(code: Code, keep: set[int]) -> None:
    """Mark, at each value's last reader, that it can be forgotten."""
    last: dict[int, Step] = {}
    for step in code.steps:
        last.update(dict.fromkeys((slot for slot, _ in step.stores), step))
        last.update(dict.fromkeys(_read_slots(step), step))
    for slot, step in last.items():
        if slot not in keep:
            step.free.append(slot)


def _link(top: Scope, code: Code) -> None:
    """Tell each step at the top which steps it reads, and which values are changed by their one reader."""
    by_id = {step.id: step for step in code.steps}
    for step in code.steps:
        bound = top.nodes[step.id]
        step.parents = [by_id[id] for id in dict.fromkeys(source.node for source in reads(bound) if not source.inner)]
        step.made_of = _paths_in(bound).union(*(parent.made_of for parent in step.parents))
        for port in bound.spec.mutates:
            if port in bound.wires and port not in step.copied:
                for source in sources_of([bound.wires[port]]):
                    by_id[source.node].storable = False


def _paths_in(bound: BoundNode) -> frozenset[str]:
    """The paths that a node, and the nodes inside of it, read by their literals."""
    inside = [bound, *(bound.body.walk() if bound.body is not None else ())]
    typed = ((each, name) for each in inside for name, param in each.spec.params.items() if param.path_kind)
    return frozenset(str(each.params[name]) for each, name in typed if each.params.get(name))


def _differentiate(scope: Scope, graph: nx.DiGraph[str], code: Code, steps: dict[str, Step], slots: _Slots) -> None:
    """Run the nodes between an inner port and a node that differentiates with respect to it with gradients on."""
    for bound in scope.nodes.values():
        for port in bound.spec.grad:
            wired = bound.wires.get(port)
            if not isinstance(wired, Source) or scope.zone is None or not wired.inner or wired.node != scope.zone.id:
                continue
            code.leaves.append(slots.of(wired))
            readers = {b.id for b in scope.nodes.values() if wired in set(reads(b))}
            after = readers | {id for reader in readers for id in nx.descendants(graph, reader)}
            before: set[str] = nx.ancestors(graph, bound.id)
            for id in (after & before) | {bound.id}:
                steps[id].grads = True
