"""Names to save under: safe on every system, kept whole, told where they replace something, and given to one node only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_runner.base import events
from graph_runner.base.names import LONGEST, Taken, safe_name
from graph_runner.bind.validate import validate
from graph_runner.context import Outputs, Saving
from graph_runner.contract import Name, Ports, node
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from graph_runner.run.outputs import OutputFolder
from tests.effort import cases
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.toys import Number


@node(category="toy", effect=True, saves=lambda given: [f"kept/{given['name']}.txt"])
def keep_number(x: Number, saving: Saving, name: Name = "number") -> None:
    """Save a number."""
    saving(f"kept/{name}.txt").parent.mkdir(parents=True, exist_ok=True)
    saving(f"kept/{name}.txt").write_text(str(float(x)))


@node(category="toy", effect=True, saves=lambda given: [f"kept/{given['name']}/{port}" for port in given["numbers"]])
def keep_numbers(numbers: Ports[Number], saving: Saving, name: Name = "numbers") -> None:
    """Save numbers by their names."""
    for port, x in numbers.items():
        saving(f"kept/{name}/{port}").parent.mkdir(parents=True, exist_ok=True)
        saving(f"kept/{name}/{port}").write_text(str(float(x)))


@node(category="toy", effect=True)
def show_named(x: Number, outputs: Outputs, name: str = "a") -> None:
    """A file of the run."""
    outputs.file(f"{name}.txt", lambda path: path.write_text(str(float(x))), media="text/plain")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(Registry.scan([*TOYS, __name__]), tmp_path)


ONE = {"type": "number", "params": {"value": 1}}


def keep(name: str, source: str = "one") -> dict[str, Any]:
    return {"type": "keep_number", "wires": {"x": source}, "params": {"name": name}}


@pytest.mark.parametrize(
    "name", ["model", "sd-v1.4", "a.b.c", "Größe", "猫 und Hund", "folder/sd-v1.5", "(1)", "x" * LONGEST, "console", "a..b"]
)  # fmt: skip
def test_plain_names_stay_as_they_are(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "is empty"),
        *((name, "leaves its folder") for name in ("..", "../x", "a/../b", "/etc/x")),
        *((name, "has a part without letters") for name in ("a//b", "a/", ".", "a/./b")),
        *((name, "would be hidden") for name in (".x", "a/.ssh")),
        *((name, "begins or ends in a space or a dot") for name in ("x.", "x ", " x", "a./b", "a\u00a0")),
        *((name, "means a device") for name in ("CON", "nul", "Aux.png", "a/com1", "LPT9.tar.gz", "com¹")),
        *((name, "which some systems refuse") for name in ("a\\b", "C:x", "a*", "a?", "a\0b", "a\nb", 'a"', "<a>", "a|b")),
        *((name, "too long") for name in ("x" * 300, "ü" * 100, "/".join(["abcdefgh"] * 200))),
        ("a\ud800", "half a character"),
    ],
)  # fmt: skip
def test_others_are_refused_in_a_sentence(engine: Engine, name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        safe_name(name)
    assert len(str(caught.value)) < 250
    if "\ud800" in name:
        return  # no workflow can hold it
    _, problems = validate(graph({"one": ONE, "k": keep(name)}), engine.registry)
    assert [(p.node, p.port) for p in problems] == [("k", "name")]
    assert sentence in problems[0].message
    assert problems[0].message.startswith("the name ")
    with pytest.raises(NodeError, match=rf"^s: the name .*{sentence}" if name else "^s: the name .*hidden"):
        engine.run(graph({"one": ONE, "s": {"type": "show_named", "wires": {"x": "one"}, "params": {"name": f"{name}/x" if sentence != "is empty" else ""}}}))  # fmt: skip


@settings(max_examples=cases(200, 5000))
@given(st.text(max_size=12))
def test_what_passes_is_one_file_below_the_folder(name: str) -> None:
    try:
        safe_name(name)
    except ValueError:
        return
    path = Path("/f") / f"{name}.txt"
    assert path.resolve().is_relative_to("/f")
    assert path.name == f"{name.rpartition('/')[2]}.txt"
    assert not any(part.startswith(".") for part in path.parts)


def test_names_with_dots_are_names_of_their_own(engine: Engine, tmp_path: Path) -> None:
    nodes = {"one": ONE, "a": keep("sd-v1.4"), "b": keep("sd-v1.5")}
    nodes |= {f"s{i}": {"type": "show_named", "wires": {"x": "one"}, "params": {"name": f"v1.{i}"}} for i in range(2)}
    result = engine.run(graph(nodes))
    assert sorted(file.name for file in (tmp_path / "kept").iterdir()) == ["sd-v1.4.txt", "sd-v1.5.txt"]
    assert [Path(shown.path).name for shown in result.shown] == ["v1.0.txt", "v1.1.txt"]


def test_what_is_replaced_is_told_once_a_run(engine: Engine) -> None:
    nodes = {"one": ONE, "k": keep("x"), "m": {"type": "keep_numbers", "wires": {"numbers": {"a": "one"}}}}

    def warned() -> list[tuple[str, str]]:
        return [(e.node, e.message) for e in engine.run(graph(nodes)).events if isinstance(e, events.Log)]

    assert warned() == []
    told = warned()
    assert [node for node, _ in told] == ["k", "m"]
    assert told[0][1].startswith("replaces kept/x.txt, which was saved on 20")
    nodes["k"]["params"] = {"name": "X"}
    with pytest.raises(NodeError, match=r"^k: kept/X\.txt differs from x\.txt in capitals alone"):
        engine.run(graph(nodes))


def test_two_nodes_that_save_under_one_name_are_a_problem(engine: Engine) -> None:
    def said(**nodes: Any) -> list[str]:
        found = validate(graph({"one": ONE, **nodes}), engine.registry)[1]
        return [f"{problem.severity} {problem.node}.{problem.port}: {problem.message}" for problem in found]

    assert said(a=keep("x"), b=keep("y"), c=keep("x.v2")) == []
    both = "one would replace the other"
    assert said(a=keep("x"), b=keep("x")) == [f"error b.name: saves kept/x.txt, and 'a' saves kept/x.txt: {both}"]
    assert said(a=keep("x"), b=keep("X")) == [f"error b.name: saves kept/X.txt, and 'a' saves kept/x.txt: {both}"]
    many = {"type": "keep_numbers", "wires": {"numbers": {"a": "one"}}, "params": {"name": "x.txt"}}
    other = {"type": "keep_numbers", "wires": {"numbers": {"b": "one"}}, "params": {"name": "x.txt"}}
    assert said(a=keep("x"), m=many) == [f"error m.name: saves kept/x.txt/a, and 'a' saves kept/x.txt: {both}"]
    assert said(m=many, a=keep("x")) == [f"error a.name: saves kept/x.txt, and 'm' saves kept/x.txt/a: {both}"]
    assert said(m=many, n=other) == [], "other files of one folder"
    inner = {"type": "for_each", "params": {"over": {"n": ["x", "y"]}}, "body": {"nodes": {"k": keep("x")}}}
    assert said(z=inner) == ["warning k.name: saves kept/x.txt in each step of 'z', and only the last one stays"]
    wired = {"type": "keep_number", "wires": {"x": "one", "name": "z.item.n"}}
    assert said(z=inner | {"body": {"nodes": {"k": wired}}}) == []


def test_a_name_that_comes_by_wire_is_checked_when_it_is_used(engine: Engine, tmp_path: Path) -> None:
    wired = {"type": "keep_number", "wires": {"x": "one", "name": "z.item.n"}}
    zone = {"type": "for_each", "params": {"over": {"n": ["x", "../y"]}}, "body": {"nodes": {"k": wired}}}
    with pytest.raises(NodeError, match=r"^k: the name 'kept/\.\./y\.txt' leaves its folder"):
        engine.run(graph({"one": ONE, "z": zone}))
    assert not (tmp_path / "y.txt").exists()


def test_files_of_earlier_runs_are_shown_again_under_the_names_they_have(tmp_path: Path) -> None:
    source, shown = tmp_path / "x", list[Path]()
    source.write_text("1")
    outputs = OutputFolder(tmp_path / "run", tmp_path, "", lambda path, *_: shown.append(path), "")
    for name in ("x" * 200 + "-000001.txt", "a?b.png", "what:now.txt"):
        assert outputs.again(name, source, media="text/plain") == shown[-1]
        assert shown[-1].name == name
    with pytest.raises(ValueError, match="leaves its folder"):
        outputs.again("../x", source, media="text/plain")


def test_who_has_taken_a_name() -> None:
    taken = Taken()
    assert taken.take("a/b.txt", "one") is None
    assert taken.take("a/c.txt", "two") is None
    assert taken.take("A/B.txt", "three") == ("a/b.txt", "one")
    assert taken.take("a", "four") == ("a/b.txt", "one")
    assert taken.take("a/c.txt/d", "five") == ("a/c.txt", "two")
    assert taken.take("ab", "six") is None
