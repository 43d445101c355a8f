"""What the engine and the canvas know of a node, as data: its ports, their types, its literals, its body.

`graph_runner.contract` reads all of it from a function's signature; nothing here is written by hand.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from pydantic import TypeAdapter

from graph_runner.base.contents import Reads
from graph_runner.contract.broadcast import NamesIn, NumberOrTensor, is_tensor
from graph_runner.contract.markers import Begins, Lighter, Neutral
from graph_runner.contract.models import is_module, keepable

if TYPE_CHECKING:
    from PIL.Image import Image

Saves = Callable[[Mapping[str, Any]], Iterable[str]]
"""The paths that a node writes below the workspace, from its arguments: literals, and of named wires {name: None}."""


Draws = Callable[[Mapping[str, Any]], bool]
"""Whether a node draws random numbers, by its literals. Where it asks for one that is wired (KeyError), it is taken to."""


class Codec(Protocol):
    """How the disk keeps the values of one wire type: as a tree of tensors and JSON values, and back."""

    def save(self, value: Any) -> Any:
        """The value as nested dicts and lists of tensors and JSON values."""
        ...

    def load(self, tree: Any) -> Any:
        """The value that `save` took apart."""
        ...


@dataclass(frozen=True)
class Wire:
    """A nominal wire type: what is on the wire keeps its plain Python type; the graph sees a name and a shape.

    name: the nominal type, e.g. "latent". shape: symbolic, einops style ("b c h w"); empty when it has none.
    accepts: names of other wire types that a port of this type also takes. codec: how the disk keeps a value
    (tensors, plain JSON values and modules need none). about: one line for people. adopt: the value that stands for what a program
    holds instead, such as a picture of Pillow; None for what it does not know, ValueError for what cannot be one. draw: the value as
    a picture of Pillow, for people to look at.
    """

    name: str
    shape: str = ""
    accepts: tuple[str, ...] = ()
    codec: Codec | None = field(default=None, compare=False)
    about: str = ""
    adopt: Callable[[Any], Any] | None = field(default=None, compare=False)
    draw: Callable[[Any], Image] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class PortType:
    """The type of a port: a wire's name, a plain Python type's name, or a type variable; one value of it, or lists.

    many: how many lists deep: 0 for one value, 1 for a list, 2 for a list of lists. either: one value will do where the
    list is taken. plain: what the values of a nominal type are in plain Python, where a literal parameter could hold them.
    """

    name: str
    many: int = 0
    variable: bool = False
    wire: Wire | None = None
    base: type | None = None
    either: bool = False
    plain: PortType | None = field(default=None, compare=False)

    def __str__(self) -> str:
        name = self.name if not self.variable else self.base.__name__ if self.base is not None else "anything"
        lists = "list of " * self.many + name
        return f"{self.one()} or {lists}" if self.either else lists

    @property
    def broadcasts(self) -> bool:
        """Whether it is a variable whose ports may each carry another kind of tensor, or number."""
        return self.variable and (self.base is NumberOrTensor or is_tensor(self.base))

    @property
    def self_contained(self) -> bool:
        """Whether a value of this type holds all that it is: a tensor, a plain value, or one that the disk can keep."""
        if self.wire is not None and self.wire.codec is not None:
            return True
        if is_module(self.base) or self.broadcasts:
            return True
        plain = self.base is not None and self.base.__module__ in ("builtins", "torch")
        return not self.variable and plain

    @property
    def storable(self) -> bool:
        """Whether the disk can keep such a value, as far as is known before there is one."""
        if self.base is not None and is_module(self.base) and (self.wire is None or self.wire.codec is None):
            return keepable(self.base)
        return self.self_contained or self.variable or self.base is None

    def element(self) -> PortType:
        """What a list of this type holds."""
        return replace(self, many=max(self.many - 1, 0), either=False)

    def listed(self, times: int = 1) -> PortType:
        """A list of this type; of lists of it, `times` deep."""
        return replace(self, many=self.many + times, either=False)

    def one(self) -> PortType:
        """What such a port takes instead of a list, where it takes either."""
        return self.element() if self.either else self

    def takes(self, source: PortType) -> bool:
        """Whether a value of type `source` may enter a port of this type (type variables are the solver's)."""
        if self.either and self.one().takes(source):
            return True
        if self.name == "any":  # what may be anything may be a list
            return source.many >= self.many or source.name == "any"
        if source.name == "any":
            return self.many >= source.many
        if self.many == source.many and self._takes_kind(source):
            return True
        plain = source.plain if self.wire is None and not self.variable else None
        return plain is not None and self.takes(plain.listed(source.many))

    def _takes_kind(self, source: PortType) -> bool:
        if self.variable:
            return self.base is None or (source.base is not None and issubclass(source.base, self.base))
        if self.name == source.name or (self.name == "float" and source.name == "int"):
            return True
        return self.wire is not None and source.name in self.wire.accepts


ANY = PortType("any")
"""What may be anything: it fits everywhere, and everything fits it."""


@dataclass(frozen=True)
class Port:
    """One input, output, inner port or result of a node."""

    name: str
    type: PortType
    required: bool = True
    named: bool = False  # Ports[T]: the user names the wires
    help: str = ""
    formerly: tuple[str, ...] = ()
    axes: str = ""  # a symbolic shape whose letters the node's ports share
    names_in: NamesIn | None = None  # where the names of its wires stand, if the user does not make them up

    @property
    def first_name(self) -> str:
        """The name the port was first published under: keys go by it."""
        return self.formerly[0] if self.formerly else self.name


def current_names(ports: Iterable[Port]) -> dict[str, str]:
    """The present name of each port for every name that it had."""
    return {former: port.name for port in ports for former in port.formerly}


def first_names(ports: Iterable[Port]) -> dict[str, str]:
    """The first name of each port that has another by now."""
    return {port.name: port.first_name for port in ports if port.formerly}


class Param(NamedTuple):
    """A literal parameter: what pydantic validates and the canvas draws as a widget."""

    name: str
    adapter: TypeAdapter[Any]
    default: Any
    path_kind: str | None
    keyed: bool = True
    reads: Reads | None = None  # which files a node reads of what lies at its path; None for all
    neutral: Neutral | None = None
    lighter: Lighter | None = None
    stored: bool = False  # it says what weights are kept in
    begins: Begins | None = None

    @property
    def required(self) -> bool:
        """Whether a value must be typed in or wired."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True)
class BodySpec:
    """The inside of a zone: the ports its nodes may read and the results they must give."""

    parameter: str
    ports: tuple[Port, ...]
    results: tuple[Port, ...]
    many: bool = False  # the callable returns a tuple-like of several results

    @cached_property
    def first_ports(self) -> dict[str, str]:
        """First names of inner ports that were renamed."""
        return first_names(self.ports)

    @cached_property
    def first_results(self) -> dict[str, str]:
        """First names of results that were renamed."""
        return first_names(self.results)


class ReturnForm(NamedTuple):
    """How a function's return value maps to ports: "one" value, a "tuple" (NamedTuple) or a "mapping" (Ports)."""

    form: Literal["none", "one", "tuple", "mapping"]
    build: Callable[..., Any] | None = None


@dataclass(frozen=True)
class NodeSpec:
    """Everything the engine and the canvas know of a node, read once from its function.

    aside: of a zone that runs every n steps of the one around it (a callback), the parameter that n is; else "". independent: no
    iteration depends on another. lazy: inputs that are not always read, and whether they are. conditional: of a zone whose body may not run at all, the input that says so; else "". continues_from: the parameter that names a checkpoint to begin at; else "". whole: of a zone whose body is done whole each time, its constants too.
    """

    type: str
    function: Callable[..., Any]
    category: str
    version: int
    inputs: tuple[Port, ...]
    params: Mapping[str, Param]
    outputs: tuple[Port, ...]
    returns: ReturnForm
    body: BodySpec | None
    body_returns: ReturnForm | None
    injected: Mapping[str, str]
    summary: str
    documentation: str
    effect: bool
    mutates: tuple[str, ...]
    grad: tuple[str, ...]
    batched: tuple[str, ...]
    keep: bool
    trains: bool
    aside: str
    continues: str | None
    independent: bool
    dry: Callable[..., Any] | None
    saves: Saves | None = None
    lighter: str = ""
    words: tuple[str, ...] = ()
    formerly: tuple[str, ...] = ()
    continues_from: str = ""
    conditional: str = ""
    whole: bool = False
    lazy: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    draws_when: Draws | None = None
    fleeting: bool = False  # what it gives is known in this run alone: nothing that is made of it is stored

    @property
    def first_name(self) -> str:
        """The name the node was first published under: seeds and keys go by it, so that a new name changes neither."""
        return self.formerly[0] if self.formerly else self.type

    @property
    def draws(self) -> bool:
        """Whether what the node computes depends on random numbers."""
        return "rng" in self.injected.values()

    def draws_with(self, literals: Mapping[str, Any]) -> bool:
        """The same with these literals: a solver of no noise draws nothing, though its node could."""
        if not self.draws or self.draws_when is None:
            return self.draws
        try:
            return self.draws_when(literals)
        except KeyError:
            return True

    @property
    def loops(self) -> bool:
        """Whether the node goes round: a zone with steps or iterations."""
        return "loop" in self.injected.values()

    @cached_property
    def lazy_names(self) -> dict[str, tuple[str, ...]]:
        """By each input that is not always read, the other inputs that say whether it is."""
        return {port: tuple(inspect.signature(asks).parameters) for port, asks in self.lazy.items()}

    @property
    def decides(self) -> bool:
        """Whether it is a callback by which the zone around it may compute something else."""
        return bool(self.aside) and "watch" in self.injected.values()

    @cached_property
    def seeded(self) -> bool:
        """Whether the function itself takes the seed that every node that draws has."""
        return "seed" in inspect.signature(self.function).parameters

    @cached_property
    def path_kinds(self) -> dict[str, str]:
        """The parameters that take the path of a file or folder, and which of these."""
        return {name: param.path_kind for name, param in self.params.items() if param.path_kind}

    def wired_paths(self, wired: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        """Those of them that are wired, and which they take."""
        return tuple((port, kind) for port, kind in self.path_kinds.items() if port in wired)

    @cached_property
    def input(self) -> dict[str, Port]:
        """The inputs by name."""
        return {port.name: port for port in self.inputs}

    @cached_property
    def first_inputs(self) -> dict[str, str]:
        """First names of inputs that were renamed."""
        return first_names(self.inputs)

    @cached_property
    def first_outputs(self) -> dict[str, str]:
        """First names of outputs that were renamed."""
        return first_names(self.outputs)

    def stored(self, slot: tuple[str, str]) -> tuple[str, str]:
        """An output's slot under its first name, as caches hold it."""
        return self.first_outputs.get(slot[0], slot[0]), slot[1]

    @cached_property
    def renamed(self) -> bool:
        """Whether the node or any of its ports had another name before."""
        body = (*self.body.ports, *self.body.results) if self.body is not None else ()
        return bool(self.formerly) or any(port.formerly for port in (*self.inputs, *self.outputs, *body))

    @cached_property
    def output(self) -> dict[str, Port]:
        """The outputs by name."""
        return {port.name: port for port in self.outputs}

    @cached_property
    def takes_models(self) -> bool:
        """Whether a call may draw from torch's global generators through a module it is handed (dropout)."""
        return any(is_module(port.type.base) for port in self.inputs)
