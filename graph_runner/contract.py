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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypeVar, get_args, get_origin

from pydantic import AfterValidator, Field, PydanticSchemaGenerationError, TypeAdapter

from graph_runner.contents import Reads
from graph_runner.models import is_module
from graph_runner.names import safe_name
from graph_runner.spec import ANY, BodySpec, Codec, NodeSpec, Param, Port, PortType, Saves, Shape, Wire

__all__ = [
    "Body",
    "Codec",
    "ContractError",
    "Field",
    "File",
    "Folder",
    "Inject",
    "Joinable",
    "Name",
    "NodeSpec",
    "Param",
    "PathTo",
    "Port",
    "PortType",
    "Ports",
    "Seed",
    "Unkeyed",
    "Wire",
    "node",
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


NAME = r"[a-z][a-z0-9_]*"


class ContractError(TypeError):
    """A function cannot be a node as it is written; the message names the function, the parameter and the remedy."""


class Joinable(Protocol):
    """A value, other than a tensor, that a `batched` input may carry: how several calls' values become one call's.

    Calls are joined only where both methods succeed; a ValueError says that these values do not fit together, and the
    calls are then made one by one.
    """

    @staticmethod
    def cat(values: Sequence[Any]) -> Any:
        """One value of all rows, in order along the first axis."""
        ...

    def expand(self, n: int) -> Any:
        """The value for a batch of n rows: itself, or its one row repeated."""
        ...


@dataclass(frozen=True)
class PathTo:
    """Marks a `str` as the path of what the node reads, and says which files these are: they are a part of its key.

    reads: given the path, the files that the node reads by the names it knows them under. It must be the function that the
    node's loader itself goes by, so that the two cannot disagree. Left out, all files at or below the path count.
    """

    kind: Literal["file", "folder", "file or folder"]
    reads: Reads | None = None


Name = Annotated[str, AfterValidator(safe_name)]
"""A name to save under, with slashes for folders: one that means the same file on every system."""
File = Annotated[str, PathTo("file")]
"""A path of a file that the node reads: the cache keys it by content."""
FileOrFolder = Annotated[str, PathTo("file or folder")]
"""A path of a file or a folder that the node reads: the cache keys it by the content of all files below."""
Folder = Annotated[str, PathTo("folder")]
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


LARGEST_SEED = 2**64 - 1
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED, description="another seed, another draw")]
"""A literal seed. Every node that draws has one; whoever makes random things without an `Rng` takes it by this name."""


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
    dry: Callable[..., Any] | None = None,
    saves: Saves | None = None,
    formerly: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Mark a function as a node.

    category: where the palette lists it. version: part of its cache key, raised when what it computes changes.
    effect: it saves or shows something, so it runs although nobody reads it, and is never cached. mutates: names of
    inputs it changes in place (the engine hands it copies where others read them). grad: names of inputs with respect to
    which it needs gradients, even where gradients are off. batched: names of inputs along whose first axis several
    calls may be joined into one (their values are tensors or Joinable, their results tensors with one row for each).
    keep: results are worth the disk. trains: the body runs with gradients on. aside: it runs beside the turns of the
    zone around it and is no part of what the zone computes. continues: a parameter (a number of turns) whose growth
    continues from an earlier checkpoint. dry: what stands in for the function in a dry run, where it goes through much by
    itself: it takes the same, does a part, and reports how large a part by its progress. formerly: names the node had
    before, the first published one first; files that use them open, and what it draws and what is cached stay as they were.
    saves: what it writes through its `Saving`, from its literals and the names of its wires, so that two nodes of one graph
    do not save under one name.
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
            dry=dry,
            saves=saves,
            formerly=formerly,
        )
        function.__node__ = spec  # type: ignore[attr-defined]
        return function

    return attach


def read_spec(function: Callable[..., Any], **declared: Any) -> NodeSpec:
    """Read a node's specification from its function. Raises ContractError where the signature cannot be understood."""
    name = function.__name__
    if not re.fullmatch(NAME, name):
        raise ContractError(f"node {name!r}: a node's name must match [a-z][a-z0-9_]*; rename the function")
    summary, documentation, helps = _read_docstring(function)
    hints = _hints_of(function, f"node {name!r}")
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
        default = parameter.default
        if default is inspect.Parameter.empty and not port.required:
            default = None  # `x: int | None` may be left out
        params[parameter.name] = _read_param(parameter.name, hint, default, where)
        inputs.append(_with_default(port, default is inspect.Parameter.empty))
    if "rng" in injected.values() and "seed" not in params:
        params["seed"] = Param("seed", TypeAdapter(Seed), 0, None)
        inputs.append(Port("seed", PortType("int", base=int), False, help="another seed, another draw"))
    for former in declared.get("formerly", ()):
        if former == name or not re.fullmatch(NAME, former):
            raise ContractError(
                f"node {name!r}: formerly names {former!r}, which is no other name that a node can have"
            )
    outputs, returns = _read_returns(hints.get("return", type(None)), f"node {name!r}, return value")
    if declared["aside"] and outputs:
        raise ContractError(f"node {name!r}: what runs beside the turns gives nothing that others read; return None")
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


