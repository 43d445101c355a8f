"""Reads a node's specification from its function: signature, annotations, docstring."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import PydanticSchemaGenerationError, TypeAdapter

from graph_runner.contract import docstring
from graph_runner.contract.broadcast import NamesIn
from graph_runner.contract.markers import (
    NAME,
    Axes,
    Begins,
    BodyMarker,
    ContractError,
    Formerly,
    Inject,
    Lighter,
    Neutral,
    PathTo,
    PortsMarker,
    Seed,
    StoredAs,
    Unkeyed,
)
from graph_runner.contract.models import is_module
from graph_runner.contract.spec import ANY, BodySpec, NodeSpec, Param, Port, PortType, ReturnForm, Wire


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
    body_returns: ReturnForm | None = None
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
    for port in inputs:
        if port.names_in is not None and port.names_in.parameter not in params:
            raise ContractError(
                f"node {name!r}: {port.name!r} takes its names from {port.names_in.parameter!r}, which is no parameter"
            )
    for former in declared.get("formerly", ()):
        if former == name or not re.fullmatch(NAME, former):
            raise ContractError(
                f"node {name!r}: formerly names {former!r}, which is no other name that a node can have"
            )
    outputs, returns = _read_returns(hints.get("return", type(None)), f"node {name!r}, return value")
    inside = () if body is None else (body.ports, body.results)
    for ports in (inputs, outputs, *inside):
        _refuse_twins(ports, f"node {name!r}")
    if (aside := declared["aside"]) not in ("", False):
        _check_aside(name, aside, params, {port.name: port.type for port in inputs})
        if outputs:
            raise ContractError(f"node {name!r}: what runs every n steps gives nothing that others read; return None")
    if "watch" in injected.values() and not aside:
        raise ContractError(f"node {name!r}: a Watch tells the loop around a callback; say how often it runs (aside=…)")
    for group in ("mutates", "grad", "batched"):
        for wanted in declared[group]:
            if wanted not in {port.name for port in inputs}:
                raise ContractError(f"node {name!r}: {group} names {wanted!r}, which is no input of it")
    if declared["continues"] is not None and declared["continues"] not in params:
        raise ContractError(f"node {name!r}: continues names {declared['continues']!r}, which is no parameter of it")
    if (origin := declared["continues_from"]) and (origin not in params or params[origin].path_kind is None):
        raise ContractError(f"node {name!r}: continues_from names {origin!r}, which is no Checkpoint that it takes")
    if (condition := declared["conditional"]) and (body is None or condition not in {port.name for port in inputs}):
        raise ContractError(
            f"node {name!r}: conditional names {condition!r}; name the input of a zone that says whether its body runs"
        )
    _check_lazy(name, declared["lazy"], {port.name: port for port in inputs}, params)
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


def _check_aside(name: str, aside: Any, params: dict[str, Param], types: dict[str, PortType]) -> None:
    """A zone that runs every n steps says which of its parameters n is."""
    whole = [each for each in params if types[each].base is int and not types[each].many and each != "seed"]
    if aside is True or aside not in whole:
        wrong = "aside=True does not say how often it runs" if aside is True else f"aside names {aside!r}"
        wrong += "" if aside is True else ", which is no parameter of it that takes a whole number"
        remedy = f'aside="{whole[0]}"' if whole else 'steps: Annotated[int, Field(ge=1)] = 1 and aside="steps"'
        raise ContractError(f"node {name!r}: {wrong}; name the number of steps from one run to the next: {remedy}")


def _check_lazy(name: str, lazy: Mapping[str, Any], inputs: dict[str, Port], params: dict[str, Param]) -> None:
    """Parameters of the node, typed in or wired, say whether an input is read."""
    for port, asks in lazy.items():
        if port not in inputs or port in params:
            raise ContractError(f"node {name!r}: lazy names {port!r}, which is no wired input of it")
        if others := [each for each in inspect.signature(asks).parameters if each not in params]:
            raise ContractError(f"node {name!r}: whether {port!r} is read goes by {others[0]!r}, which is no parameter")


def _hints_of(function: Any, where: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ContractError(
            f"{where}: {error}; import it where annotations are read, not under TYPE_CHECKING"
        ) from error


def _with_default(port: Port, required: bool) -> Port:
    return replace(port, required=required and port.required)


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
    hint, optional, formerly, axes = _peeled(name, hint, where)
    if _marked(hint, PortsMarker):
        element = get_args(get_args(hint)[0])[1]
        if _holds_paths(element):
            raise ContractError(f"{where}: {PATH_BY_ITSELF}")
        port_type, _ = _read_type(element, where)
        names_in = next((extra for extra in hint.__metadata__ if isinstance(extra, NamesIn)), None)
        return Port(name, port_type, not optional, True, text, formerly, axes, names_in), False
    port_type, literal = _read_type(hint, where)
    return Port(name, port_type, not optional, False, text, formerly, axes), literal


def _peeled(name: str, hint: Any, where: str) -> tuple[Any, bool, tuple[str, ...], str]:
    """An annotation without its `| None`, whether there was one, the names that the port had before, and its axes."""
    hint, optional = _strip_optional(hint)
    if get_origin(hint) is not Annotated:
        return hint, optional, (), ""
    formerly = tuple(old for extra in hint.__metadata__ if isinstance(extra, Formerly) for old in extra.names)
    for old in formerly:
        if old == name or not re.fullmatch(NAME, old):
            raise ContractError(f"{where}: Formerly names {old!r}, which is no other name that a port can have")
    axes = next((extra.shape for extra in hint.__metadata__ if isinstance(extra, Axes)), "")
    inner, inside = _strip_optional(get_args(hint)[0])
    return Annotated[inner, *hint.__metadata__] if inside else hint, optional or inside, formerly, axes


def _refuse_twins(ports: Iterable[Port], where: str) -> None:
    """Each name, former or present, is one port's."""
    taken: dict[str, str] = {}
    for port in ports:
        for name in (port.name, *port.formerly):
            if (other := taken.setdefault(name, port.name)) != port.name:
                message = f"{port.name!r} and {other!r} are, or were, both called {name!r}; rename one"
                raise ContractError(f"{where}: {message}")


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
            return _nominal(wires[0], get_args(hint)[0]), False
        return _read_type(_strip_optional(get_args(hint)[0])[0], where)
    if isinstance(hint, TypeVar):
        return PortType(hint.__name__, variable=True, base=_class_of(hint.__bound__)), False
    if (get_origin(hint) or hint) in (list, tuple):  # JSON has one kind of them
        return _read_list(hint, where)
    if get_origin(hint) is Literal:
        kinds = {type(choice) for choice in get_args(hint)}
        base = kinds.pop()
        return ANY if kinds else PortType(base.__name__, base=base), True
    if hint is Any:
        return ANY, False
    if get_origin(hint) in (typing.Union, types.UnionType):
        options = [_read_type(option, where) for option in get_args(hint)]
        (last, literal), first = options[-1], options[0][0]
        if len(options) == 2 and last == first.listed():  # `Image | list[Image]`
            return replace(last, either=True), literal
        return ANY, True
    origin = get_origin(hint) or hint
    if isinstance(origin, type):
        return PortType(origin.__name__, base=origin), True
    raise ContractError(f"{where}: {hint!r} is no port type; use a Wire, a literal type, Ports[...] or Body[...]")


