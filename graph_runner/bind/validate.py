"""From a workflow to a graph, or to every problem in it at once.

Each step adds problems and goes on with what it could understand, so that one reading shows all there is to mend.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple

import networkx as nx

from graph_runner.base.names import Taken
from graph_runner.base.problems import Problem, TooManyProblemsError, did_you_mean, some
from graph_runner.bind.expand import Expanded, expand
from graph_runner.bind.graph import UNKNOWN, BoundNode, Scope, Source, dependencies, in_order, reads, sources_of
from graph_runner.bind.literals import bind_inputs
from graph_runner.bind.modes import without_modes
from graph_runner.bind.paths import Paths
from graph_runner.bind.references import References
from graph_runner.bind.renamed import under_current_names
from graph_runner.bind.typing_rules import SOME, solve_types
from graph_runner.contract import NodeSpec
from graph_runner.contract.context import BUILT_IN
from graph_runner.contract.models import Models, is_module
from graph_runner.contract.registry import Registry
from graph_runner.format.wires import joined, split
from graph_runner.format.workflow import Node, Workflow, walk

SEEDS, SAVES = "#seeds", "#saves"
"""Rules that look at literals of several nodes, by the names of their spans."""
_ELSEWHERE = "A node of another package is there once that is installed, or its module named by --nodes"


def validate(
    workflow: Workflow, registry: Mapping[str, NodeSpec], paths: Paths | None = None
) -> tuple[Scope, list[Problem]]:
    """Bind a workflow to node specifications, in a graph that nobody changes any more. It may be run only where no problem
    is an error.

    paths: makes the paths of files that nodes read absolute, and tells those that cannot be read; without it they stay as
    they are, and the graph cannot be run. Where more problems come up than a person can mend (MOST_PROBLEMS), the search
    ends and the scope may be incomplete.
    """
    parts = Parts(workflow, registry)
    with suppress(TooManyProblemsError):
        find(parts, registry)
        parts.problems.extend(paths.place_all(parts.top) if paths is not None else [])
    parts.top.freeze()
    return parts.top, told_once(parts.expanded, parts.problems)


class Span(NamedTuple):
    """From one place in a list to before another; order: how many were noted before it, for several may be empty at one place."""

    order: int
    start: int
    stop: int


class Parts:
    """A workflow on its way to a graph, and what is wrong with it, by what it was found in.

    workflow: under present names. nodes: what is bound, once muted ones are out. spans: where among the problems stand those
    of a node's own inputs, by its id, and those of a rule, by its name.
    """

    def __init__(self, workflow: Workflow, registry: Mapping[str, NodeSpec]) -> None:
        self.workflow = under_current_names(workflow, registry)
        self.expanded = expand(self.workflow)
        self.problems = self.expanded.problems
        self.nodes: Mapping[str, Node] = {}
        self.top = Scope(uses=self.expanded.uses, models=getattr(registry, "models", Models()))
        self.spans: dict[str, Span] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is found inside of it goes by this name."""
        start = len(self.problems)
        yield
        self.spans[name] = Span(len(self.spans), start, len(self.problems))


def find(parts: Parts, registry: Mapping[str, NodeSpec]) -> None:
    """Bind a workflow's nodes, and find all that is wrong but with files. Raises TooManyProblemsError."""
    written, unknown, problems, top = parts.expanded.nodes, parts.expanded.ids, parts.problems, parts.top
    problems += _doubled_ids(written, parts.workflow.nodes if parts.workflow.definitions else {})
    nodes = parts.nodes = without_modes(written, registry, unknown, problems)
    _bind(nodes, top, registry, unknown, parts)
    References(top, unknown, problems).resolve(top, nodes)
    graphs = {scope: dependencies(scope) for scope in top.scopes()}
    circles = [circle for graph in graphs.values() for circle in _circles(graph)]
    problems += [_circular(circle) for circle in circles]
    problems += solve_types(top, graphs, {id for circle in circles for id in circle})
    problems += _rules_of_zones(top)
    problems += _not_injectable(top, registry)
    problems += _without_codec(top)
    with parts.part(SEEDS):
        problems += equal_seeds(top, {id for id, node in walk(written) if "seed" in node.params})
    with parts.part(SAVES):
        problems += saved_twice(top)
    problems += _exposed(parts.workflow, registry)


