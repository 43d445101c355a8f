"""A graph as a function: what its workflow exposes are the keyword arguments, what comes out are its outputs."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from graph_runner.base.problems import Problem, WorkflowError, did_you_mean
from graph_runner.bind.renamed import under_current_names
from graph_runner.export.script import as_python
from graph_runner.format.png import open_workflow
from graph_runner.format.wires import split
from graph_runner.format.workflow import Workflow, walk
from graph_runner.notebook.drawing import drawing
from graph_runner.run.engine import Engine, Result


def open(
    workflow: str | Path | Workflow | Mapping[str, Any],
    *,
    engine: Engine | None = None,
    outputs: Iterable[str] = (),
    nodes: Iterable[Callable[..., Any] | type] = (),
) -> Graph:
    """A workflow as a function.

    workflow: a file's path, a picture's that carries a workflow, a Workflow, or the same as a dict.
    engine: that runs it; left out, one for the folder `workspace` below the current one, shared by all graphs of this program.
    outputs: what a call gives: nodes, ports, or exposed outputs; left out, all exposed outputs.
    nodes: of your own, which no package has: what `@node`, `@model` and `@injectable` stand above.

    Raises WorkflowError where there is no such workflow, or it has no such output.
    """
    if isinstance(workflow, Mapping):
        workflow = Workflow.model_validate(workflow)
    elif not isinstance(workflow, Workflow):
        workflow = open_workflow(workflow)
    engine = engine or _shared(Path.cwd())
    if own := list(nodes):
        engine = engine.including(*own)
    return Graph(workflow, engine, outputs)


@cache
def _shared(_: Path) -> Engine:
    return Engine()


class Graph:
    """A workflow that is called like a function (`graph_runner.open` makes one).

        result = graph(scale=5, steps=20)
        result["grid"]

    A call's keyword arguments are the parameters that the workflow exposes (help(graph) lists them), and the places of nodes: a node's id
    gives what it would have computed, a tensor, a model, a data set, a picture of Pillow. What is no Python name goes into a dict:
    graph({"latents.images": pictures}). The result holds the outputs by name, and a notebook shows it.
    """

    def __init__(self, workflow: Workflow, engine: Engine, outputs: Iterable[str] = ()) -> None:
        self.workflow, self.engine = under_current_names(workflow, engine.registry), engine
        self.outputs = tuple(outputs) or tuple(self.workflow.exposed.outputs)
        self._options: dict[str, Any] = {}
        self._nodes = dict(walk(self.workflow.nodes))
        known = {*self.workflow.exposed.outputs, *self.workflow.nodes}
        wrong = [name for name in self.outputs if split(name)[0] not in known]
        if wrong:
            raise WorkflowError(
                [Problem(f"there is no output {name!r}", remedy=did_you_mean(name, known)) for name in wrong]
            )
        self.__signature__ = inspect.Signature(self._parameters(), return_annotation=Result)
        self.__doc__ = self._documentation()

    def __call__(self, inputs: Mapping[str, Any] | None = None, /, **values: Any) -> Result:
        """Run the graph with these values.

        Raises WorkflowError where a name or a value does not fit, with all such mistakes, and NodeError where a node fails.
        """
        options = dict(self._options)
        if "listeners" not in options and "ipykernel" in sys.modules:
            from graph_runner.cli.progress import progress

            options["listeners"] = [progress()]
        return self.engine.run(self.workflow, inputs={**(inputs or {}), **values}, targets=self.outputs, **options)

    def options(self, **options: Any) -> Graph:
        """The same graph, run with other options of `Engine.run`: seed, fresh, only, listeners, log, on, profile, …"""
        known = set(inspect.signature(Engine.run).parameters) - {"self", "workflow", "inputs", "targets"}
        if wrong := sorted(options.keys() - known):
            raise TypeError(f"a run has no option {wrong[0]!r}{_meaning(did_you_mean(wrong[0], known))}")
        other = Graph(self.workflow, self.engine, self.outputs)
        other._options = {**self._options, **options}
        return other

    def drawing(self) -> str:
        """The graph as SVG."""
        return drawing(self.workflow)

    def python(self, seed: int = 0) -> str:
        """The graph as a plain Python script that needs no engine (see `graph_runner.export.script`)."""
        return as_python(self.workflow, self.engine.registry, self.engine.workspace, seed).text

    def __repr__(self) -> str:
        return f"<graph {self.workflow.title!r}{self.__signature__.replace(return_annotation=inspect.Signature.empty)}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(repr(each.default))}</td><td>{escape(self._help(name))}</td></tr>"
            for name, each in self.__signature__.parameters.items()
            if each.kind is inspect.Parameter.KEYWORD_ONLY
        )
        title, about = escape(self.workflow.title or "A graph"), escape(self.workflow.about)
        return f"<div><h4>{title}</h4><p>{about}</p>{self.drawing()}<table>{rows}</table></div>"

    def _parameters(self) -> list[inspect.Parameter]:
        nodes = self._nodes
        found = [inspect.Parameter("inputs", inspect.Parameter.POSITIONAL_ONLY, default=None)]
        for name, reference in self.workflow.exposed.params.items():
            id, port = split(reference)
            spec = self.engine.registry.get(nodes[id].type) if id in nodes else None
            param = spec.params.get(port) if spec is not None else None
            default = nodes[id].params.get(port, param.default if param is not None else None) if id in nodes else None
            kind = spec.input[port].type.name if spec is not None and port in spec.input else inspect.Parameter.empty
            found.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind))
        return [*found, inspect.Parameter("values", inspect.Parameter.VAR_KEYWORD)]

    def _help(self, name: str) -> str:
        id, port = split(self.workflow.exposed.params[name])
        node = self._nodes.get(id)
        spec = self.engine.registry.get(node.type) if node is not None else None
        return spec.input[port].help if spec is not None and port in spec.input else ""

    def _documentation(self) -> str:
        exposed = self.workflow.exposed
        words = [self.workflow.title or "A graph.", "", self.workflow.about, ""]
        words += [f"{name}: {self._help(name) or 'of ' + reference}" for name, reference in exposed.params.items()]
        words += ["", f"Gives {', '.join(self.outputs) or 'what its nodes save and show'}."]
        return "\n".join(words)


def _meaning(remedy: str) -> str:
    return f". {remedy}" if remedy else ""
