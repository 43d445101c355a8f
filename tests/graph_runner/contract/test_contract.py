"""The contract: a specification from a signature, and clear refusals of what cannot be a node."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypeVar

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from graph_runner.catalog.describe import describe, describe_all
from graph_runner.context import Device, Loop, Rng, Watch
from graph_runner.contract import (
    Body,
    ContractError,
    Field,
    File,
    Folder,
    NodeSpec,
    Ports,
    PortType,
    Unkeyed,
    Wire,
    node,
)
from graph_runner.contract.registry import Registry
from graph_runner.contract.spec import ANY
from tests.graph_runner.conftest import TOYS

Latent = Annotated[Tensor, Wire("latent", "b c h w", about="a compressed image")]
Picture = Annotated[Tensor, Wire("picture", "b c h w", accepts=("latent",))]
T = TypeVar("T")
M = TypeVar("M", bound=torch.nn.Module)


class Pair(NamedTuple):
    mean: Latent
    rest: Ports[T]


class Inner(Protocol):
    def __call__(self, z: Latent, turn: int, state: Ports[T]) -> Pair: ...


@node(category="test", version=3, mutates=("z",), keep=True)
def everything(
    z: Latent,
    many: list[Latent],
    named: Ports[list[T]],
    body: Body[Inner],
    loop: Loop,
    rng: Rng,
    device: Device,
    model: M,
    optional: Latent | None = None,
    scale: Annotated[float, Field(ge=0, le=30)] = 7.5,
    kind: Literal["a", "b"] = "a",
    shape: tuple[int, ...] = (1, 2),
    sizes: list[int] | None = None,
    path: File = "",
    folder: Folder = "",
    workers: Annotated[int, Unkeyed()] = 0,
    anything: int | str = 0,
    *,
    must: int | None,
) -> Pair:
    """All kinds of parameters in one.

    A paragraph that belongs to none of them.

    scale: how far, said
        over two lines.
    kind: which.

    note: this is no parameter, and this line no help.
    """
    raise NotImplementedError


SPEC: NodeSpec = everything.__node__  # type: ignore[attr-defined]


def test_the_function_stays_what_it_is() -> None:
    @node(category="test")
    def double(x: float) -> float:
        """Twice x."""
        return 2 * x

    assert double(4) == 8


def test_every_kind_of_port_is_read_from_the_signature() -> None:
    kinds = {port.name: port for port in SPEC.inputs}
    assert str(kinds["z"].type) == "latent"
    assert kinds["z"].required
    assert kinds["many"].type == kinds["z"].type.listed()
    assert kinds["named"].named
    assert kinds["named"].type == PortType("T", many=True, variable=True)
    assert kinds["model"].type.base is torch.nn.Module
    assert not kinds["optional"].required
    assert kinds["anything"].type == ANY
    assert kinds["sizes"].type == PortType("int", many=True, base=int)
    assert SPEC.injected == {"loop": "loop", "rng": "rng", "device": "device"}
    assert not {"loop", "rng", "device", "body"} & set(kinds), "what the engine hands in is no port"
    assert set(SPEC.params) == {
        *("scale", "kind", "shape", "sizes", "path", "folder", "workers", "anything", "must", "seed"),
    }
    assert (SPEC.params["path"].path_kind, SPEC.params["folder"].path_kind) == ("file", "folder")
    assert not SPEC.params["workers"].keyed
    assert SPEC.params["must"].default is None, "an optional literal without a default may be left out"
    assert (SPEC.version, SPEC.keep, SPEC.loops, SPEC.draws) == (3, True, True, True)


def test_outputs_of_a_named_tuple_and_the_inside_of_a_zone() -> None:
    assert [(port.name, port.named) for port in SPEC.outputs] == [("mean", False), ("rest", True)]
    assert SPEC.body is not None
    assert [(port.name, port.type.name) for port in SPEC.body.ports] == [
        ("z", "latent"),
        ("turn", "int"),
        ("state", "T"),
    ]
    assert [port.name for port in SPEC.body.results] == ["mean", "rest"]


def test_a_single_output_is_named_by_its_wire_type() -> None:
    @node(category="test")
    def plain() -> int:
        """A plain value."""
        return 1

    @node(category="test")
    def listed() -> list[Latent]:
        """Several."""
        return []

    assert [port.name for port in plain.__node__.outputs] == ["value"]  # type: ignore[attr-defined]
    assert [port.name for port in listed.__node__.outputs] == ["latents"]  # type: ignore[attr-defined]


def test_help_comes_from_the_docstring() -> None:
    assert SPEC.summary == "All kinds of parameters in one."
    helps = {port.name: port.help for port in SPEC.inputs}
    assert helps["scale"] == "how far, said over two lines."
    assert helps["kind"] == "which."
    assert helps["z"] == ""


def test_who_draws_has_a_seed_without_asking_for_one() -> None:
    seed = SPEC.params["seed"]
    assert seed.default == 0
    assert isinstance(seed.adapter, TypeAdapter)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        seed.adapter.validate_python(-1)


def test_types_are_nominal() -> None:
    latent, picture = SPEC.input["z"].type, PortType("picture", wire=Wire("picture", accepts=("latent",)), base=Tensor)
    number, whole = PortType("float", base=float), PortType("int", base=int)
    assert picture.takes(latent)
    assert not latent.takes(picture), "a tensor is not any tensor"
    assert number.takes(whole)
    assert not whole.takes(number)
    assert not latent.takes(latent.listed())
    assert not latent.listed().takes(latent)
    assert ANY.takes(latent.listed())
    assert latent.takes(ANY)
    assert ANY.listed().takes(latent.listed())
    assert not ANY.listed().takes(latent)
    assert ANY.takes(latent.listed(2))
    assert ANY.listed().takes(latent.listed(2)), "what may be anything may be a list"
    assert not latent.listed().takes(latent.listed(2)), "lists of lists are told apart"
    assert str(latent.listed(2)) == "list of list of latent"
    assert latent.listed(2).element() == latent.listed()


def test_lists_tuples_and_what_takes_one_or_many() -> None:
    @node(category="test")
    def lists(
        a: list[list[int]],
        b: tuple[int, ...],
        c: tuple[int, str],
        d: list,  # type: ignore[type-arg]
        e: Latent | list[Latent],
        f: float | list[float],
        g: list[str],
        captions: Annotated[list[str], Wire("captions")],
        named: Ports[Latent | list[Latent]],
    ) -> list[list[float]]:
        """Lists of all kinds."""

    spec = lists.__node__  # type: ignore[attr-defined]
    kinds = {port.name: port.type for port in spec.inputs}
    assert [str(kinds[name]) for name in "abcdefg"] == [
        "list of list of int",
        "list of int",
        "list of any",
        "list of any",
        "latent or list of latent",
        "float or list of float",
        "list of str",
    ]
    assert str(kinds["named"]) == str(kinds["e"])
    assert set(spec.params) == set("abcdfg")
    assert kinds["e"].takes(kinds["e"].one())
    assert kinds["e"].takes(kinds["e"].one().listed())
    assert not kinds["e"].takes(kinds["e"].one().listed(2))
    assert kinds["g"].takes(kinds["captions"]), "plain Python takes a nominal type whose values are plain"
    assert not kinds["captions"].takes(kinds["g"]), "and not the reverse"
    assert not kinds["a"].takes(kinds["captions"])
    assert (spec.outputs[0].name, str(spec.outputs[0].type)) == ("value", "list of list of float")


def test_the_json_description_is_enough_to_draw_the_node() -> None:
    described = json.loads(json.dumps(describe(SPEC)))
    inputs = {port["name"]: port for port in described["inputs"]}
    assert inputs["scale"]["schema"] == {"maximum": 30.0, "minimum": 0.0, "type": "number"}
    assert inputs["scale"]["default"] == 7.5
    assert inputs["kind"]["schema"]["enum"] == ["a", "b"]
    assert inputs["shape"]["default"] == [1, 2]
    assert inputs["path"]["path"] == "file"
    assert "schema" not in inputs["z"]
    assert (inputs["z"]["shape"], inputs["many"]["list"], inputs["named"]["named"]) == ("b c h w", True, True)
    assert [port["name"] for port in described["body"]["ports"]] == ["z", "turn", "state"]
    whole = describe_all(Registry.scan(TOYS).values())
    rules = {"nominal": True, "plain": None, "within": [], "storable": True}
    assert whole["types"]["number"] == {"shape": "", "accepts": [], "about": "", **rules}
    assert whole["types"]["text"]["plain"] == {"type": "str", "list": 0}
    [bound] = whole["types"]["model"]["within"]
    assert bound == "torch.nn.modules.module.Module"
    assert bound in {port["bound"] for port in whole["nodes"]["learn"]["inputs"]}
    assert whole["types"]["float"]["accepts"] == ["int"]
    assert json.loads(json.dumps(whole)) == whole


def refused(function: Any, match: str, **declared: Any) -> None:
    with pytest.raises(ContractError, match=match):
        node(category="test", **declared)(function)


def test_what_cannot_be_a_node_is_refused_with_the_reason() -> None:
    def bare(x) -> None:  # type: ignore[no-untyped-def]
        """x."""

    def many(x: list[File]) -> None:
        """x."""

    def named(x: Ports[File]) -> None:
        """x."""

    for function in (many, named):
        refused(function, r"parameter 'x': a path inside of another type is not seen as one; take a path by itself")

    def star(*x: int) -> None:
        """x."""

    def silent(x: int) -> None:
        pass

    def Capital() -> None:
        """x."""

    def defaulted(z: Latent = 3) -> None:  # type: ignore[assignment]
        """z."""

    def twice(a: Body[Inner], b: Body[Inner]) -> None:
        """Two bodies."""

    def no_protocol(body: Body[int]) -> None:
        """A body that is no function."""

    def lost(x: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
        """A type that is not there."""

    def fine(x: int) -> int:
        """x."""
        return x

    def half(x: float) -> None:
        """x."""

    def watching(watch: Watch) -> None:
        """A watch."""

    refused(bare, "'bare': annotate parameter 'x'")
    refused(star, r"\*x is no port; take a list or Ports")
    refused(silent, "'silent': write a docstring")
    refused(Capital, "'Capital'.*rename the function")
    refused(defaulted, "'z'.*default can only be None")
    refused(twice, "'b': a zone has one body")
    refused(no_protocol, r"'body': Body\[...\] takes a Protocol")
    refused(lost, "Missing")
    refused(fine, "mutates names 'y', which is no input", mutates=("y",))
    refused(fine, "continues names 'y', which is no parameter", continues="y")
    refused(watching, "a Watch tells the loop around a callback; say how often")
    refused(fine, "conditional names 'x'; name the input of a zone", conditional="x")
    refused(fine, "every n steps gives nothing", aside="x")
    refused(fine, 'aside=True does not say how often.*aside="x"', aside=True)
    refused(fine, "aside names 'y', which is no parameter.*whole number", aside="y")
    refused(half, 'aside names .x., which is no.*whole number.*aside="steps"', aside="x")


class NotPydantic:
    pass


def test_a_type_that_is_neither_wire_nor_literal_is_refused() -> None:
    def unknown(x: NotPydantic) -> None:
        """x."""

    refused(unknown, "'x'.*neither a wire nor a literal type")


def test_two_nodes_of_one_name_are_refused() -> None:
    @node(category="test")
    def number() -> int:
        """Not the toy's."""
        return 1

    with pytest.raises(ContractError, match=r"two nodes are called 'number'.*rename one"):
        Registry([number.__node__, Registry.scan(TOYS)["number"]])  # type: ignore[attr-defined]


def test_what_a_module_only_imports_is_not_its_node() -> None:
    here = Registry.scan([__name__])
    assert "everything" in here
    assert "number" not in here
