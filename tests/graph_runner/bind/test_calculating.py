"""Variables of numbers and tensors: a result has the kind that broadcasting gives; names of wires that stand in a text."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import pytest

from graph_runner.bind.validate import validate
from graph_runner.catalog.describe import describe_all
from graph_runner.contract import ContractError, NamesIn, NumberOrTensor, Ports, node
from graph_runner.contract.broadcast import broadest
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow

REGISTRY = Registry.scan(["tests.graph_runner.calculating_toys"])
N = TypeVar("N", bound=NumberOrTensor)
SOURCES = {name: {"type": name} for name in ("grey", "colour", "each", "words", "colours")}


def told(nodes: dict[str, Any]) -> tuple[str, list[str]]:
    """The kind that node x gives, and the problems."""
    top, problems = validate(Workflow.model_validate({"loom": 1, "nodes": SOURCES | nodes}), REGISTRY)
    return str(next(iter(top.nodes["x"].outputs.values()))), [str(problem) for problem in problems]


def plus(a: str, b: str) -> dict[str, Any]:
    return {"x": {"type": "plus", "wires": {"a": a, "b": b}}}


def total(text: str, params: dict[str, Any] | None = None, **wires: str) -> dict[str, Any]:
    return {"x": {"type": "total", "params": {"text": text, **({"values": params} if params else {})}, "wires": {"values": wires} if wires else {}}}  # fmt: skip


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        ("colour", "each", "colour"),
        ("each", "colour", "colour"),
        ("grey", "colour", "colour"),
        ("each", "grey", "grey"),
    ],
)
def test_a_result_has_the_kind_with_most_axes(a: str, b: str, kind: str) -> None:
    assert told(plus(a, b)) == (kind, [])


@pytest.mark.parametrize(("a", "b"), [("words", "colour"), ("colour", "words"), ("colours", "colour")])
def test_what_is_no_number_and_no_tensor_is_refused(a: str, b: str) -> None:
    _, problems = told(plus(a, b))
    assert len(problems) == 1
    assert "takes NumberOrTensor" in problems[0]


def test_a_list_of_tensors_has_the_kind_of_the_broadest_and_no_numbers() -> None:
    assert told({"x": {"type": "stacked", "wires": {"items": ["grey", "colour", "each"]}}}) == ("colour", [])
    whole = {"n": {"type": "takes_whole"}, "x": {"type": "stacked", "wires": {"items": ["grey", "n"]}}}
    assert "takes Tensor, and n.value is int" in told(whole)[1][0]


def test_among_alike_kinds_the_first_in_the_text_counts() -> None:
    assert told(total("b a", a="colour", b="grey"))[0] == "colour"
    assert told(total("b a", a="each", b="grey"))[0] == "grey"


@pytest.mark.parametrize(
    ("text", "params", "kind"),
    [("a", {"a": 1}, "int"), ("a / a", {"a": 1}, "float"), ("a b", {"a": 1, "b": 0.5}, "float"), ("", {}, "int"), ("a", {"a": True}, "int")],
)  # fmt: skip
def test_whole_numbers_give_a_whole_one_unless_the_text_makes_fractions(text: str, params: dict[str, Any], kind: str) -> None:  # fmt: skip
    assert told(total(text, params)) == (kind, [])


def test_what_reads_the_result_is_held_to_its_kind() -> None:
    reader = {"y": {"type": "takes_grey", "wires": {"x": "x"}}}
    assert told(plus("grey", "each") | reader)[1] == []
    assert "takes grey, and x.value is colour" in told(plus("grey", "colour") | reader)[1][0]
    whole = {"y": {"type": "takes_whole", "wires": {"n": "x"}}}
    assert told(total("a", {"a": 2}) | whole)[1] == []
    assert "takes int, and x.value is float" in told(total("a / a", {"a": 2}) | whole)[1][0]


def test_each_name_in_the_text_is_given_once_and_no_other() -> None:
    assert told(total("a b", a="grey"))[1] == [
        "x.values.b: this input is missing. Wire something into 'b', or type a number for it"
    ]
    assert "x.values.b: there is no 'b' in 'text'" in told(total("a", {"b": 1}, a="grey"))[1][0]
    assert "both wired and typed in" in told(total("a", {"a": 1}, a="grey"))[1][0]
    assert "takes NumberOrTensor, and it is str" in told(total("a", {"a": "one"}))[1][0]


def test_of_a_wired_text_only_the_run_knows_the_names() -> None:
    nodes = {"x": {"type": "total", "wires": {"text": "words", "values": {"a": "grey"}}}}
    assert told(nodes) == ("any", [])


def test_the_catalogue_says_where_names_stand_and_what_broadcasts() -> None:
    described = describe_all(REGISTRY.values())["nodes"]["total"]["inputs"][1]
    assert described["names_in"] == {"parameter": "text", "pattern": "[a-z]+", "fraction": "/"}
    assert described["broadcasts"]
    assert "names_in" not in describe_all(REGISTRY.values())["nodes"]["plus"]["inputs"][0]


def test_a_text_that_is_no_parameter_is_refused() -> None:
    def wrong(values: Annotated[Ports[N], NamesIn("text", ".")]) -> N:
        """No text."""
        raise NotImplementedError

    with pytest.raises(ContractError, match="takes its names from 'text'"):
        node(category="toy")(wrong)


def test_of_alike_kinds_the_first_is_the_broadest() -> None:
    kinds = [next(iter(REGISTRY[name].outputs)).type for name in ("takes_whole", "each", "colour", "takes_colour")]
    assert broadest(kinds) is kinds[2]
