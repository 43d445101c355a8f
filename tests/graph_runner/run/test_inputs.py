"""Values in and out of a run: what a caller gives is not computed, is typed as its wire, and is cached by its content."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch

from graph_runner.base import events
from graph_runner.base.problems import WorkflowError
from graph_runner.bind import given
from graph_runner.contract import Wire, node
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import load, save
from graph_runner.run.engine import Engine, Result
from tests.graph_runner import toys
from tests.graph_runner.conftest import TOYS, graph

Run = Callable[..., Result]
Picture = Annotated[torch.Tensor, Wire("picture", "b 3 h w")]
ABSENT = {"type": "read_number", "params": {"path": "on_another_machine.txt"}}
CHAIN = {
    "file": ABSENT,
    "k": {"type": "kept", "wires": {"x": "file"}},
    "n": {"type": "noted", "wires": {"x": "k"}},
}


@node(category="toy")
def second(x: toys.T, y: toys.Number) -> toys.Number:
    """A number, whatever else comes in."""
    return y


@node(category="toy")
def black_picture() -> Picture:
    """A black picture."""
    return torch.zeros(1, 3, 2, 2)


@node(category="toy")
def finite(x: toys.Number) -> toys.Number:
    """A node that takes numbers only."""
    if not x.isfinite().all():
        raise FloatingPointError("this is no number")
    return x


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, __name__])


def five() -> torch.Tensor:
    return torch.tensor(5.0)


def started(result: Result) -> list[str]:
    return [event.node for event in result.events if isinstance(event, events.Started)]


def refusal(run: Run, nodes: dict[str, Any], **inputs: Any) -> str:
    with pytest.raises(WorkflowError) as caught:
        run(nodes, inputs=inputs)
    return str(caught.value)


def test_a_node_is_given_and_what_only_it_needed_is_left_out(run: Run) -> None:
    """Also where that could not be computed here: its file is on another machine."""
    result = run(CHAIN, "n", inputs={"k": five()})
    assert result.values["n"] == 5
    assert started(result) == ["k", "n"]
    assert toys.CALLS == ["noted"]


def test_equal_values_are_found_in_the_cache_and_others_are_not(run: Run) -> None:
    for value, calls in ((5.0, ["kept", "noted"]), (5.0, []), (6.0, ["kept", "noted"])):
        toys.CALLS.clear()
        assert run(CHAIN, "n", inputs={"file": torch.tensor(value)}).values["n"] == value
        assert calls == toys.CALLS


def test_what_is_worth_the_disk_is_found_after_a_restart(registry: Registry, tmp_path: Path) -> None:
    for calls in (["kept"], []):
        toys.CALLS.clear()
        result = Engine(registry, tmp_path).run(graph(CHAIN), inputs={"file": five()}, targets=["k"])
        assert (float(result.values["k"]), toys.CALLS) == (5.0, calls)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.int32)),
        (torch.zeros(2), -torch.zeros(2)),
        (1, 1.0),
        (1, True),
        ("1", 1),
        ([1, 2], (1, 2)),
        ([[1], 2], [[1, 2]]),
        ({"a": 1}, {"b": 1}),
        ({"a": None}, {"a": "None"}),
    ],
    ids=repr,
)
def test_values_that_differ_have_other_contents(run: Run, one: Any, other: Any) -> None:
    recorded = []
    for value in (one, other, one):
        result = run({"t": {"type": "same"}, "u": {"type": "same", "wires": {"x": "t"}}}, "u", inputs={"t": value})
        recorded.append(json.loads((result.folder / "environment.json").read_text())["inputs"]["t"])
        assert type(result.values["u"]) is type(value)
    assert recorded[0] == recorded[2] != recorded[1]


def test_a_value_that_its_giver_changes_later_is_not_changed_in_the_cache(run: Run) -> None:
    nodes = {"x": {"type": "number"}, "s": {"type": "same", "wires": {"x": "x"}}}
    mine = five()
    first = run(nodes, "s", inputs={"x": mine})
    mine += 1
    assert first.values["s"] == 5
    assert run(nodes, "s", inputs={"x": five()}).values["s"] == 5
    assert run(nodes, "s", inputs={"x": mine}).values["s"] == 6


def test_a_model_that_is_given_stays_as_it_was(run: Run) -> None:
    """Though a node changes it, and models on wires are frozen."""
    model = toys.Scalar(2.0)
    nodes = {"m": {"type": "scalar_model"}, "up": {"type": "nudge", "wires": {"model": "m"}}}
    result = run({**nodes, "w": {"type": "weight_of", "wires": {"model": "up"}}}, "w", inputs={"m": model})
    assert (result.values["w"].item(), model.weight.item()) == (3.0, 2.0)
    assert model.training
    assert model.weight.requires_grad


def test_a_model_counts_by_its_weights(run: Run) -> None:
    nodes = {"m": {"type": "scalar_model"}, "w": {"type": "weight_of", "wires": {"model": "m"}}}
    nodes["n"] = {"type": "noted", "wires": {"x": "w"}}
    for weight, calls in ((2.0, 1), (2.0, 1), (3.0, 2)):
        assert run(nodes, "n", inputs={"m": toys.Scalar(weight)}).values["n"] == weight
        assert len(toys.CALLS) == calls


def test_what_has_no_content_that_can_be_seen_is_passed_on_and_nothing_made_of_it_stored(
    run: Run, engine: Engine
) -> None:
    class Odd:
        """Of no wire type, and of no form that could be compared."""

    nodes = {
        "any": {"type": "same"},
        "loop": {
            "type": "counted",
            "wires": {"x": "one"},
            "body": {
                "nodes": {"pick": {"type": "second", "wires": {"x": "counted_odd", "y": "loop.x"}}},
                "results": {"number": "pick"},
            },
        },
        "one": {"type": "number", "params": {"value": 1}},
        "counted_odd": {"type": "same", "wires": {"x": "any"}},
        "n": {"type": "noted", "wires": {"x": "loop"}},
    }
    odd = Odd()
    for _ in range(2):
        result = run(nodes, "counted_odd", "n", inputs={"any": odd})
        assert result.values["counted_odd"] is odd
        assert result.values["n"] == 1
    assert toys.CALLS == ["noted", "noted"]
    assert list(engine.workspace.glob("cache/*/")) == []


def test_a_port_is_given_and_the_others_are_computed(run: Run) -> None:
    nodes = {
        "x": {"type": "number", "params": {"value": 8}},
        "h": {"type": "halves", "wires": {"x": "x"}},
        "sum": {"type": "add", "wires": {"a": "h.low", "b": "h.high"}},
    }
    result = run(nodes, "sum", inputs={"h.low": five()})
    assert result.values["sum"] == 9
    assert "h" in started(result)
    both = run(nodes, "sum", inputs={"h.low": five(), "h.high": five()})
    assert both.values["sum"] == 10
    assert not {"h", "x"} & set(started(both))


def test_an_input_of_a_node_is_given_instead_of_its_wire_or_literal(run: Run) -> None:
    nodes = {"file": ABSENT, "s": {"type": "scale", "params": {"by": 2}, "wires": {"x": "file"}}}
    assert run(nodes, "s", inputs={"s.x": five()}).values["s"] == 10
    assert run(nodes, "s", inputs={"s.x": five(), "s.by": 3}).values["s"] == 15


def test_a_list_of_wires_and_a_wired_literal(run: Run) -> None:
    nodes = {
        "file": ABSENT,
        "t": {"type": "total", "wires": {"numbers": ["file", "file"]}},
        "by": {"type": "same", "wires": {"x": "file"}},
        "s": {"type": "scale", "wires": {"x": "t", "by": "by"}},
    }
    given_values = {"t.numbers": [five(), five(), five()], "s.by": 2.0}
    assert run(nodes, "s", inputs=given_values).values["s"] == 30


def test_names_that_a_workflow_exposes_serve_too(engine: Engine) -> None:
    exposed = {"params": {"factor": "s.by", "gone": "file.path"}, "outputs": {"scaled": "s", "raw": "file"}}
    nodes = {"file": ABSENT, "s": {"type": "scale", "wires": {"x": "file"}}}
    result = engine.run(graph(nodes, exposed=exposed), inputs={"factor": 3, "raw": five()}, targets=["scaled"])
    assert result.values == {"scaled": 15}


def test_nodes_inside_of_zones(run: Run) -> None:
    body = {
        "nodes": {
            "file": ABSENT,
            "s": {"type": "add", "wires": {"a": "loop.state.x", "b": "file"}},
        },
        "results": {"x": "s"},
    }
    loop = {"type": "repeat", "params": {"iterations": 3}, "wires": {"state": {"x": "one"}}, "body": body}
    nodes = {"one": {"type": "number", "params": {"value": 1}}, "loop": loop}
    assert run(nodes, "loop.x", inputs={"file": five()}).values["loop.x"] == 16
    # A zone's own id stands for its inner ports inside of it, and for its results outside.
    after = {**nodes, "n": {"type": "noted", "wires": {"x": "loop.x"}}}
    assert run(after, "n", inputs={"loop": five()}).values["n"] == 5


def test_two_results_of_a_zone_of_which_one_is_given(run: Run) -> None:
    body = {"nodes": {}, "results": {"x": "loop.state.x", "y": "loop.state.y"}}
    loop = {"type": "repeat", "params": {"iterations": 2}, "wires": {"state": {"x": "one", "y": "two"}}, "body": body}
    nodes = {
        "one": {"type": "number", "params": {"value": 1}},
        "two": {"type": "number", "params": {"value": 2}},
        "loop": loop,
        "sum": {"type": "add", "wires": {"a": "loop.x", "b": "loop.y"}},
    }
    assert run(nodes, "sum", inputs={"loop.x": five()}).values["sum"] == 7


def test_the_use_of_a_definition(engine: Engine) -> None:
    definition = {
        "inputs": ["x"],
        "nodes": {"s": {"type": "scale", "params": {"by": 2}, "wires": {"x": "inputs.x"}}},
        "results": {"twice": "s"},
    }
    nodes = {
        "file": ABSENT,
        "use": {"type": "double", "wires": {"x": "file"}},
        "n": {"type": "noted", "wires": {"x": "use"}},
    }
    workflow = graph(nodes, definitions={"double": definition})
    assert engine.run(workflow, inputs={"use": five()}, targets=["n"]).values["n"] == 5
    assert engine.run(workflow, inputs={"file": five()}, targets=["n"]).values["n"] == 10


def test_what_saves_or_shows_is_not_left_out_with_what_is_given(run: Run) -> None:
    nodes = {
        "one": {"type": "number", "params": {"value": 1}},
        "g": {"type": "group", "body": {"nodes": {"r": {"type": "record", "wires": {"x": "one"}}}, "results": {}}},
        "n": {"type": "noted", "wires": {"x": "one"}},
    }
    run(nodes, "n", inputs={"n.x": five()})
    assert toys.RECORDED == {"x": [1.0]}


def test_the_record_holds_the_workflow_as_it_is_written(engine: Engine, registry: Registry) -> None:
    """With the literals that were given, and without the nodes that stand for values: it opens again."""
    exposed = {"params": {"factor": "s.by"}}
    nodes = {"one": {"type": "number"}, "s": {"type": "scale", "wires": {"x": "one"}}}
    workflow = graph(nodes, exposed=exposed, layout={"one": {"at": [0, 0]}})
    before = workflow.model_dump()
    result = engine.run(workflow, inputs={"one": five(), "factor": 4}, targets=["s"])
    recorded = load(result.folder / "workflow.json")
    assert recorded.nodes["one"].type == "number"
    assert recorded.nodes["s"].params == {"by": 4}
    assert recorded.layout == workflow.layout
    assert engine.run(recorded, targets=["s"]).values["s"] == 0
    assert workflow.model_dump() == before
    told = json.loads((result.folder / "environment.json").read_text())["inputs"]
    assert told["factor"] == "4"
    assert len(told["one"]) == 64


def test_the_search_for_what_was_no_number_knows_the_inputs(run: Run) -> None:
    nodes = {
        "file": ABSENT,
        "s": {"type": "scale", "wires": {"x": "file"}},
        "f": {"type": "finite", "wires": {"x": "s"}},
    }
    with pytest.raises(RuntimeError, match="file"):
        run(nodes, "f", inputs={"file": torch.tensor(float("nan"))})


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"q": 1}, "inputs.q: there is no node 'q'"),
        ({"nn": 1}, "inputs.nn: there is no node 'nn'. Did you mean 'n'?"),
        ({"n.y": 1}, "inputs.n.y: 'n' has no port 'y'"),
        ({"n": None}, "inputs.n: takes number (Tensor), and this is None"),
        ({"h": 1}, "inputs.h: 'h' gives several values. Name one: h.low, h.high"),
        ({"r": 1}, "inputs.r: 'r' gives nothing"),
        ({"n": 1}, "inputs.n: takes number (Tensor), and this is of the type int"),
        ({"n": [torch.zeros(1)]}, "inputs.n: takes number (Tensor), and this is of the type list"),
        ({"t.numbers": torch.zeros(2)}, "inputs.t.numbers: takes a list of number (Tensor), and this is no list"),
        ({"t.numbers": [torch.zeros(1), 2]}, "and of its item 1, this is of the type int"),
        (
            {"p": torch.zeros(2, 3, 4)},
            "inputs.p: takes picture (Tensor) of the form 'b 3 h w', and this is a tensor of the shape 2 3 4",
        ),
        ({"p": torch.zeros(2, 4, 8, 8)}, "and this is a tensor of the shape 2 4 8 8"),
        (
            {"n.label": torch.zeros(2)},
            "inputs.n.label: 'label' is typed in as a plain value, and this is of the type Tensor",
        ),
        ({"n.label": float("nan")}, "inputs.n.label: 'label' is typed in as a plain value"),
        ({"n.label": 3}, "n.label: input should be a valid string"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_errors_name_the_input(run: Run, inputs: dict[str, Any], told: str) -> None:
    nodes = {
        "one": {"type": "number"},
        "h": {"type": "halves", "wires": {"x": "one"}},
        "n": {"type": "noted", "wires": {"x": "h.low"}},
        "t": {"type": "total", "wires": {"numbers": ["n"]}},
        "r": {"type": "record", "wires": {"x": "t"}},
        "p": {"type": "black_picture"},
    }
    assert told in refusal(run, nodes, **inputs)


def test_all_that_is_wrong_is_told_at_once(run: Run) -> None:
    assert len(refusal(run, {"n": {"type": "number"}}, n="text", q=1).splitlines()) == 2


def test_what_is_given_has_the_type_of_its_wire(run: Run) -> None:
    nodes = {"t": {"type": "text"}, "s": {"type": "scale", "wires": {"x": "t"}}}
    assert "takes number, and t.text is text" in refusal(run, nodes, t="words")


def test_a_path_of_pythons_starts_at_its_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "n.txt").write_text("7")
    monkeypatch.chdir(tmp_path / "here")
    assert run({"file": ABSENT}, "file", inputs={"file.path": Path("n.txt")}).values["file"] == 7
    assert run({"file": ABSENT}, "file", inputs={"file.path": "here/n.txt"}).values["file"] == 7


def test_an_engine_by_default_and_a_workflow_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    body = {"nodes": {}, "results": {"x": "twice.item.x"}}
    zone = {"type": "for_each", "params": {"over": {"x": [1, 2]}}, "body": body}
    save(graph({"twice": zone}), tmp_path / "w.json")
    engine = Engine()
    assert engine.run("w.json", targets=["twice.x"]).values == {"twice.x": [1, 2]}
    assert engine.run(Path("w.json"), targets=["twice.x"]).folder.parent == tmp_path / "workspace" / "runs"
    with pytest.raises(WorkflowError, match=r"cannot read v\.json"):
        engine.run("v.json")


def test_given_nodes_are_never_offered() -> None:
    """The specification that each value gets a copy of belongs to no registry."""
    assert "given" not in Registry.installed()
    assert given.given.__module__ == "graph_runner.bind.given"
