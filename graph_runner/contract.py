"""The contract of a node: a typed function, and the specification read from its signature.

`@node` attaches a `NodeSpec` to a function and changes nothing else: the function stays callable as it is. Ports,
defaults, ranges, choices and help come from the signature, the annotations and the docstring.

    Latent = Annotated[torch.Tensor, Wire("latent", "b c h w")]

    @node(category="guidance")
    def cfg_combine(cond: Latent, uncond: Latent, scale: Annotated[float, Field(ge=0, le=30)] = 7.5) -> Latent:
        '''Combine conditional and unconditional predictions.

        scale: 1 gives the conditional prediction.
        '''

A parameter is, by its annotation: a wired port (`Annotated[..., Wire]`), a set of user-named wires (`Ports[T]`), a body
(`Body[Protocol]`, which makes the node a zone), something the engine injects (`Rng`, `Loop`, ... of
`graph_runner.context`), or else a literal that pydantic validates and that may also be wired.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypeVar, get_args, get_origin

from pydantic import Field, PydanticSchemaGenerationError, TypeAdapter

__all__ = ["Body", "Codec", "ContractError", "Field", "File", "Folder", "NodeSpec", "Ports", "Unkeyed", "Wire", "node"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class ContractError(TypeError):
    """A function cannot be a node as it is written; the message names the function, the parameter and the remedy."""


class Codec(Protocol):
    """How the disk keeps the values of one wire type: as a tree of tensors and JSON values, and back."""

    def save(self, value: Any) -> Any: ...

    def load(self, tree: Any) -> Any: ...


@dataclass(frozen=True)
class Wire:
    """A nominal wire type: what is on the wire keeps its plain Python type; the graph sees a name and a shape.

    name: the nominal type, e.g. "latent". shape: symbolic, einops style ("b c h w"); empty when it has none.
    accepts: names of other wire types that a port of this type also takes. codec: how the disk keeps a value
    (tensors and plain JSON values need none). about: one line for people.
    """

    name: str
    shape: str = ""
    accepts: tuple[str, ...] = ()
    codec: Codec | None = field(default=None, compare=False)
    about: str = ""


@dataclass(frozen=True)
class _PathKind:
    kind: Literal["file", "folder"]


File = Annotated[str, _PathKind("file")]
"""A path of a file that the node reads: the cache keys it by content."""
Folder = Annotated[str, _PathKind("folder")]
"""A path of a folder that the node reads: the cache keys it by the content of all files below."""


class _BodyMarker:
    pass


class _PortsMarker:
    pass


class Unkeyed:
    """Marks a literal parameter that does not change what the node computes (workers, logging): no part of its key."""


Body = Annotated[T, _BodyMarker()]
"""`Body[P]`: the nodes drawn inside the zone, as a callable; the Protocol P's `__call__` names the inner ports."""
Ports = Annotated[Mapping[str, T], _PortsMarker()]
"""`Ports[T]`: wires that the user names; each name may carry its own type where T is a type variable."""


@dataclass(frozen=True)
class PortType:
    """The type of a port: a wire's name, a plain Python type's name, or a type variable."""

    name: str
    many: bool = False
    variable: bool = False
    wire: Wire | None = None
    base: type | None = None

    def __str__(self) -> str:
        return f"list of {self.name}" if self.many else self.name

    def element(self) -> PortType:
        return PortType(self.name, False, self.variable, self.wire, self.base)

    def listed(self) -> PortType:
        return PortType(self.name, True, self.variable, self.wire, self.base)

    def takes(self, source: PortType) -> bool:
        """Whether a value of type `source` may enter a port of this type (type variables are the solver's)."""
        if self.many != source.many:
            return self.name == "any"
        if self.name == source.name or self.name == "any":
            return True
        if self.name == "float" and source.name == "int":
            return True
        if self.variable:
            return self.base is None or (source.base is not None and issubclass(source.base, self.base))
        return self.wire is not None and source.name in self.wire.accepts


