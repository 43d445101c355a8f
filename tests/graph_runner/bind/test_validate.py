"""Validation: every problem at once, each with node, port and remedy, and none that only follows from another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import pytest
from torch import nn

from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.bind.validate import errors, validate
from graph_runner.contract import Ports, Wire, node
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine, Result
from tests.graph_runner.conftest import graph
from tests.graph_runner.drawing import record, repeat, scale
from tests.graph_runner.toys import Number

Check = Callable[..., list[Problem]]
T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)


@pytest.fixture
def check(registry: Registry) -> Check:
    return lambda nodes, **rest: validate(graph(nodes, **rest), registry)[1]


def told(problems: list[Problem]) -> list[tuple[str, str, str]]:
    return [(p.node, p.port, f"{p.message}. {p.remedy}") for p in problems]


def only(problems: list[Problem], node: str, port: str, *words: str) -> None:
    """Exactly one problem, at this place, with these words."""
    assert [(p.node, p.port) for p in problems] == [(node, port)], told(problems)
    for word in words:
        assert word in str(problems[0]), told(problems)


ONE = {"type": "number", "params": {"value": 1}}


def zone(inner: dict[str, Any], results: dict[str, Any], **wires: Any) -> dict[str, Any]:
    return {"type": "iterate", "wires": {"x": "one", **wires}, "body": {"nodes": inner, "results": results}}


def test_a_right_graph_has_no_problems(check: Check) -> None:
    inner = {"twice": {"type": "add", "wires": {"a": "it.x", "b": "one"}}}
    assert (
        check({"one": ONE, "it": zone(inner, {"number": "twice"}), "r": {"type": "record", "wires": {"x": "it"}}}) == []
    )


def test_an_unknown_type_is_told_once_with_what_was_meant(check: Check) -> None:
    nodes = {
        "one": {"type": "nunber"},
        "sum": {"type": "add", "wires": {"a": "one", "b": "one.value"}},
        "it": zone({"inner": {"type": "scale", "wires": {"x": "it.x"}}}, {"number": "one"}),
        "sweep": {
            "type": "for_each",
            "wires": {"over": {"x": "one"}},
            "body": {"nodes": {"s": {"type": "scale", "wires": {"x": "sweep.item.x"}}}, "results": {"r": "s"}},
        },
        "last": {"type": "total", "wires": {"numbers": "sweep.r"}},
        "largest": {"type": "largest", "wires": {"numbers": {"a": "one", "b": "sum"}}},
    }
    only(check(nodes), "one", "", "unknown node type 'nunber'", "Did you mean 'number' or")


def test_what_is_inside_a_zone_of_unknown_type_is_not_complained_about(check: Check) -> None:
    body = {"nodes": {"inner": {"type": "scale", "wires": {"x": "z.x"}}}, "results": {"number": "inner"}}
    nodes = {"z": {"type": "iterat", "body": body}, "r": {"type": "record", "wires": {"x": "inner"}}}
    only(check(nodes), "z", "", "'iterate'")


def test_a_missing_input(check: Check) -> None:
    only(check({"one": ONE, "sum": {"type": "add", "wires": {"a": "one"}}}), "sum", "b", "number) is missing", "Wire")


def test_a_wrong_wire_type(check: Check) -> None:
    nodes = {"t": {"type": "text"}, "s": {"type": "scale", "wires": {"x": "t"}}}
    only(check(nodes), "s", "x", "takes number, and t.text is text", "Wire a node that gives number")


def test_a_list_where_one_is_wanted_and_one_where_a_list_is(check: Check) -> None:
    sweep = {"type": "for_each", "params": {"over": {"i": [1, 2]}}, "body": {"nodes": {}, "results": {"n": "one"}}}
    nodes = {"one": ONE, "sweep": sweep, "s": {"type": "scale", "wires": {"x": "sweep.n"}}}
    only(check(nodes), "s", "x", "takes number, and sweep.n is list of number")
    only(
        check({"one": ONE, "s": {"type": "total", "wires": {"numbers": "one"}}}),
        "s",
        "numbers",
        "Write the wire as a list",
    )
    only(check({"one": ONE, "s": {"type": "scale", "wires": {"x": ["one"]}}}), "s", "x", "wrong form", "one wire")
    only(check({"one": ONE, "s": {"type": "largest", "wires": {"numbers": "one"}}}), "s", "numbers", "named wires")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"value": 101}, "less than or equal to 100 (found 101)"),
        ({"value": "7"}, 'valid number (found "7")'),
        ({"value": None}, "valid number (found null)"),
        ({"value": [1]}, "valid number (found [1])"),
    ],
)
def test_a_literal_out_of_range_or_of_another_type(check: Check, params: dict[str, Any], words: str) -> None:
    only(check({"n": {"type": "number", "params": params}}), "n", "value", words, "the number.")


def test_a_literal_where_a_wire_is_wanted_and_both_at_once(check: Check) -> None:
    only(check({"s": {"type": "scale", "params": {"x": 3}}}), "s", "x", "takes a wire of type number, not a literal")
    by = {"type": "scale", "wires": {"x": "one", "by": "one"}, "params": {"by": 2}}
    assert ("s", "by") in {(p.node, p.port) for p in check({"one": ONE, "s": by})}


def test_an_unknown_input(check: Check) -> None:
    only(check({"n": {"type": "number", "params": {"valeu": 1}}}), "n", "valeu", "no input 'valeu'", "'value'")


def test_a_cycle_is_named_whole_and_hides_nothing_else(check: Check) -> None:
    nodes = {
        "a": {"type": "add", "wires": {"a": "c", "b": "one"}},
        "b": {"type": "scale", "wires": {"x": "a"}},
        "c": {"type": "scale", "wires": {"x": "b"}},
        "after": {"type": "same", "wires": {"x": "c"}},
        "one": ONE,
        "t": {"type": "text"},
        "wrong": {"type": "scale", "wires": {"x": "t"}},
    }
    found = check(nodes)
    assert [(p.node, p.port) for p in found] == [("a", ""), ("wrong", "x")]
    assert "wait for each other: a, b, c" in found[0].message
    only(check({"s": {"type": "scale", "wires": {"x": "s"}}}), "s", "", "wait for each other: s")


def test_a_cycle_through_a_body(check: Check) -> None:
    nodes = {
        "one": ONE,
        "it": zone({"sum": {"type": "add", "wires": {"a": "it.x", "b": "later"}}}, {"number": "sum"}),
        "later": {"type": "scale", "wires": {"x": "it"}},
    }
    only(check(nodes), "it", "", "wait for each other: it, later")


def test_a_wire_that_leaves_a_body(check: Check) -> None:
    nodes = {
        "one": ONE,
        "it": zone({"inner": {"type": "scale", "wires": {"x": "it.x"}}}, {"number": "inner"}),
        "r": {"type": "record", "wires": {"x": "inner"}},
    }
    only(check(nodes), "r", "x", "leaves the body of 'it'", "Make it a result of 'it' and read 'it' here")


def test_wires_to_what_is_not_there(check: Check) -> None:
    only(check({"one": ONE, "r": {"type": "record", "wires": {"x": "onee"}}}), "r", "x", "no node 'onee'", "'one'")
    only(
        check({"one": ONE, "r": {"type": "record", "wires": {"x": "one.numbr"}}}),
        "r",
        "x",
        "no output 'numbr'",
        "'number'",
    )
    halves = {"one": ONE, "h": {"type": "halves", "wires": {"x": "one"}}}
    only(check({**halves, "r": {"type": "record", "wires": {"x": "h"}}}), "r", "x", "several outputs", "h.low, h.high")
    only(
        check({**halves, "r": {"type": "record", "wires": {"x": "h.low.a"}}}),
        "r",
        "x",
        "no single value",
        "Write h.low",
    )
    nodes = {"one": ONE, "s": repeat(2, {"d": scale("s.state.x", 2)}, "d"), "r": record("s")}
    only(check(nodes), "r", "x", "wired to s,", "Write s.NAME")
    nodes = {"one": ONE, "a": {"type": "record", "wires": {"x": "one"}}, "r": {"type": "record", "wires": {"x": "a"}}}
    only(check(nodes), "r", "x", "'a' has no outputs", "Remove the wire")


def test_results_of_a_body(check: Check) -> None:
    only(check({"one": ONE, "it": zone({}, {})}), "it", "results.number", "gives no result 'number'")
    only(check({"one": ONE, "it": zone({}, {"number": "gone"})}), "it", "results.number", "no node 'gone'")
    only(check({"one": ONE, "it": zone({}, {"number": "one", "x": "one"})}), "it", "results.x", "no result 'x'")
    only(check({"one": ONE, "it": zone({}, {"number": ["one"]})}), "it", "results.number", "takes one number", "single")
    only(check({"one": ONE, "t": {"type": "text"}, "it": zone({}, {"number": "t"})}), "it", "results.number", "is text")
    bare = {"type": "iterate", "wires": {"x": "one"}}
    assert "is a zone and has no body" in str(check({"one": ONE, "it": bare})[0])
    only(check({"one": {**ONE, "body": {}}}), "one", "body", "takes no body", "'group'")


def test_names_that_a_zone_was_never_given(check: Check) -> None:
    repeat = {
        "type": "repeat",
        "wires": {"state": {"a": "one"}},
        "body": {"nodes": {"s": {"type": "scale", "wires": {"x": "loop.state.b"}}}, "results": {"a": "s"}},
    }
    only(check({"one": ONE, "loop": repeat}), "s", "x", "loop.state.b does not exist", "Add 'b' to 'loop'")
    repeat = {**repeat, "body": {"nodes": {}, "results": {}}}
    only(check({"one": ONE, "loop": repeat}), "loop", "results.a", "gives no result 'a'", 'Add "a"')


def test_type_variables_are_solved_through_zones_and_bodies(check: Check) -> None:
    nodes = {
        "one": ONE,
        "t": {"type": "text"},
        "loop": {
            "type": "repeat",
            "wires": {"state": {"n": "one", "t": "t"}},
            "body": {
                "nodes": {"n": {"type": "scale", "wires": {"x": "loop.state.n"}}},
                "results": {"n": "n", "t": "loop.state.t"},
            },
        },
        "fine": {"type": "scale", "wires": {"x": "loop.n"}},
        "wrong": {"type": "scale", "wires": {"x": "loop.t"}},
        "twisted": {
            "type": "repeat",
            "wires": {"state": {"n": "one"}},
            "body": {"nodes": {}, "results": {"n": "t"}},
        },
    }
    assert [(p.node, p.port) for p in check(nodes)] == [("twisted", "results.n"), ("wrong", "x")]


def test_named_wires_of_one_type_keep_their_names(registry: Registry) -> None:
    @node(category="toy")
    def doubled(numbers: Ports[Number]) -> Ports[Number]:
        """Twice each."""
        return {name: 2 * number for name, number in numbers.items()}

    known = {**registry, "doubled": doubled.__node__}  # type: ignore[attr-defined]
    nodes = {
        "one": ONE,
        "d": {"type": "doubled", "wires": {"numbers": {"a": "one"}}},
        "fine": {"type": "scale", "wires": {"x": "d.a"}},
        "wrong": {"type": "scale", "wires": {"x": "d.b"}},
    }
    only(validate(graph(nodes), known)[1], "wrong", "x", "d.b does not exist")


def test_literal_lists_have_the_type_that_their_items_share(check: Check) -> None:
    def sweep(items: list[Any]) -> list[Problem]:
        body = {"nodes": {"s": {"type": "scale", "wires": {"x": "one", "by": "z.item.by"}}}, "results": {"r": "s"}}
        return check({"one": ONE, "z": {"type": "for_each", "params": {"over": {"by": items}}, "body": body}})

    assert sweep([1, 2]) == sweep([1, 2.5]) == sweep([]) == []
    only(sweep(["a", "b"]), "s", "by", "takes float, and z.item.by is str")


def test_ids_are_unique_in_the_whole_file(check: Check) -> None:
    nodes = {"one": ONE, "it": zone({"one": {"type": "scale", "wires": {"x": "it.x"}}}, {"number": "one"})}
    only(check(nodes), "one", "", "used twice", "Rename")


def test_every_needs_a_loop_around_it(check: Check) -> None:
    every = {"type": "every", "body": {"nodes": {"r": {"type": "record", "wires": {"x": "one"}}}}}
    only(check({"one": ONE, "look": every}), "look", "", "runs every so many steps of the loop around it", "Move it")


def test_a_gradient_is_taken_with_respect_to_a_port_of_the_zone_around(check: Check) -> None:
    def nodes(x: str) -> dict[str, Any]:
        inner = {
            "y": {"type": "square", "wires": {"x": "it.x"}},
            "dy": {"type": "slope", "wires": {"y": "y", "x": x}},
        }
        return {"one": ONE, "it": zone(inner, {"number": "dy"})}

    assert check(nodes("it.x")) == []
    only(check(nodes("y")), "dy", "x", "no port of a zone around", "Wire it to a port of 'it'")
    nodes_ = {"one": ONE, "dy": {"type": "slope", "wires": {"y": "one", "x": "one"}}}
    only(check(nodes_), "dy", "x", "Move the node into a zone")


def test_equal_seeds_that_nobody_chose_are_a_warning(check: Check) -> None:
    unchosen, chosen = {"type": "random_number"}, {"type": "random_number", "params": {"seed": 0}}
    for first, second in ((unchosen, unchosen), (unchosen, chosen), (chosen, unchosen)):
        found = check({"a": first, "b": second, "c": {"type": "random_number", "params": {"seed": 4}}})
        only(found, "b", "seed", "a, b (random_number) draw the same numbers", "type the same into each")
        assert found[0].severity == "warning"
        assert errors(found) == []


def test_equal_seeds_that_are_typed_in_are_meant_in_branches_and_not_where_they_meet(check: Check) -> None:
    draw = {"type": "random_number", "params": {"seed": 3}}
    assert check({"a": draw, "b": draw}) == []
    branches = {
        "a": draw,
        "b": draw,
        "left": {"type": "scale", "params": {"by": 2.0}, "wires": {"x": "a"}},
        "right": {"type": "scale", "params": {"by": 3.0}, "wires": {"x": "b"}},
        "compared": {"type": "add", "wires": {"a": "left", "b": "right"}},
    }
    assert check(branches) == []
    found = check({"a": draw, "b": draw, "sum": {"type": "add", "wires": {"a": "a", "b": "b"}}})
    only(found, "b", "seed", "a, b (random_number) draw the same numbers", "read one of them twice")
    assert check({"a": draw, "twice": {"type": "add", "wires": {"a": "a", "b": "a"}}}) == []


def test_everything_wrong_is_told_at_once(check: Check) -> None:
    nodes = {
        "unknown": {"type": "nothing_like_it_at_all"},
        "range": {"type": "number", "params": {"value": 1000}},
        "missing": {"type": "add", "wires": {"a": "range"}},
        "gone": {"type": "scale", "wires": {"x": "nowhere"}},
        "circle": {"type": "scale", "wires": {"x": "circle"}},
        "t": {"type": "text"},
        "kind": {"type": "scale", "wires": {"x": "t"}, "params": {"form": 1}},
        "it": {
            "type": "iterate",
            "wires": {"x": "range"},
            "params": {"n": "many"},
            "body": {"nodes": {"inner": {"type": "scale", "wires": {"x": "t"}}}, "results": {"number": "inner"}},
        },
        "leaves": {"type": "record", "wires": {"x": "inner"}},
    }
    places = {(p.node, p.port) for p in check(nodes, exposed={"params": {"p": "nobody.x"}})}
    assert places == {
        ("unknown", ""),
        ("range", "value"),
        ("missing", "b"),
        ("gone", "x"),
        ("circle", ""),
        ("kind", "x"),
        ("kind", "form"),
        ("it", "n"),
        ("inner", "x"),
        ("leaves", "x"),
        ("exposed", "p"),
    }


def test_a_wrong_workflow_computes_nothing_and_leaves_no_run(engine: Engine) -> None:
    with pytest.raises(WorkflowError, match=r"r\.x: .*no node 'gone'"):
        engine.run(graph({"one": ONE, "r": {"type": "record", "wires": {"x": "gone"}}}))
    assert not (engine.workspace / "runs").exists()


def test_exposed_names_what_is_in_the_file(check: Check) -> None:
    nodes = {"one": ONE, "off": {**ONE, "mode": "mute"}, "r": {"type": "record", "wires": {"x": "one"}}}

    def exposed(**kinds: dict[str, str]) -> list[Problem]:
        return check(nodes, exposed=kinds)

    assert exposed(params={"p": "one.value", "q": "off.value"}, outputs={"o": "one", "r": "r", "n": "one.number"}) == []
    only(exposed(params={"p": "on.value"}), "exposed", "p", "there is no node 'on'", "'one'")
    only(exposed(params={"p": "one.valu"}), "exposed", "p", "'one' has no parameter 'valu'", "'value'")
    only(exposed(params={"p": "one"}), "exposed", "p", "no parameter ''")
    only(exposed(outputs={"o": "one.nmber"}), "exposed", "o", "'one' has no output 'nmber'", "'number'")


Run = Callable[..., Result]


def test_a_muted_node_is_not_there(run: Run, check: Check) -> None:
    nodes = {
        "one": ONE,
        "off": {"type": "fail", "wires": {"x": "one"}, "mode": "mute"},
        "sum": {"type": "maybe", "wires": {"x": "one", "y": "off"}},
        "all": {"type": "total", "wires": {"numbers": ["one", "off", "one"]}},
    }
    values = run(nodes, "sum", "all").values
    assert (float(values["sum"]), float(values["all"])) == (1, 2)
    needs = {"one": {**ONE, "mode": "mute"}, "r": {"type": "record", "wires": {"x": "one"}}}
    only(check(needs), "r", "x", "is missing")


def test_wires_are_led_past_bypassed_nodes(run: Run, check: Check) -> None:
    nodes = {
        "one": ONE,
        "a": {"type": "scale", "wires": {"x": "one"}, "params": {"by": 10}, "mode": "bypass"},
        "b": {"type": "fail", "wires": {"x": "a.number"}, "mode": "bypass"},
        "c": {"type": "scale", "wires": {"x": "b"}, "params": {"by": 3}},
        "it": {
            "type": "iterate",
            "wires": {"x": "c"},
            "body": {
                "nodes": {"inner": {"type": "fail", "wires": {"x": "it.x"}, "mode": "bypass"}},
                "results": {"number": "inner"},
            },
        },
    }
    assert float(run(nodes, "it").values["it"]) == 3
    loose = {"w": {"type": "weight_of", "mode": "bypass"}, "r": {"type": "record", "wires": {"x": "w"}}}
    found = check(loose)
    assert ("w", "number") in {(p.node, p.port) for p in found}
    assert "cannot be bypassed" in str(found[0])


class Thing:
    """A value that is neither a tensor nor JSON."""


class ThingCodec:
    """Things on disk."""

    def save(self, thing: Thing) -> int:
        return 0

    def load(self, tree: int) -> Thing:
        return Thing()


Plain = Annotated[Thing, Wire("plain_thing")]
Kept = Annotated[Thing, Wire("kept_thing", codec=ThingCodec())]


@node(category="toy", keep=True)
def make_plain() -> Plain:
    """A thing that the disk cannot hold."""
    return Thing()


@node(category="toy", keep=True)
def make_kept() -> Kept:
    """A thing that it can."""
    return Thing()


@node(category="toy", effect=True)
def use_things(things: list[T]) -> None:
    """Read things."""


def test_what_the_disk_cannot_hold_is_told_before_anything_is_computed() -> None:
    registry = Registry.scan([__name__, "tests.graph_runner.toys", "graph_runner.zones"])
    makers = {"plain": {"type": "make_plain"}, "kept": {"type": "make_kept"}}
    assert validate(graph(makers), registry)[1] == []  # nobody reads it, so it is not kept
    problems = validate(
        graph(
            makers
            | {
                "a": {"type": "use_things", "wires": {"things": ["plain"]}},
                "b": {"type": "use_things", "wires": {"things": ["kept"]}},
            }
        ),
        registry,
    )[1]
    only(problems, "plain", "plain_thing", "no codec")


@node(category="toy")
def module_only(module: M, others: list[M] | None = None, value: T | None = None) -> M:
    """Takes a module."""
    return module


@pytest.fixture
def check_all() -> Check:
    registry = Registry.scan([__name__, "tests.graph_runner.toys", "graph_runner.zones"])
    return lambda nodes: validate(graph(nodes), registry)[1]


def test_messages_name_no_type_variable(check: Check, check_all: Check) -> None:
    only(check({"s": {"type": "same"}}), "s", "x", "this input is missing")
    only(check_all({"m": {"type": "module_only"}}), "m", "module", "this input (Module) is missing")
    text = {"t": {"type": "text"}}
    only(check_all(text | {"m": {"type": "module_only", "wires": {"module": "t"}}}), "m", "module", "takes Module, and t.text is text")  # fmt: skip
    one = {"one": ONE, "model": {"type": "scalar_model"}}
    other = {"m": {"type": "module_only", "wires": {"module": "model", "others": "model"}}}
    only(check_all(one | other), "m", "others", "takes a list, and model.model is one model", "Wire a list of nodes")
    kinds = repeat(2, {"t": {"type": "text"}}, "t")
    only(check(one | {"loop": kinds}), "loop", "results.x", "takes number here (another wire says so), and t.text is text")  # fmt: skip


def test_named_literals_stand_beside_named_wires(run: Run, check: Check) -> None:
    inner = {"s": {"type": "scale", "wires": {"x": "z.item.x", "by": "z.item.by"}}}
    z = {
        "type": "for_each",
        "params": {"over": {"by": [2, 3]}},
        "wires": {"over": {"x": "w.n"}},
        "body": {"nodes": inner, "results": {"n": "s"}},
    }
    w = {"type": "for_each", "params": {"over": {"i": [1, 2]}}, "body": {"nodes": {}, "results": {"n": "one"}}}
    assert [float(x) for x in run({"one": ONE, "w": w, "z": z}, "z.n").values["z.n"]] == [2, 3]
    twice = {**z, "params": {"over": {"by": [2, 3], "x": [1, 2]}}}
    only(check({"one": ONE, "w": w, "z": twice}), "z", "over.x", "both wired and typed in")


def test_a_list_in_between_single_wires_gives_its_items(run: Run, check: Check) -> None:
    w = {"type": "for_each", "params": {"over": {"i": [1, 2]}}, "body": {"nodes": {}, "results": {"n": "one"}}}
    nodes = {"one": ONE, "w": w, "sum": {"type": "total", "wires": {"numbers": ["one", "w.n", "one", "w.n"]}}}
    assert float(run(nodes, "sum").values["sum"]) == 6
    deep = {
        "type": "for_each",
        "params": {"over": {"i": [1, 2]}},
        "body": {"nodes": {}, "results": {"lists": "w.n"}},
    }
    lists = {"one": ONE, "w": w, "deep": deep, "sum": {"type": "total", "wires": {"numbers": ["one", "deep.lists"]}}}
    only(check(lists), "sum", "numbers", "takes number, and deep.lists is list of list of number")