def errors(problems: list[Problem]) -> list[Problem]:
    """The problems that forbid a run."""
    return [problem for problem in problems if problem.severity == "error"]


def told_once(expanded: Expanded, problems: list[Problem]) -> list[Problem]:
    """The problems without those that each use of a definition repeats, or each reader of an input that a use leaves out."""
    if not expanded.origins:
        return problems
    seen: set[tuple[str, ...]] = set()
    told: list[Problem] = []
    for problem in problems:
        own = expanded.left_out.get((problem.node, problem.port))
        origin = expanded.origins.get(problem.node)
        if own is not None:
            problem = replace(problem, remedy=f"Give {own[1]!r} of {own[0]!r}")
            mark: tuple[str, ...] = (*own, "left out")
        elif origin is not None:
            use = problem.node.removesuffix(origin[1])
            mark = (*origin, problem.port, problem.message.replace(use, ""), problem.remedy.replace(use, ""))
        else:
            mark = (str(problem), str(len(told)))
        if mark not in seen:
            seen.add(mark)
            told.append(problem)
    return told


def _doubled_ids(*graphs: Mapping[str, Node]) -> list[Problem]:
    doubled: dict[str, None] = {}
    for nodes in graphs:
        counts = Counter(id for id, _ in walk(nodes))
        doubled |= dict.fromkeys(id for id, n in counts.items() if n > 1)
    return [Problem("this id is used twice in the file", id, remedy="Rename one of the nodes") for id in doubled]


def _bind(
    nodes: Mapping[str, Node],
    scope: Scope,
    registry: Mapping[str, NodeSpec],
    unknown: set[str],
    parts: Parts,
) -> None:
    """Give every node its specification and its literals. `unknown` collects the ids of those that have none."""
    problems = parts.problems
    for id, node in nodes.items():
        spec = registry.get(node.type)
        if spec is None:
            remedy = f"{did_you_mean(node.type, registry)} {_ELSEWHERE}".strip()
            problems.append(Problem(f"unknown node type {node.type!r}", id, remedy=remedy))
            unknown |= {id for id, _ in walk({id: node})}
            continue
        bound = scope.nodes[id] = BoundNode(id, spec, scope)
        with parts.part(id):
            bind_inputs(bound, node, problems)
        if spec.body is None and node.body is not None:
            problems.append(
                Problem(f"{node.type!r} takes no body", id, "body", "Move its nodes out, or use a zone such as 'group'")
            )
        if spec.body is not None:
            bound.body = Scope(scope, bound)
            if node.body is None:
                problems.append(
                    Problem(
                        f"{node.type!r} is a zone and has no body", id, "body", 'Add "body": {"nodes": …, "results": …}'
                    )
                )
                bound.body.results = {  # so that nothing is told of what such a body would give
                    f"{port.name}.{SOME}".strip(".") if port.named else port.name: UNKNOWN for port in spec.body.results
                }
            else:
                _bind(node.body.nodes, bound.body, registry, unknown, parts)


def _not_injectable(top: Scope, registry: Mapping[str, NodeSpec]) -> list[Problem]:
    """What a node asks of its surroundings must be something that somebody can make."""
    known = BUILT_IN | (registry.injectables.keys() if isinstance(registry, Registry) else set())
    return [
        Problem(
            f"{bound.spec.type!r} asks for {kind!r} to be handed in, and nobody here makes one",
            bound.id,
            name,
            "Install the package that makes it, or name its module with --nodes",
        )
        for bound in top.walk()
        for name, kind in bound.spec.injected.items()
        if kind not in known
    ]