@dataclass(frozen=True)
class Port:
    """One input, output, inner port or result of a node."""

    name: str
    type: PortType
    required: bool = True
    named: bool = False  # Ports[T]: the user names the wires
    help: str = ""


class Param(NamedTuple):
    """A literal parameter: what pydantic validates and the canvas draws as a widget."""

    name: str
    adapter: TypeAdapter[Any]
    default: Any
    path_kind: str | None
    keyed: bool = True

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True)
class BodySpec:
    """The inside of a zone: the ports its nodes may read and the results they must give."""

    parameter: str
    ports: tuple[Port, ...]
    results: tuple[Port, ...]
    many: bool = False  # the callable returns a tuple-like of several results


class Shape(NamedTuple):
    """How a function's return value maps to ports: "one" value, a "tuple" (NamedTuple) or a "mapping" (Ports)."""

    form: Literal["none", "one", "tuple", "mapping"]
    build: Callable[..., Any] | None = None


@dataclass(frozen=True)
class NodeSpec:
    """Everything the engine and the canvas know of a node, read once from its function."""

    type: str
    function: Callable[..., Any]
    category: str
    version: int
    inputs: tuple[Port, ...]
    params: Mapping[str, Param]
    outputs: tuple[Port, ...]
    returns: Shape
    body: BodySpec | None
    body_returns: Shape | None
    injected: Mapping[str, str]
    summary: str
    documentation: str
    effect: bool
    mutates: tuple[str, ...]
    grad: tuple[str, ...]
    batched: tuple[str, ...]
    keep: bool
    trains: bool
    aside: bool
    continues: str | None

    @property
    def draws(self) -> bool:
        """Whether what the node computes depends on random numbers."""
        return "rng" in self.injected.values()

    @property
    def loops(self) -> bool:
        return "loop" in self.injected.values()

    @cached_property
    def input(self) -> dict[str, Port]:
        return {port.name: port for port in self.inputs}

    @cached_property
    def output(self) -> dict[str, Port]:
        return {port.name: port for port in self.outputs}

    @cached_property
    def takes_models(self) -> bool:
        """Whether a call may draw from torch's global generators through a module it is handed (dropout)."""
        return any(_is_module(port.type.base) for port in self.inputs)


def _is_module(base: type | None) -> bool:
    return base is not None and any(cls.__module__ == "torch.nn.modules.module" for cls in base.__mro__)


SEED = Annotated[int, Field(ge=0, le=2**63 - 1, description="another seed, another draw")]


def node(
    *,
    category: str,
    version: int = 1,
    effect: bool = False,
    mutates: tuple[str, ...] = (),
    grad: tuple[str, ...] = (),
    batched: tuple[str, ...] = (),
    keep: bool = False,
    trains: bool = False,
    aside: bool = False,
    continues: str | None = None,
) -> Callable[[F], F]:
    """Mark a function as a node.

    category: where the palette lists it. version: part of its cache key, raised when what it computes changes.
    effect: it saves or shows something, so it runs although nobody reads it, and is never cached. mutates: names of
    inputs it changes in place (the engine hands it copies where others read them). grad: names of inputs with respect to
    which it needs gradients, even where gradients are off. batched: names of inputs along whose first axis several
    calls may be joined into one. keep: results are worth the disk. trains: the body runs with gradients on. aside: it runs beside
    the turns of the zone around it and is no part of what the zone computes.
    continues: a parameter (a number of turns) whose growth continues from an earlier checkpoint.
    """

    def attach(function: F) -> F:
        spec = read_spec(
            function,
            category=category,
            version=version,
            effect=effect,
            mutates=mutates,
            grad=grad,
            batched=batched,
            keep=keep,
            trains=trains,
            aside=aside,
            continues=continues,
        )
        function.__node__ = spec  # type: ignore[attr-defined]
        return function

    return attach