def _hints_of(function: Any, where: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ContractError(
            f"{where}: {error}; import it where annotations are read, not under TYPE_CHECKING"
        ) from error


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
        if _holds_paths(element):
            raise ContractError(f"{where}: {PATH_BY_ITSELF}")
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
        port_type, _ = _read_type(_strip_optional(get_args(hint)[0])[0], where)
        return port_type, True
    if isinstance(hint, TypeVar):
        return PortType(hint.__name__, variable=True, base=_class_of(hint.__bound__)), False
    if get_origin(hint) is list:
        element, literal = _read_type(get_args(hint)[0], where)
        return (PortType("list", base=list), True) if element.many else (element.listed(), literal)
    if get_origin(hint) is Literal:
        kinds = {type(choice) for choice in get_args(hint)}
        base = kinds.pop()
        return ANY if kinds else PortType(base.__name__, base=base), True
    if hint is Any:
        return ANY, False
    if get_origin(hint) in (typing.Union, types.UnionType):
        return ANY, True
    origin = get_origin(hint) or hint
    if isinstance(origin, type):
        return PortType(origin.__name__, base=origin), True
    raise ContractError(f"{where}: {hint!r} is no port type; use a Wire, a literal type, Ports[...] or Body[...]")


def _class_of(hint: Any) -> type | None:
    if get_origin(hint) in (typing.Union, types.UnionType):
        bases = [_class_of(part) for part in get_args(hint)]
        if bases[0] is not None and all(map(is_module, bases)):  # several modules are: a module
            return next(cls for cls in bases[0].__mro__ if cls.__module__ == "torch.nn.modules.module")
    origin = get_origin(hint) or hint
    return origin if isinstance(origin, type) else None


def _read_param(name: str, hint: Any, default: Any, where: str) -> Param:
    extras = getattr(_strip_optional(hint)[0], "__metadata__", ())
    paths = [extra for extra in extras if isinstance(extra, PathTo)]
    if not paths and _holds_paths(hint):
        raise ContractError(f"{where}: {PATH_BY_ITSELF}")
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
    except PydanticSchemaGenerationError as error:
        raise ContractError(f"{where}: {hint!r} is neither a wire nor a literal type") from error
    keyed = not any(isinstance(extra, Unkeyed) for extra in extras)
    # Of several, as where a node narrows `Folder`, the last is meant.
    return Param(name, adapter, default, *(paths[-1].kind, keyed, paths[-1].reads) if paths else (None, keyed))


PATH_BY_ITSELF = (
    "a path inside of another type is not seen as one; take a path by itself, of a folder where it is about many files"
)


def _holds_paths(hint: Any) -> bool:
    return _marked(hint, PathTo) or any(_holds_paths(part) for part in get_args(hint))


def _read_returns(hint: Any, where: str) -> tuple[tuple[Port, ...], Shape]:
    if hint is type(None) or hint is None:
        return (), Shape("none")
    made = get_origin(hint) or hint  # a NamedTuple may be generic: Trained[M]
    if isinstance(made, type) and issubclass(made, tuple) and hasattr(made, "_fields"):
        hint = made
        hints = _hints_of(hint, where)
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
    call = protocol.__dict__.get("__call__") if isinstance(protocol, type) else None
    if call is None:
        raise ContractError(f"{where}: Body[...] takes a Protocol with a __call__ that names the inner ports")
    hints = _hints_of(call, where)
    names = [name for name in inspect.signature(call).parameters if name != "self"]
    if unknown := [name for name in names if name not in hints]:
        raise ContractError(f"{where}: annotate the inner port {unknown[0]!r}")
    ports = tuple(_read_port(name, hints[name], where, "")[0] for name in names)
    results, returns = _read_returns(hints.get("return", type(None)), f"{where}, result")
    return BodySpec(parameter, ports, results), returns
