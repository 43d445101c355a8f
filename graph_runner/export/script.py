"""A workflow as a plain Python script: the plan that the engine would run, each step as the call that it is.

The script calls copies of the nodes' functions (`graph_runner.export.bundle`) in the order of the plan, draws from generators keyed as
the engine's are, and joins the calls that the engine joins: on the same device, in float32, it computes to the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.bind.graph import BoundNode
from graph_runner.bind.renamed import under_current_names
from graph_runner.bind.validate import errors, validate
from graph_runner.compile.compiler import compile_graph
from graph_runner.compile.keys import has_effect
from graph_runner.compile.plan import Code, Step
from graph_runner.contract.models import Models
from graph_runner.contract.registry import Registry
from graph_runner.export.bundle import WIDTH, Bundle
from graph_runner.export.steps import INDENT, Frame, Steps, Written, fitted, literal
from graph_runner.format.wires import split
from graph_runner.format.workflow import Node, Workflow, walk
from graph_runner.run.targets import targets_of


class Line(NamedTuple):
    """Where a line of a script came from: the node, its type, and the module with its function."""

    number: int
    node: str
    type: str
    module: str


class Script(NamedTuple):
    """An exported workflow.

    text: the script. lines: for each line that is a node's, where it came from. left_out: what it does without, a sentence each.
    """

    text: str
    lines: list[Line]
    left_out: list[str]


def as_python(workflow: Workflow, registry: Registry, workspace: Path, seed: int = 0) -> Script:
    """The workflow as a script with a function `run`: its keyword arguments are the parameters that the workflow exposes, its result
    holds the exposed outputs by their names.

    Callbacks (`every`) are left out: they change nothing that a training computes. Raises WorkflowError where the workflow is
    wrong, and where a node asks for what no script can hand in (checkpoints, callbacks that end a training), or its source cannot be
    copied.
    """
    workflow, left_out = _without_callbacks(under_current_names(workflow, registry), registry)
    top, problems = validate(workflow, registry)
    if wrong := errors(problems):
        raise WorkflowError(wrong)
    asked = {reference: name for name, reference in workflow.exposed.outputs.items()}
    wanted, _ = targets_of(top, asked)
    if not wanted and not any(has_effect(bound) for bound in top.nodes.values()):
        message = "there is nothing to do: no node saves or shows anything, and no output is exposed"
        raise WorkflowError([Problem(message, remedy="Expose an output, or add a node that saves")])
    plan = compile_graph(top, wanted, None)
    bound = {node.id: node for node in top.walk()}
    needed = {step.id: bound[step.id] for step in _steps(plan.code)}
    bundle = Bundle({"SEED": str(seed)})
    name = bundle.reserve("run")
    exposed = _exposed(workflow, needed, bundle)
    steps = Steps(bundle, needed, {place: given.name for place, given in exposed.items()}, workspace)
    bundle.instead["WORKSPACE"] = f"{bundle.use('pathlib', 'Path')}({literal(workspace.as_posix())})"
    if any("models" in node.spec.injected.values() for node in needed.values()):
        bundle.instead["MODELS"] = _models(top.models, bundle)
    frame: Frame = {}
    steps.write(plan.code, frame, bundle.standing_in("TOP"), depth=1)
    if steps.problems:
        raise WorkflowError(steps.problems)
    results = {asked.get(target, target): frame[slot] for target, slot in plan.targets.items()}
    returned = ", ".join(f'"{each}": {expression}' for each, expression in results.items())
    steps.lines.append(Written(f"{INDENT}return {{{returned}}}"))
    left_out += [
        f"{each}: it is of a definition, and stands in the script as a literal"
        for each in workflow.exposed.params
        if each not in {given.exposed for given in exposed.values()}
    ]
    head = [f"@{bundle.use('torch')}.no_grad()", *_signature(name, exposed), *_documentation(workflow, exposed)]
    before = [*_beginning(workflow, left_out), *bundle.imports(), *_spaced(bundle.definitions.values()), "", "", *head]
    came = [
        Line(len(before) + i, each.node, bound[each.node].spec.type, bound[each.node].spec.function.__module__)
        for i, each in enumerate(steps.lines, 1)
        if each.node
    ]
    after = ["", "", 'if __name__ == "__main__":', f"{INDENT}{name}()", "", *_table(came)]
    text = "\n".join([*before, *(each.text for each in steps.lines), *after]) + "\n"
    return Script(text, came, left_out)


class _Given(NamedTuple):
    """A literal that the caller of the script may give."""

    exposed: str
    name: str
    default: Any
    help: str


DECIDES = "cannot be exported: it decides what the training around it gives, and a script has no callbacks"


def _without_callbacks(workflow: Workflow, registry: Registry) -> tuple[Workflow, list[str]]:
    """The workflow without nodes that only look on, and a sentence for each that is gone. Raises WorkflowError where one decides what
    the loop around it gives."""
    workflow = workflow.model_copy(deep=True)
    gone: dict[str, str] = {}

    def drop(nodes: dict[str, Node]) -> None:
        for id, node in list(nodes.items()):
            if node.type in registry and registry[node.type].decides:
                raise WorkflowError([Problem(DECIDES, id, remedy="Leave it out, or run the workflow")])
            if node.type in registry and registry[node.type].aside:
                del nodes[id]
                gone[id] = f"{id}: what looks on at a loop is left out; it changes nothing that is computed"
            elif node.body is not None:
                drop(node.body.nodes)

    drop(workflow.nodes)
    for definition in workflow.definitions.values():
        drop(definition.nodes)
    left = {id for id, _ in walk(workflow.nodes)}
    for names in (workflow.exposed.params, workflow.exposed.outputs) if gone else ():
        for name, reference in list(names.items()):
            if split(reference)[0] not in left:
                del names[name]
    return workflow, list(gone.values())


def _steps(code: Code) -> Iterator[Step]:
    """Every step of a plan, those of bodies too."""
    for unit in code.steps:
        for step in unit.members:
            yield step
            if step.body is not None:
                yield from _steps(step.body)


def _exposed(workflow: Workflow, bound: Mapping[str, BoundNode], bundle: Bundle) -> dict[tuple[str, str], _Given]:
    """The exposed parameters of nodes that the script has, by node and parameter."""
    found = {}
    for exposed, reference in workflow.exposed.params.items():
        id, parameter = split(reference)
        if id in bound and parameter in bound[id].params:
            port = bound[id].spec.input.get(parameter)
            help = port.help if port is not None else ""
            found[id, parameter] = _Given(exposed, bundle.reserve(exposed), bound[id].params[parameter], help)
    return found


def _signature(name: str, exposed: Mapping[Any, _Given]) -> list[str]:
    given = [f"{each.name}={literal(each.default)}" for each in exposed.values()]
    line = f"def {name}({', '.join(['*', *given] if given else [])}):"
    if len(line) <= WIDTH:
        return [line]
    rows = [row for each in exposed.values() for row in fitted(each.name, literal(each.default), 1)]
    return [f"def {name}(", f"{INDENT}*,", *(INDENT + row for row in rows), "):"]


def _documentation(workflow: Workflow, exposed: Mapping[tuple[str, str], _Given]) -> list[str]:
    words = [_quoted(workflow.title or "The graph").rstrip(".") + "."]
    helps = [f"{given.name}: {given.help or f'of {id}.{name}'}" for (id, name), given in exposed.items()]
    if helps:
        room = WIDTH - len(INDENT)
        rows = [wrap(_quoted(text), room, subsequent_indent=INDENT, break_long_words=False) for text in helps]
        words += ["", *(line for row in rows for line in row)]
    if workflow.exposed.outputs:
        words += ["", "Returns what the workflow exposes, by name."]
    if len(words) == 1:
        return [f'{INDENT}"""{words[0]}"""']
    return [f'{INDENT}"""{words[0]}', *(INDENT + line if line else "" for line in words[1:]), f'{INDENT}"""']


ABOUT = (
    "A workflow of Latent Loom as a plain script: it needs core (the library) and PyTorch, and no engine. On a CPU, in float32, it "
    "computes to the same bits as the workflow. At the end stands which lines came from which node."
)


def _beginning(workflow: Workflow, left_out: list[str]) -> list[str]:
    words = [_quoted(workflow.title or "A workflow").rstrip(".") + "."]
    paragraphs = [[workflow.about], [ABOUT], ["What it does without:", *left_out] if left_out else []]
    for paragraph in paragraphs:
        if any(paragraph):
            words += ["", *(line for text in paragraph for line in wrap(_quoted(text), WIDTH, break_long_words=False))]
    return [f'"""{words[0]}', *words[1:], '"""', "", "from __future__ import annotations", ""]


def _quoted(text: str) -> str:
    """A text on one line, as it can stand in a docstring."""
    return " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"' if '"""' in text else '"')


def _models(models: Models, bundle: Bundle) -> str:
    """The table of models as the script says it."""
    rows = "".join(f"{INDENT}{literal(name)}: {bundle.add(cls)},\n" for name, cls in models.items())
    return f"{{\n{rows}}}"


def _spaced(definitions: Iterable[str]) -> list[str]:
    """Definitions with the empty lines that stand between them: two around functions and classes."""
    lines: list[str] = []
    before = None
    for text in definitions:
        block = text.startswith(("def ", "class ", "async ", "@"))
        lines += ["", ""] if block or before else [""] if before is None else []
        lines += text.split("\n")
        before = block
    return lines


def _table(came: list[Line]) -> list[str]:
    """Which lines came from which node, as comments."""
    rows: dict[str, list[Line]] = {}
    for line in came:
        rows.setdefault(line.node, []).append(line)
    told = [
        (_ranges([line.number for line in lines]), id, lines[0].type, lines[0].module) for id, lines in rows.items()
    ]
    table = [("lines", "node", "type", "defined in"), *told]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    return [
        "# " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in table
    ]


def _ranges(numbers: list[int]) -> str:
    """Numbers in words: "3-5, 9"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