def read_spec(function: Callable[..., Any], **declared: Any) -> NodeSpec:
    """Read a node's specification from its function. Raises ContractError where the signature cannot be understood."""
    name = function.__name__
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ContractError(f"node {name!r}: a node's name must match [a-z][a-z0-9_]*; rename the function")
    summary, documentation, helps = _read_docstring(function)
    hints = typing.get_type_hints(function, include_extras=True)
    inputs: list[Port] = []
    params: dict[str, Param] = {}
    injected: dict[str, str] = {}
    body: BodySpec | None = None
    body_returns: Shape | None = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ContractError(f"node {name!r}: *{parameter.name} is no port; take a list or Ports[...] instead")
        if parameter.name not in hints:
            raise ContractError(f"node {name!r}: annotate parameter {parameter.name!r}")
        hint = hints[parameter.name]
        where = f"node {name!r}, parameter {parameter.name!r}"
        if (kind := _injection(hint)) is not None:
            injected[parameter.name] = kind
            continue
        if _marked(hint, _BodyMarker):
            if body is not None:
                raise ContractError(f"{where}: a zone has one body")
            body, body_returns = _read_body(parameter.name, get_args(hint)[0], where)
            continue
        port, literal = _read_port(parameter.name, hint, where, helps.get(parameter.name, ""))
        if not literal:
            if parameter.default not in (inspect.Parameter.empty, None) and not port.named:
                raise ContractError(f"{where}: a wired port's default can only be None")
            inputs.append(_with_default(port, parameter.default is inspect.Parameter.empty))
            continue
        params[parameter.name] = _read_param(parameter.name, hint, parameter.default, where)
        inputs.append(_with_default(port, parameter.default is inspect.Parameter.empty))
    if "rng" in injected.values() and "seed" not in params:
        params["seed"] = Param("seed", TypeAdapter(SEED), 0, None)
        inputs.append(Port("seed", PortType("int", base=int), False, help="another seed, another draw"))
    outputs, returns = _read_returns(hints.get("return", type(None)), f"node {name!r}, return value")
    for group in ("mutates", "grad", "batched"):
        for wanted in declared[group]:
            if wanted not in {port.name for port in inputs}:
                raise ContractError(f"node {name!r}: {group} names {wanted!r}, which is no input of it")
    if declared["continues"] is not None and declared["continues"] not in params:
        raise ContractError(f"node {name!r}: continues names {declared['continues']!r}, which is no parameter of it")
    return NodeSpec(
        type=name,
        function=function,
        inputs=tuple(inputs),
        params=params,
        outputs=outputs,
        returns=returns,
        body=body,
        body_returns=body_returns,
        injected=injected,
        summary=summary,
        documentation=documentation,
        **declared,
    )


def _with_default(port: Port, required: bool) -> Port:
    return Port(port.name, port.type, required and port.required, port.named, port.help)


def _read_docstring(function: Callable[..., Any]) -> tuple[str, str, dict[str, str]]:
    """Split a docstring into its first line, the whole text, and the `name: help` lines of its parameters."""
    text = inspect.getdoc(function)
    if not text:
        raise ContractError(f"node {function.__name__!r}: write a docstring; it is the node's help")
    names = inspect.signature(function).parameters
    helps: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        start = re.match(r"(\w+): (.+)", line)
        if start and start[1] in names:
            current, helps[start[1]] = start[1], start[2]
        elif current and line.strip():
            helps[current] += " " + line.strip()
        else:
            current = ""
    return text.splitlines()[0].strip(), text, helps


def _marked(hint: Any, marker: type) -> bool:
    return get_origin(hint) is Annotated and any(isinstance(extra, marker) for extra in hint.__metadata__)


def _injection(hint: Any) -> str | None:
    """The kind of an injected context type: a class with `__inject__`, or `Annotated[..., Inject(kind)]`."""
    if get_origin(hint) is Annotated:
        kinds = [extra.kind for extra in hint.__metadata__ if isinstance(extra, Inject)]
        return kinds[0] if kinds else None
    return getattr(hint, "__inject__", None) if isinstance(hint, type) else None


@dataclass(frozen=True)
class Inject:
    """Marks an annotation as something the engine hands in, e.g. `Annotated[torch.device, Inject("device")]`."""

    kind: str