def _circles(graph: nx.DiGraph[str]) -> Iterator[list[str]]:
    """Nodes of a scope that wait for each other."""
    for component in () if in_order(graph) else nx.strongly_connected_components(graph):
        if len(component) > 1 or graph.has_edge(*(2 * list(component))):
            yield sorted(component)


def _circular(circle: list[str]) -> Problem:
    return Problem(
        f"these nodes wait for each other: {some(circle, 12)}",
        circle[0],
        remedy="Break the circle; a loop is drawn with a zone such as 'repeat'",
    )


def _rules_of_zones(top: Scope) -> list[Problem]:
    """`every` needs a loop around it, a gradient a port of the zone around; carried models are read through their zone."""
    problems = []
    for bound in top.walk():
        zone = bound.scope.zone
        if bound.spec.aside and (zone is None or not zone.spec.loops):
            problems.append(
                Problem(
                    f"{bound.spec.type!r} runs every so many steps of the loop around it, and there is none",
                    bound.id,
                    remedy="Move it into the body of a zone that loops",
                )
            )
        if any(around.zone is not None and around.zone.spec.trains for around in bound.scope.enclosing()):
            continue
        around = {scope.zone.id for scope in bound.scope.enclosing() if scope.zone is not None}
        for port in bound.spec.grad:
            wired = bound.wires.get(port, UNKNOWN)
            if wired != UNKNOWN and not (isinstance(wired, Source) and wired.inner and wired.node in around):
                problems.append(
                    Problem(
                        "is what the node differentiates with respect to, and is no port of a zone around the node",
                        bound.id,
                        port,
                        f"Wire it to a port of {zone.id!r}"
                        if zone
                        else "Move the node into a zone and wire a port of it",
                    )
                )
    return problems + [problem for bound in top.walk() if bound.body is not None for problem in _carried(bound)]


def _carried(zone: BoundNode) -> Iterator[Problem]:
    """Inside a zone, the models that it carries (and changes a copy of) are not read from outside."""
    assert zone.body is not None
    carried = {
        source: (port, name)
        for port in zone.spec.mutates
        if isinstance(named := zone.wires.get(port), dict)
        for name, source in named.items()
        if source != UNKNOWN
    }
    for inside in zone.body.walk():
        read = list(inside.wires.items())
        if inside.body is not None:
            read += [(f"results.{result}", wired) for result, wired in inside.body.results.items()]
        for port, wired in read:
            for source in sources_of([wired]):
                if source in carried:
                    own = joined(zone.id, *carried[source])
                    message = f"reads {source}, which {zone.id!r} carries and changes a copy of"
                    remedy = f"Read {own} instead; or, for {source} as it was, a frozen_copy of it drawn outside of {zone.id!r}"
                    yield Problem(message, inside.id, port, remedy)


def _without_codec(top: Scope) -> list[Problem]:
    """What the disk will keep and others read must be something that the disk can hold, or hours of work end in an error."""
    read = {source for bound in top.nodes.values() for source in reads(bound)}
    return [
        Problem(
            f"gives {kind}, which cannot be kept on disk: its wire type has no codec",
            bound.id,
            joined(*slot),
            f"Put @model on the class {kind.base.__name__} (docs/writing-a-model.md), or give its Wire(…) a codec"
            if kind.base is not None and is_module(kind.base)
            else "Give its Wire(…) a codec that takes a value apart into tensors and JSON values, and makes it again",
        )
        for bound in top.nodes.values()
        if bound.spec.keep
        for slot, kind in bound.outputs.items()
        if not kind.storable and Source(bound.id, *slot) in read
    ]


