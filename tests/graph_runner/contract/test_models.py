"""Models that files may name: found by the scan, kept by their arguments and weights, and nothing imported for a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor, nn

from graph_runner.base import events
from graph_runner.bind.validate import validate
from graph_runner.contract import ContractError, PortType, Wire, node
from graph_runner.contract.models import Models, keepable, needs_no_arguments
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine, Result
from graph_runner.store.cache import Cache, Entry
from graph_runner.store.modules import ModuleCodec, UnknownKindError


class Table:
    """A library's table of classes, as the engine needs to know it."""

    def __init__(self) -> None:
        self.listed: list[type] = []

    def name_of(self, kind: type) -> str:
        return str(vars(kind).get("in_files", kind.__name__))

    def add(self, kind: type) -> None:
        self.listed.append(kind)


TABLE = Table()


def mark(cls: type) -> type:
    cls.__listed_in__ = TABLE  # type: ignore[attr-defined]
    return cls


@mark
class Scaler(nn.Module):
    """A model with arguments that it remembers."""

    table: Tensor

    def __init__(self, width: int, bias: bool = True) -> None:
        super().__init__()
        self.config = {"width": width, "bias": bias}
        self.layer = nn.Linear(width, width, bias)
        self.register_buffer("table", torch.arange(width).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.table


class Plain(nn.Module):
    """A model without arguments, which needs no mark."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)


class Forgetful(nn.Module):
    """A model with arguments that nobody remembers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)


class Narrower(Scaler):
    """A subclass, which is another class and bears no mark."""


class Empty(nn.Module):
    """A module without a constructor of its own."""


AnyModel = Annotated[nn.Module, Wire("any_model")]
Either = Annotated[Scaler | Plain, Wire("either")]


@node(category="toy", keep=True)
def scaler(width: int = 3) -> Annotated[Scaler, Wire("scaler")]:
    """A scaler."""
    return Scaler(width)


@node(category="toy", keep=True)
def plain() -> Annotated[Plain, Wire("plain")]:
    """A model without arguments."""
    return Plain()


@node(category="toy", keep=True)
def forgetful() -> Annotated[Forgetful, Wire("forgetful")]:
    """A model whose arguments are forgotten."""
    return Forgetful(3)


@node(category="toy", keep=True)
def either(first: bool = True) -> Either:
    """One of two."""
    return Scaler(2) if first else Plain()


@node(category="toy", keep=True)
def several() -> list[AnyModel]:
    """More than one."""
    return [Scaler(2), Plain()]


@node(category="toy", keep=True)
def whatever() -> Any:
    """Something."""
    return Scaler(2, bias=False)


@node(category="toy", keep=True)
def narrower() -> AnyModel:
    """A model of a class without a mark."""
    return Narrower(2)


@node(category="toy")
def weight(model: AnyModel) -> float:
    """The sum of its weights."""
    return float(sum(parameter.sum() for parameter in model.parameters()))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([__name__])


def graph(kind: str, **params: Any) -> Workflow:
    return Workflow.model_validate({"loom": 1, "nodes": {"made": {"type": kind, "params": params}}})


def made(registry: Registry, folder: Path, kind: str, **params: Any) -> tuple[Any, Result]:
    """What a node gives, of an engine with nothing in its memory."""
    result = Engine(registry, folder).run(graph(kind, **params), targets=["made"])
    return result.values["made"], result


def cached(result: Result) -> bool:
    return any(isinstance(event, events.Cached) for event in result.events)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return all(map(same, a, b))
    one, two = a.state_dict(), b.state_dict()
    return type(a) is type(b) and one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_the_scan_finds_marked_classes_and_those_that_need_no_mark(registry: Registry) -> None:
    assert dict(registry.models) == {"Scaler": Scaler, "Plain": Plain}
    assert Scaler in TABLE.listed, "its library's table is told"
    assert Plain not in TABLE.listed
    assert Registry([scaler.__node__]).models == {"Scaler": Scaler}  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["scaler", "plain", "either", "several", "whatever"])
def test_models_need_no_codec_whatever_their_wire_says(kind: str, registry: Registry, tmp_path: Path) -> None:
    first, computed = made(registry, tmp_path, kind)
    again, known = made(registry, tmp_path, kind)
    assert cached(known)
    assert not cached(computed)
    assert same(first, again)
    for model in again if isinstance(again, list) else [again]:
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
        if isinstance(model, Scaler):
            assert model.table.tolist() == list(range(len(model.table))), "what no file has is built again"


