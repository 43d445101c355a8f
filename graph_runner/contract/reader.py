"""Reads a node's specification from its function: signature, annotations, docstring."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import PydanticSchemaGenerationError, TypeAdapter

from graph_runner.contract import docstring
from graph_runner.contract.markers import NAME, BodyMarker, ContractError, Inject, PathTo, PortsMarker, Seed, Unkeyed
from graph_runner.contract.spec import ANY, BodySpec, NodeSpec, Param, Port, PortType, Shape, Wire


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
        if _marked(hint, BodyMarker):
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
    parts = docstring.read(text, inspect.signature(function).parameters)
    return parts.summary, text, parts.help


def _marked(hint: Any, marker: type) -> bool:
    return get_origin(hint) is Annotated and any(isinstance(extra, marker) for extra in hint.__metadata__)


def _injection(hint: Any) -> str | None:
    """The kind of an injected context type: a class with `__inject__`, or `Annotated[..., Inject(kind)]`."""
    if get_origin(hint) is Annotated:
        kinds = [extra.kind for extra in hint.__metadata__ if isinstance(extra, Inject)]
        return kinds[0] if kinds else None
    return getattr(hint, "__inject__", None) if isinstance(hint, type) else None


def _read_port(name: str, hint: Any, where: str, text: str) -> tuple[Port, bool]:
    """A port from an annotation, and whether it is a literal parameter (which may still be wired)."""
    hint, optional = _strip_optional(hint)
    if _marked(hint, PortsMarker):
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
    if _marked(hint, PortsMarker):
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