def _nominal(wire: Wire, hint: Any) -> PortType:
    """A wire's type, with the plain type of its values where they are numbers, texts or lists of them."""
    base = _class_of(hint)
    plain = _read_type(hint, wire.name)[0] if base in (int, float, bool, str, list) else None
    return PortType(wire.name, wire=wire, base=base, plain=plain)


def _read_list(hint: Any, where: str) -> tuple[PortType, bool]:
    """A list, or a tuple: of what its items share."""
    items = [_read_type(item, where) for item in get_args(hint) if item is not ...]
    kinds = {kind for kind, _ in items}
    literal = all(literal for _, literal in items)
    return (kinds.pop() if len(kinds) == 1 else ANY).listed(), literal


def _class_of(hint: Any) -> type | None:
    if get_origin(hint) in (typing.Union, types.UnionType):
        bases = [_class_of(part) for part in get_args(hint)]
        if bases[0] is not None and all(map(is_module, bases)):  # several modules are: a module
            return next(cls for cls in bases[0].__mro__ if cls.__module__ == "torch.nn.modules.module")
        return None  # of several classes no one says what a value is
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
    neutral = next((extra for extra in extras if isinstance(extra, Neutral)), None)
    # Of several paths, as where a node narrows `Folder`, the last is meant.
    kind, reads = (paths[-1].kind, paths[-1].reads) if paths else (None, None)
    lighter = next((extra for extra in extras if isinstance(extra, Lighter)), None)
    begins = next((extra for extra in extras if isinstance(extra, Begins)), None)
    stored = any(isinstance(extra, StoredAs) for extra in extras)
    return Param(name, adapter, default, kind, keyed, reads, neutral, lighter, stored, begins)


PATH_BY_ITSELF = (
    "a path inside of another type is not seen as one; take a path by itself, of a folder where it is about many files"
)


def _holds_paths(hint: Any) -> bool:
    return _marked(hint, PathTo) or any(_holds_paths(part) for part in get_args(hint))


def _read_returns(hint: Any, where: str) -> tuple[tuple[Port, ...], ReturnForm]:
    if hint is type(None) or hint is None:
        return (), ReturnForm("none")
    made = get_origin(hint) or hint  # a NamedTuple may be generic: Trained[M]
    if isinstance(made, type) and issubclass(made, tuple) and hasattr(made, "_fields"):
        hint = made
        hints = _hints_of(hint, where)
        ports = tuple(_read_port(name, hints[name], where, "")[0] for name in hint._fields)
        return ports, ReturnForm("tuple", hint)
    if _marked(hint, PortsMarker):
        port, _ = _read_port("", hint, where, "")
        return (port,), ReturnForm("mapping")
    port, _ = _read_port("", hint, where, "")
    name = port.type.wire.name if port.type.wire is not None else "value"
    if port.type.many == 1:
        name += "s"
    return (Port(name, port.type, port.required, False, ""),), ReturnForm("one")


def _read_body(parameter: str, protocol: Any, where: str) -> tuple[BodySpec, ReturnForm]:
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