def test_both_of_two_classes_on_one_wire_come_back(registry: Registry, tmp_path: Path) -> None:
    for first in (True, False):
        made(registry, tmp_path, "either", first=first)
        assert isinstance(made(registry, tmp_path, "either", first=first)[0], Scaler if first else Plain)


def test_loading_draws_no_random_numbers_and_fills_nothing(registry: Registry) -> None:
    codec = ModuleCodec(registry.models)
    tree = codec.save(Scaler(4))
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    model = codec.load(tree)
    assert torch.equal(torch.rand(1), wanted)
    assert torch.equal(model.layer.weight, tree["state"]["layer.weight"])


def test_an_entry_of_version_0_1_is_read(registry: Registry, tmp_path: Path) -> None:
    model = Scaler(3)
    old = {"model": "Scaler", "config": model.config, "state": dict(model.state_dict())}
    kind = registry["scaler"].outputs[0].type
    slot, untyped = ("scaler", ""), PortType("any")
    Cache(tmp_path, 0).put("k", Entry({slot: old}, []), {slot: untyped}, keep=True)
    entry = Cache(tmp_path, 0, registry.models).get("k", {slot: kind})
    assert same(entry.values[slot], model)


def test_what_cannot_be_kept_is_said_before_the_run(registry: Registry) -> None:
    workflow = Workflow.model_validate(
        {
            "loom": 1,
            "nodes": {
                "made": {"type": "forgetful"},
                "read": {"type": "weight", "wires": {"model": "made"}},
                "fine": {"type": "plain"},
                "read_fine": {"type": "weight", "wires": {"model": "fine"}},
            },
        }
    )
    problems = [problem for problem in validate(workflow, registry)[1] if "kept on disk" in problem.message]
    assert [problem.node for problem in problems] == ["made"]
    assert "Put @model on the class Forgetful" in problems[0].remedy
    assert "docs/writing-a-model.md" in problems[0].remedy


def test_a_model_of_no_known_class_costs_a_warning_and_not_the_run(registry: Registry, tmp_path: Path) -> None:
    model, result = made(registry, tmp_path, "narrower")
    assert isinstance(model, Narrower)
    warnings = [event.message for event in result.events if isinstance(event, events.Log) and event.level == "warning"]
    assert any("Narrower" in text and "@model" in text for text in warnings), warnings
    with pytest.raises(UnknownKindError):
        ModuleCodec(registry.models).save(model)


def test_an_entry_whose_class_is_gone_is_computed_anew(registry: Registry, tmp_path: Path) -> None:
    made(registry, tmp_path, "whatever")
    without = Registry([whatever.__node__])  # type: ignore[attr-defined]
    assert "Scaler" not in without.models
    assert not cached(made(without, tmp_path, "whatever")[1])


def test_two_marked_classes_of_one_name_are_refused() -> None:
    twin = mark(type("Scaler", (nn.Module,), {"__module__": "elsewhere"}))
    with pytest.raises(
        ContractError, match=r"two models are called 'Scaler': in .*test_models and elsewhere; rename one"
    ):
        Registry([scaler.__node__], [Scaler, twin])  # type: ignore[attr-defined]
    twin.in_files = "OtherScaler"  # type: ignore[attr-defined]
    assert Registry([scaler.__node__], [Scaler, twin]).models == {"Scaler": Scaler, "OtherScaler": twin}  # type: ignore[attr-defined]


def test_of_two_unmarked_classes_of_one_name_none_is_meant() -> None:
    twin = type("Plain", (nn.Module,), {"__init__": lambda self: nn.Module.__init__(self)})
    assert Models.of([], [Plain, twin]) == {}
    assert Models.of([], [Plain]) == {"Plain": Plain}
    assert Models.of([mark(type("Plain", (nn.Module,), {}))], [Plain]).keys() == {"Plain"}


def test_which_classes_can_be_kept() -> None:
    assert needs_no_arguments(Plain)
    assert needs_no_arguments(Empty)
    assert not needs_no_arguments(Forgetful)
    assert not needs_no_arguments(nn.Linear)
    assert not needs_no_arguments(Table)
    assert all(map(keepable, (Scaler, Plain, Empty, nn.Module)))
    assert not keepable(Forgetful)
    assert not keepable(Narrower)