def equal_seeds(top: Scope, chosen: Collection[str]) -> list[Problem]:
    """Two draws of one type and one seed in one scope are equal. That may be meant, as in branches that are compared, and somebody
    who typed the same seed into both meant it; but not where nobody chose it, nor where one node reads the same numbers twice.

    chosen: the nodes into which a seed is typed.
    """
    problems = []
    for scope in top.scopes():
        groups: dict[tuple[str, Any], list[BoundNode]] = {}
        for bound in scope.nodes.values():
            if "seed" in bound.params and bound.spec.draws_with(bound.params):
                groups.setdefault((bound.spec.type, bound.params["seed"]), []).append(bound)
        for (kind, seed), equal in groups.items():
            if len(equal) < 2:
                continue
            if all(bound.id in chosen for bound in equal):
                equal = _read_together(equal, scope)
                remedy = "Give one another seed; or read one of them twice"
            else:
                remedy = "Give one another seed; or, where equal ones are meant, type the same into each"
            if equal:
                ids = [bound.id for bound in equal]
                message = f"{some(ids, 12)} ({kind}) draw the same numbers: all have seed {seed}"
                problems.append(Problem(message, ids[-1], "seed", remedy, "warning"))
    return problems


def _read_together(draws: list[BoundNode], scope: Scope) -> list[BoundNode]:
    """The first of these draws that are the same in all else too and that one node reads; none where no two are."""
    place = {draw.id: at for at, draw in enumerate(draws)}
    for reader in scope.nodes.values():
        own = [draws[at] for at in sorted({place[source.node] for source in reads(reader) if source.node in place})]
        for first in own:
            same = [draw for draw in own if draw.params == first.params and draw.wires == first.wires]
            if len(same) > 1:
                return same
    return []


def saved_twice(top: Scope) -> list[Problem]:
    """Two nodes that save under one name, or one that does so in each step of a loop: one would replace the other."""
    problems = []
    taken = Taken()
    for bound in top.walk():
        named = {port: dict.fromkeys(wired) for port, wired in bound.wires.items() if isinstance(wired, dict)}
        try:
            names = list(bound.spec.saves({**bound.params, **named})) if bound.spec.saves is not None else []
        except KeyError:  # a name that comes by wire shows when the node runs
            continue
        for name in names:
            if (other := taken.take(name, bound.id)) is not None:
                message = f"saves {name}, and {other[1]!r} saves {other[0]}: one would replace the other"
                problems.append(Problem(message, bound.id, "name", "Give one of them another name"))
        zones = [around.zone for around in bound.scope.enclosing() if around.zone is not None]
        turning = next((zone for zone in zones if zone.spec.loops or zone.spec.aside), None)
        if names and turning is not None and not turning.spec.aside:
            message = f"saves {names[0]} in each step of {turning.id!r}, and only the last one stays"
            problems.append(Problem(message, bound.id, "name", "Wire another name in each step", "warning"))
    return problems


def _exposed(workflow: Workflow, registry: Mapping[str, NodeSpec]) -> Iterator[Problem]:
    """What the app view and `--set NAME=` show must be there, in the file as it is written."""
    written = dict(walk(workflow.nodes))
    for kind, references in (("parameter", workflow.exposed.params), ("output", workflow.exposed.outputs)):
        for name, reference in references.items():
            id, wanted = split(reference)
            if id not in written:
                message, known = f"there is no node {id!r}", list(written)
            else:
                known = _offered(kind, written[id].type, workflow, registry)
                if split(wanted)[0] in known or "*" in known or (kind == "output" and not wanted):
                    continue
                message = f"{id!r} has no {kind} {wanted!r}"
            remedy = did_you_mean(wanted if id in written else id, known)
            yield Problem(f"exposes {reference!r}, and {message}", "exposed", name, remedy)


def _offered(kind: str, type_name: str, workflow: Workflow, registry: Mapping[str, NodeSpec]) -> list[str]:
    """The parameters or outputs of a node type; "*" where any name may be one."""
    if type_name in workflow.definitions:
        definition = workflow.definitions[type_name]
        return definition.inputs if kind == "parameter" else list(definition.results)
    if type_name not in registry:
        return ["*"]  # its own problem says so
    spec = registry[type_name]
    return list(spec.params) if kind == "parameter" else [name or "*" for name in spec.output]
