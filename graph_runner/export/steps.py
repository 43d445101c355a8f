"""A plan's steps as lines of Python: each a call of its node's function, a zone's body a function in front of the call."""

from __future__ import annotations

import ast
import inspect
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from graph_runner.base.problems import Problem
from graph_runner.base.trained import checksums_of
from graph_runner.bind.graph import BoundNode
from graph_runner.bind.paths import PathError, Paths, expanded
from graph_runner.compile.plan import Code, Joined, Need, Step
from graph_runner.contract.markers import checksum_of
from graph_runner.contract.models import is_module
from graph_runner.export.bundle import WIDTH, Bundle
from graph_runner.export.sources import UnreadableError

INDENT = "    "
STANDING_IN = {
    "metrics": "metrics",
    "progress": "progress",
    "saving": "saving",
    "tell": "tell",
    "trained": "trained",
    "device": "DEVICE",
}
"""By what is handed in, what stands for it; `Steps._handed` says the rest."""
Frame = dict[int, str]
"""For each slot of a scope, the expression that reads it."""


class Written(NamedTuple):
    """A line of the script, and the node that it came from; empty for lines between."""

    text: str
    node: str = ""


class Steps:
    """Writes the steps of one plan.

    bound: the graph's nodes by id. exposed: names of literals that the caller of the script gives, by (node, parameter).
    problems: what no script can do, found while writing.
    """

    def __init__(
        self, bundle: Bundle, bound: Mapping[str, BoundNode], exposed: Mapping[tuple[str, str], str], workspace: Path
    ) -> None:
        self.bundle, self.bound, self.exposed, self.workspace = bundle, bound, exposed, workspace
        self.lines: list[Written] = []
        self.problems: list[Problem] = []
        self._functions = {id: self._function(node) for id, node in bound.items()}
        bodies = [node.spec.body for node in bound.values() if node.spec.body is not None]
        self._torch, self._top = bundle.use("torch"), bundle.standing_in("TOP")
        self._ports = {port.name: bundle.reserve(port.name) for body in bodies for port in body.ports}
        self._names = {id: bundle.reserve(id.replace("/", "_")) for id in bound}

    def write(self, code: Code, frame: Frame, place: str, depth: int, training: bool = False) -> None:
        """Write the steps of one scope. place: the expression of the loop around. Fills the frame."""
        for unit in code.steps:
            if isinstance(unit, Joined) and not training:
                self._joined(unit, frame, depth)
                continue
            for step in unit.members:
                self._step(step, frame, place, depth, training)

    def _function(self, node: BoundNode) -> str:
        try:
            return self.bundle.add(node.spec.function)
        except UnreadableError as error:
            remedy = "Put the node's function at the top of a module, with the names that it uses"
            self.problems.append(Problem(f"cannot be exported: {error}", node.id, remedy=remedy))
            return node.spec.type

    def _add(self, depth: int, text: str, node: str = "") -> None:
        rows = text.split("\n")  # a literal in it may hold what else ends a line elsewhere
        self.lines += [Written(INDENT * depth + row if row else "", node) for row in rows]

    def _comment(self, step: Step, depth: int) -> None:
        words = f"# {step.id}: {step.spec.summary}"
        room = WIDTH - len(INDENT * depth)
        self._add(depth, words if len(words) <= room else words[: room - 1] + "…", step.id)

    def _step(self, step: Step, frame: Frame, place: str, depth: int, training: bool) -> None:
        """Write a call; one that is not always needed under a condition, and None for what it would give elsewhere."""
        self._comment(step, depth)
        if not step.needed:
            self._made(step, frame, place, depth, training)
            return
        self._add(depth, f"if {self._condition(step, frame)}:", step.id)
        self._made(step, frame, place, depth + 1, training)
        if step.spec.returns.form != "one":  # nothing can be read of a None
            for slot, (port, part) in step.stores:
                name = self.bundle.reserve("_".join(filter(None, [self._names[step.id], port, part])))
                self._add(depth + 1, f"{name} = {frame[slot]}", step.id)
                frame[slot] = name
        self._add(depth, "else:", step.id)
        names = dict.fromkeys(frame[slot] for slot, _ in step.stores)
        self._add(depth + 1, f"{' = '.join(names)} = None", step.id)

    def _condition(self, step: Step, frame: Frame) -> str:
        """The expression that says whether anybody needs what a call gives."""
        return " or ".join(dict.fromkeys(self._asked(need, frame) for need in step.needed)) or "True"

    def _asked(self, need: Need, frame: Frame) -> str:
        typed = {name: self.exposed.get((need.node, name)) or literal(value) for name, value in need.constants.items()}
        return _call(self.bundle.add(need.asks), {**typed, **{name: frame[slot] for name, slot in need.singles}}, 0)

    def _made(self, step: Step, frame: Frame, place: str, depth: int, training: bool) -> None:
        spec = step.spec
        arguments = self._arguments(step, frame)
        own = place
        if spec.loops:
            own = self.bundle.reserve(f"loop_of_{step.id.replace('/', '_')}")
            self._add(depth, f"{own} = {self.bundle.standing_in('Loop')}({place})", step.id)
        if step.body is not None:
            assert spec.body is not None
            arguments[spec.body.parameter] = self._body(step, step.body, frame, own, depth, training)
        seed = arguments.get("seed", "0")
        if spec.draws and not spec.seeded:
            arguments.pop("seed", None)
        use = f"{literal(spec.first_name)}, {seed}, {place}"
        if spec.takes_models and training and not spec.draws:
            self._add(depth, f"{self.bundle.standing_in('seeded')}({use})", step.id)
        for parameter, kind in spec.injected.items():
            arguments[parameter] = self._handed(step, kind, use, own, place)
        arguments = {name: arguments[name] for name in inspect.signature(spec.function).parameters if name in arguments}
        if step.grads:
            self._add(depth, f"with {self._torch}.enable_grad():", step.id)
        self._call(step, arguments, frame, depth + step.grads, training)

    def _call(self, step: Step, arguments: dict[str, str], frame: Frame, depth: int, training: bool) -> None:
        spec, name = step.spec, self._names[step.id]
        function = self._functions[step.id]
        types = self.bound[step.id].outputs
        models = [slot for slot, port in step.stores if not types[port].many and is_module(types[port].base)]
        for slot, (port, part) in step.stores:
            many = bool(spec.outputs[0].type.many)
            frame[slot] = {
                "one": name,
                "tuple": f"{name}.{port}" + (f"[{literal(part)}]" if part else ""),
                "mapping": f"{name}.get({literal(part)}, [])" if many else f"{name}[{literal(part)}]",
            }[spec.returns.form]
        begin = f"{name} = " if step.stores else ""
        passed = [arguments[port.name] for port in spec.inputs if is_module(port.type.base) and port.name in arguments]
        handed = "".join(f", {each}" for each in passed) if training else ""
        if models and spec.returns.form == "one":
            at_rest = self.bundle.standing_in("at_rest")
            made = _call(function, arguments, depth + 1)
            whole = f"{begin}{at_rest}({made}{handed})"
            if "\n" in made or len(INDENT * depth) + len(whole) > WIDTH:
                inner = [INDENT + row for row in made.split("\n")]
                inner[-1] += "," if handed else ""
                inner += [f"{INDENT}{each}," for each in passed if training]
                whole = "\n".join([f"{begin}{at_rest}(", *inner, ")"])
            self._add(depth, whole, step.id)
            return
        self._add(depth, _call(begin + function, arguments, depth), step.id)
        for slot in models:
            self._add(depth, f"{self.bundle.standing_in('at_rest')}({frame[slot]}{handed})", step.id)

    def _joined(self, joined: Joined, frame: Frame, depth: int) -> None:
        """Calls that are made as one."""
        names = [self._names[step.id] for step in joined.members]
        for step in joined.members:
            self._comment(step, depth)
        place = literal("+".join(step.id for step in joined.members))
        batched = literal(joined.batched)
        shared = [
            "{" + ", ".join(f"{literal(n)}: {e}" for n, e in self._arguments(step, frame).items()) + "}"
            for step in joined.members
        ]
        head = f"{', '.join(names)} = {self.bundle.standing_in('together')}("
        inner = INDENT
        rows = [
            place,
            self._functions[joined.id],
            batched,
            f"[\n{inner * 2}" + f",\n{inner * 2}".join(shared) + f",\n{inner}]",
        ]
        injected = {
            name: self._handed(joined.members[0], kind, "", "", "") for name, kind in joined.spec.injected.items()
        }
        if injected:  # alike for all, whichever asks
            partial = self.bundle.use("functools", "partial")
            rows[1] = _call(partial, {"": rows[1], **injected}, 1)
        if any(step.needed for step in joined.members):
            rows.append(_list([self._condition(step, frame) for step in joined.members]))
        self._add(depth, head + "\n" + "".join(f"{inner}{row},\n" for row in rows) + ")", joined.id)
        for step, name in zip(joined.members, names, strict=True):
            frame.update({slot: name for slot, _ in step.stores})

    def _body(self, step: Step, code: Code, frame: Frame, place: str, depth: int, training: bool) -> str:
        """Write a zone's body as a function; returns its name."""
        spec = step.spec
        assert spec.body is not None
        ports = [port.name for port in spec.body.ports]
        inside: Frame = {}
        for outer, inner in step.captures:
            expression = frame[outer]
            if (root := re.split(r"[.\[(]", expression)[0]) in ports:  # the body's own port would hide it
                hidden, expression = expression, self.bundle.reserve(f"outer_{root}")
                self._add(depth, f"{expression} = {hidden}", step.id)
            inside[inner] = expression
        for slot, (port, part) in code.ports:
            inside[slot] = f"{port}[{literal(part)}]" if part else port
        name = self.bundle.reserve(f"{spec.body.parameter}_of_{step.id.replace('/', '_')}")
        self.lines.append(Written(""))
        if spec.trains:
            self._add(depth, f"@{self._torch}.enable_grad()", step.id)
        self._add(depth, f"def {name}({', '.join(ports)}):", step.id)
        for slot in code.leaves:
            self._add(depth + 1, f"{inside[slot]} = {inside[slot]}.detach().requires_grad_()", step.id)
        self.write(code, inside, place, depth + 1, training or spec.trains)
        returned = self._results(step, code, inside)
        self._add(depth + 1, "\n".join(displayed("return ", returned, "", depth + 1)), step.id)
        self.lines.append(Written(""))
        return name

    def _results(self, step: Step, code: Code, frame: Frame) -> str:
        spec = step.spec
        assert spec.body is not None
        assert spec.body_returns is not None
        form, build = spec.body_returns.form, spec.body_returns.build
        detached = ".detach()" if code.leaves and not spec.trains else ""
        values: dict[str, str] = {}
        parts: dict[str, dict[str, str]] = {}
        for port, part, slot in code.results:
            read = frame[slot] + detached if isinstance(slot, int) else _list([frame[each] for each in slot])
            if form == "one":
                return read
            if part and form == "tuple":
                parts.setdefault(port, {})[part] = read
            else:
                values[part or port] = read
        if form == "tuple":
            assert build is not None
            absent = {port.name: "{}" if port.named else "None" for port in spec.body.results}
            given = {**absent, **values, **{port: _dict(named) for port, named in parts.items()}}
            return _call(self.bundle.add(build), given, 1)
        return _dict(values) if form == "mapping" else "None"

    def _arguments(self, step: Step, frame: Frame) -> dict[str, str]:
        """What a call is given, as expressions: nothing where the function's default says the same."""
        parameters = inspect.signature(step.spec.function).parameters
        found: dict[str, str] = {}
        for name, value in step.constants.items():
            given = self.exposed.get((step.id, name))
            known = parameters[name].default if name in parameters else None
            if given is None and type(value) is type(known) and value == known:
                continue
            if name not in parameters and not (name == "seed" and (given or value)):
                continue
            found[name] = given or self._constant(step, name, value)
        found |= {name: frame[slot] for name, slot in step.singles}
        for name, slots in step.lists:
            found[name] = _list([("*" if slot in step.whole else "") + frame[slot] for slot in slots])
        for name, named in step.dicts:
            typed = [f"**{found[name]}"] if found.get(name) not in (None, "None", "{}") else []
            read = {key: frame[slot] for key, slot in named}
            if name in step.spec.mutates:  # one model under two names is two
                known = list(read.values())
                read = {
                    key: each if each not in known[:n] else f"{self.bundle.use('copy')}.deepcopy({each})"
                    for n, (key, each) in enumerate(read.items())
                }
            found[name] = "{" + ", ".join([*typed, *(f"{literal(key)}: {each}" for key, each in read.items())]) + "}"
        for name, _ in step.paths:
            found[name] = f"str({self.bundle.standing_in('WORKSPACE')} / {found[name]})"
        for name in step.copied:
            found[name] = f"{self.bundle.use('copy')}.deepcopy({found[name]})"
        return {name: found[name] for name in (*parameters, "seed") if name in found}

    def _constant(self, step: Step, name: str, value: Any) -> str:
        if value and name in step.spec.path_kinds:
            if step.spec.params[name].reads in (checksum_of, checksums_of):
                message = f"cannot be exported: it begins with the checkpoint {value!r:.80}, and a script reads none"
                self.problems.append(Problem(message, step.id, name, remedy="Leave it empty, or run the workflow"))
            return self._path(str(value), step.spec.path_kinds[name])
        try:
            return literal(value)
        except TypeError:
            remedy = "Take it as text or numbers"
            kind = type(value).__name__
            self.problems.append(
                Problem(f"cannot be exported: a value of the type {kind} has no text", step.id, name, remedy)
            )
            return "None"

    def _path(self, text: str, kind: str) -> str:
        """A path as the workflow has it, below the workspace; of a model that ships, where it lies."""
        try:
            place = Paths(self.workspace).place(text, kind)
        except PathError:  # whoever runs the script may have it
            place = self.workspace / expanded(text)
        if not place.is_relative_to(self.workspace):
            return literal(place.as_posix())
        return f"str({self.bundle.standing_in('WORKSPACE')} / {literal(place.relative_to(self.workspace).as_posix())})"

    def _handed(self, step: Step, kind: str, use: str, own: str, place: str) -> str:
        """What a call is handed of its surroundings."""
        standing_in = self.bundle.standing_in
        if kind in STANDING_IN:
            return standing_in(STANDING_IN[kind])
        if kind == "rng":
            return f"{standing_in('drawing')}({use})"
        if kind == "turn":
            return f"{standing_in('turn')}({place})"
        if kind == "loop":
            return own
        if kind == "dtype":
            return f"{self._torch}.float32"
        if kind == "processes":
            return f"{standing_in('Alone')}()"
        if kind == "outputs":
            return f"{standing_in('Outputs')}({place})"
        if kind == "workspace":
            return standing_in("WORKSPACE")
        if kind == "models":
            return standing_in("MODELS")
        if kind == "value_folder":
            return f"{standing_in('FOLDER')} / {literal(step.id.replace('/', '-'))}"
        message = f"cannot be exported: it asks for {kind!r}, which only a program with the engine can hand in"
        self.problems.append(Problem(message, step.id, remedy="Leave the node out, or run the workflow"))
        return "None"