def _read_port(name: str, hint: Any, where: str, text: str) -> tuple[Port, bool]:
    """A port from an annotation, and whether it is a literal parameter (which may still be wired)."""
    hint, optional = _strip_optional(hint)
    if _marked(hint, _PortsMarker):
        element = get_args(get_args(hint)[0])[1]
        port_type, _ = _read_type(element, where)
        return Port(name, port_type, not optional, True, text), False
    port_type, literal = _read_type(hint, where)
    return Port(name, port_type, not optional, False, text), literal


def _strip_optional(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (typing.Union, types.UnionType):
        rest = [part for part in get_args(hint) if part is not type(None)]
        if len(rest) == 1 and len(rest) < len(get_args(hint)):
            return rest[0], True
    return hint, False


def _read_type(hint: Any, where: str) -> tuple[PortType, bool]:
    """The port type of an annotation, and whether it is a plain literal type."""
    if get_origin(hint) is Annotated:
        wires = [extra for extra in hint.__metadata__ if isinstance(extra, Wire)]
        if wires:
            return PortType(wires[0].name, wire=wires[0], base=_class_of(get_args(hint)[0])), False
        port_type, _ = _read_type(get_args(hint)[0], where)
        return port_type, True
    if isinstance(hint, TypeVar):
        return PortType(hint.__name__, variable=True, base=_class_of(hint.__bound__)), False
    if get_origin(hint) is list:
        element, literal = _read_type(get_args(hint)[0], where)
        return (PortType("list", base=list), True) if element.many else (element.listed(), literal)
    if get_origin(hint) is Literal:
        kinds = {type(choice) for choice in get_args(hint)}
        base = kinds.pop() if len(kinds) == 1 else str
        return PortType(base.__name__, base=base), True
    if hint is Any:
        return PortType("any"), False
    origin = get_origin(hint) or hint
    if isinstance(origin, type):
        return PortType(origin.__name__, base=origin), True
    if get_origin(hint) in (typing.Union, types.UnionType):
        return PortType("value"), True
    raise ContractError(f"{where}: {hint!r} is no port type; use a Wire, a literal type, Ports[...] or Body[...]")


def _class_of(hint: Any) -> type | None:
    origin = get_origin(hint) or hint
    return origin if isinstance(origin, type) else None


def _read_param(name: str, hint: Any, default: Any, where: str) -> Param:
    kinds = [extra.kind for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, _PathKind)]
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
    except PydanticSchemaGenerationError as error:
        raise ContractError(f"{where}: {hint!r} is neither a wire nor a literal type") from error
    keyed = not any(isinstance(extra, Unkeyed) for extra in getattr(hint, "__metadata__", ()))
    return Param(name, adapter, default, kinds[0] if kinds else None, keyed)


def _read_returns(hint: Any, where: str) -> tuple[tuple[Port, ...], Shape]:
    if hint is type(None) or hint is None:
        return (), Shape("none")
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        hints = typing.get_type_hints(hint, include_extras=True)
        ports = tuple(_read_port(name, hints[name], where, "")[0] for name in hint._fields)
        return ports, Shape("tuple", hint)
    if _marked(hint, _PortsMarker):
        port, _ = _read_port("", hint, where, "")
        return (port,), Shape("mapping")
    port, _ = _read_port("", hint, where, "")
    name = port.type.wire.name if port.type.wire is not None else "value"
    if port.type.many:
        name += "s"
    return (Port(name, port.type, port.required, False, ""),), Shape("one")


def _read_body(parameter: str, protocol: Any, where: str) -> tuple[BodySpec, Shape]:
    call = protocol.__call__
    hints = typing.get_type_hints(call, include_extras=True)
    names = [name for name in inspect.signature(call).parameters if name != "self"]
    ports = tuple(_read_port(name, hints[name], where, "")[0] for name in names)
    results, returns = _read_returns(hints.get("return", type(None)), f"{where}, result")
    return BodySpec(parameter, ports, results), returns