def literal(value: Any) -> str:
    """A plain value as Python writes it. Raises TypeError for others."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, bool | int):
        return repr(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f'float("{value}")'
    if isinstance(value, list):
        return _list(map(literal, value))
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    raise TypeError(type(value).__name__)


def _list(items: Iterator[str] | Sequence[str] | map[str]) -> str:
    return f"[{', '.join(items)}]"


def _dict(items: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{literal(name)}: {item}" for name, item in items.items()) + "}"


def _call(function: str, arguments: Mapping[str, str], depth: int, end: str = "") -> str:
    """A call with these arguments, on one line where it fits. A nameless argument is positional."""
    given = [f"{name}={expression}" if name else expression for name, expression in arguments.items()]
    line = f"{function}({', '.join(given)}){end}"
    if len(INDENT * depth) + len(line) <= WIDTH:
        return line
    rows = [fitted(name, expression, depth + 1) for name, expression in arguments.items()]
    return f"{function}(\n" + "".join(f"{INDENT}{row}\n" for each in rows for row in each) + f"){end}"


def fitted(name: str, expression: str, depth: int) -> list[str]:
    """An argument and the comma after it as lines."""
    return displayed(f"{name}=" if name else "", expression, ",", depth)


def displayed(begin: str, expression: str, end: str, depth: int) -> list[str]:
    """An expression between these as lines: of a list or mapping that is too long for one, an item a line."""
    line = f"{begin}{expression}{end}"
    if len(INDENT * depth) + len(line) <= WIDTH or expression[:1] not in ("[", "{"):
        return [line]
    written, raw = ast.parse(expression, mode="eval").body, expression.encode()

    def part(of: ast.expr) -> str:
        return raw[of.col_offset : of.end_col_offset].decode()

    if isinstance(written, ast.List):
        items = [part(item) for item in written.elts]
    elif isinstance(written, ast.Dict):
        pairs = zip(written.keys, written.values, strict=True)
        items = [f"**{part(value)}" if key is None else f"{part(key)}: {part(value)}" for key, value in pairs]
    else:
        return [line]
    return [begin + expression[0], *(f"{INDENT}{item}," for item in items), expression[-1] + end]
