"""Graphs as plain Python: the script computes what the engine computes, to the same bits, and says where each line came from."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
import torch

from graph_runner.base.problems import WorkflowError
from graph_runner.context import (
    Device,
    Dtype,
    Loop,
    Metrics,
    Models,
    Outputs,
    Processes,
    Progress,
    Rng,
    Saving,
    Tell,
    TrainedState,
    Turn,
    ValueFolder,
    Workspace,
)
from graph_runner.contract import node
from graph_runner.contract.context import BUILT_IN
from graph_runner.contract.registry import Registry
from graph_runner.export.script import Script, as_python
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from tests.graph_runner.conftest import graph

RANDOM_WALK = {
    "start": {"type": "random_number", "params": {"seed": 3}},
    "walk": {
        "type": "repeat",
        "params": {"iterations": 3},
        "wires": {"state": {"x": "start"}},
        "body": {
            "nodes": {
                "inner": {
                    "type": "iterate",
                    "params": {"n": 2},
                    "wires": {"x": "walk.state.x"},
                    "body": {
                        "nodes": {
                            "step": {"type": "random_number", "params": {"seed": 5}},
                            "moved": {"type": "add", "wires": {"a": "inner.x", "b": "step"}},
                        },
                        "results": {"number": "moved"},
                    },
                }
            },
            "results": {"x": "inner"},
        },
    },
}
SWEEP = {
    "base": {"type": "number", "params": {"value": 2}},
    "sweep": {
        "type": "for_each",
        "params": {"over": {"by": [1.0, 3.0]}},
        "body": {
            "nodes": {"scaled": {"type": "scale", "wires": {"x": "base", "by": "sweep.item.by"}}},
            "results": {"scaled": "scaled"},
        },
    },
    "all": {"type": "total", "wires": {"numbers": "sweep.scaled"}},
}
TRAINING = {
    "x": {"type": "number", "params": {"value": 0.7}},
    "model0": {"type": "scalar_model", "params": {"weight": 2}},
    "fit": {
        "type": "learn",
        "params": {"n": 2, "accumulate": 2},
        "wires": {"models": {"m": "model0"}},
        "body": {
            "nodes": {
                "noise": {"type": "random_number"},
                "noisy": {"type": "add", "wires": {"a": "x", "b": "noise"}},
                "y": {"type": "applied_with_dropout", "wires": {"model": "fit.models.m", "x": "noisy"}},
                "loss": {"type": "square", "wires": {"x": "y"}},
                "look": {
                    "type": "every",
                    "params": {"steps": 1},
                    "body": {"nodes": {"seen": {"type": "record", "wires": {"x": "loss"}}}},
                },
            },
            "results": {"number": "loss"},
        },
    },
    "before": {"type": "weight_of", "wires": {"model": "model0"}},
    "after": {"type": "weight_of", "wires": {"model": "fit.m"}},
    "both": {"type": "total", "wires": {"numbers": ["before", "after"]}},
}
SLOPE = {
    "two": {"type": "number", "params": {"value": 2}},
    "down": {
        "type": "iterate",
        "wires": {"x": "two"},
        "body": {
            "nodes": {
                "squared": {"type": "square", "wires": {"x": "down.x"}},
                "steep": {"type": "slope", "wires": {"y": "squared", "x": "down.x"}},
                "part": {"type": "scale", "params": {"by": 0.25}, "wires": {"x": "steep"}},
            },
            "results": {"number": "part"},
        },
    },
}
JOINED = {
    "model": {"type": "scalar_model", "params": {"weight": 3}},
    "a": {"type": "vector", "params": {"values": [1.0, 2.0]}},
    "twice": {
        "type": "iterate",
        "wires": {"x": "a"},
        "body": {
            "nodes": {
                "one": {"type": "joined", "wires": {"x": "twice.x", "model": "model"}},
                "other": {"type": "joined", "wires": {"x": "a", "model": "model"}},
                "sum": {"type": "add", "wires": {"a": "one", "b": "other"}},
            },
            "results": {"number": "sum"},
        },
    },
}
COPIES = {
    "model": {"type": "scalar_model"},
    "nudged": {"type": "nudge", "params": {"by": 2.5}, "wires": {"model": "model"}},
    "old": {"type": "weight_of", "wires": {"model": "model"}},
    "new": {"type": "weight_of", "wires": {"model": "nudged"}},
    "parts": {"type": "halves", "wires": {"x": "new"}},
    "most": {"type": "largest", "wires": {"numbers": {"o": "old", "h": "parts.high"}}},
}
NAMES = {  # ids that are Python's words, functions' names, or ports' names
    "number": {"type": "number", "params": {"value": 5}},
    "class": {"type": "scale", "wires": {"x": "number"}},
    "x": {"type": "scale", "params": {"by": -0.5}, "wires": {"x": "class"}},
    "iterate": {
        "type": "iterate",
        "wires": {"x": "x"},
        "body": {
            "nodes": {"add": {"type": "add", "wires": {"a": "iterate.x", "b": "x"}}},
            "results": {"number": "add"},
        },
    },
}
TWO_NAMES = {
    "one": {"type": "number", "params": {"value": 1}},
    "model": {"type": "scalar_model", "params": {"weight": 0.5}},
    "fit": {
        "type": "learn",
        "wires": {"models": {"a": "model", "b": "model"}},
        "body": {
            "nodes": {
                "y": {"type": "apply", "wires": {"model": "fit.models.a", "x": "one"}},
                "z": {"type": "apply", "wires": {"model": "fit.models.b", "x": "y"}},
                "loss": {"type": "square", "wires": {"x": "z"}},
            },
            "results": {"number": "loss"},
        },
    },
    "weight": {"type": "weight_of", "wires": {"model": "fit.b"}},
}
GRAPHS: dict[str, tuple[dict[str, Any], str]] = {
    "random walk": (RANDOM_WALK, "walk.x"),
    "sweep": (SWEEP, "all"),
    "training": (TRAINING, "both"),
    "slope": (SLOPE, "down"),
    "joined": (JOINED, "twice"),
    "copies": (COPIES, "most"),
    "names": (NAMES, "iterate"),
    "one model under two names": (TWO_NAMES, "weight"),
}


def exported(
    workflow: Workflow, registry: Registry, workspace: Path, seed: int = 0
) -> tuple[Script, Mapping[str, Any]]:
    script = as_python(workflow, registry, workspace, seed)
    assert re.findall(r"^\s*(?:from|import) (?:graph_runner|nodes|tests)\b", script.text, re.MULTILINE) == []
    module = ModuleType("exported")
    with patch.dict(sys.modules, {"exported": module}):  # as an import does, for dataclasses look there
        exec(compile(script.text, "exported", "exec"), vars(module))
    return script, vars(module)


@pytest.mark.parametrize("name", GRAPHS)
def test_it_computes_the_same_bits(name: str, engine: Engine) -> None:
    nodes, output = GRAPHS[name]
    workflow = graph(nodes, exposed={"outputs": {"out": output}})
    wanted = engine.run(workflow, targets=["out"], seed=4).values["out"]
    _, module = exported(workflow, engine.registry, engine.workspace, seed=4)
    assert torch.equal(module["run"]()["out"], wanted)
    assert torch.equal(module["run"]()["out"], wanted), "and again"


NASTY = '"""\nraise SystemExit\n"""'


@pytest.mark.parametrize(
    "text",
    [
        NASTY,
        "a" * 119 + '"""' * 3,
        "\\",
        'ends with "',
        '"""',
        "\\N{no}",
        "# \r\nraise SystemExit",
        "a\u2028b\x85c\x0c",
    ],
)
def test_texts_of_a_workflow_are_never_code(text: str, engine: Engine) -> None:
    nodes = {"hello": {"type": "text", "params": {"value": text}}}
    exposed = {"params": {"said": "hello.value"}, "outputs": {"out": "hello"}}
    workflow = graph(nodes, title=text, about=text, exposed=exposed)
    script, module = exported(workflow, engine.registry, engine.workspace)
    assert module["run"]() == {"out": text}
    assert [type(part).__name__ for part in ast.parse(script.text).body if isinstance(part, ast.Raise | ast.Call)] == []


def test_what_is_exposed_is_a_keyword_argument(engine: Engine) -> None:
    exposed = {"params": {"by": "x.by", "start": "number.value"}, "outputs": {"out": "iterate"}}
    workflow = graph(NAMES, exposed=exposed, title="Names")
    script, module = exported(workflow, engine.registry, engine.workspace)
    wanted = engine.run(workflow, inputs={"by": 4.0, "start": 2.0}, targets=["out"]).values["out"]
    assert torch.equal(module["run"](by=4.0, start=2.0)["out"], wanted)
    assert "start: the number." in module["run"].__doc__
    assert script.left_out == []


def test_uses_of_a_definition_are_nodes_of_their_own(engine: Engine) -> None:
    definition = {
        "inputs": ["x", "by"],
        "nodes": {
            "drawn": {"type": "random_number", "params": {"seed": 2}},
            "scaled": {"type": "scale", "wires": {"x": "inputs.x", "by": "inputs.by"}},
            "sum": {"type": "add", "wires": {"a": "drawn", "b": "scaled"}},
        },
        "results": {"y": "sum"},
    }
    nodes = {
        "one": {"type": "number", "params": {"value": 1}},
        "first": {"type": "moved", "params": {"by": 2.0}, "wires": {"x": "one"}},
        "second": {"type": "moved", "params": {"by": 3.0}, "wires": {"x": "first"}},
    }
    exposed = {"params": {"by": "second.by"}, "outputs": {"out": "second"}}
    workflow = graph(nodes, definitions={"moved": definition}, exposed=exposed)
    script, module = exported(workflow, engine.registry, engine.workspace, seed=6)
    wanted = engine.run(workflow, targets=["out"], seed=6).values["out"]
    assert torch.equal(module["run"]()["out"], wanted)
    assert {line.node for line in script.lines} >= {"first/scaled", "second/scaled"}
    assert script.left_out == ["by: it is of a definition, and stands in the script as a literal"]


@node(category="toy", effect=True, saves=lambda _: ["models/asked"])
def asks_for_all(
    device: Device,
    dtype: Dtype,
    loop: Loop,
    metrics: Metrics,
    models: Models,
    outputs: Outputs,
    processes: Processes,
    progress: Progress,
    rng: Rng,
    saving: Saving,
    tell: Tell,
    trained: TrainedState,
    turn: Turn,
    folder: ValueFolder,
    workspace: Workspace,
) -> None:
    """Uses all that a node can be handed."""
    for step in loop(2):
        metrics(step=step)
        progress(step, 2)
    tell("all is there", "info")
    with pytest.raises(ValueError, match="run the workflow"):
        trained("an earlier run")
    shown = torch.zeros(processes.world, device=device, dtype=dtype)

    def write(path: Path) -> None:
        path.write_text(f"{len(shown)} {len(models)}")

    outputs.file("shown.txt", write, media="text/plain")
    saving("models/asked").write_text(f"{rng.randint(1, 1)[0]} {workspace.name} {folder.name} {turn}")


def test_all_that_the_engine_hands_to_nodes_is_there(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = engine.registry.including(asks_for_all)
    assert set(registry["asks_for_all"].injected.values()) == BUILT_IN - {"watch"}  # which callbacks alone may take
    _, module = exported(graph({"asked": {"type": "asks_for_all"}}), registry, engine.workspace)
    monkeypatch.chdir(tmp_path)
    module["run"]()
    out, err = capsys.readouterr()
    assert "step 1" in out
    assert "all is there" in err
    assert (tmp_path / "outputs/shown.txt").read_text() == f"1 {len(registry.models)}"
    assert (tmp_path / "outputs/models/asked").read_text() == f"0 {engine.workspace.name} asked {Turn(0, 1)}"


def test_each_line_says_its_node(engine: Engine) -> None:
    script, _ = exported(graph(TRAINING, exposed={"outputs": {"out": "both"}}), engine.registry, engine.workspace)
    lines = script.text.splitlines()
    for line in script.lines:
        assert line.type in ("learn", *(each["type"] for each in _all(TRAINING)))
    calls = {line.node for line in script.lines if f"{line.type}(" in lines[line.number - 1]}
    assert {"x", "model0", "fit", "noise", "noisy", "y", "loss", "before", "after", "both"} <= calls
    assert "look" in script.left_out[0]
    rows = [line.split() for line in lines if line.startswith("# ")]
    assert ["fit", "learn"] in [row[-3:-1] for row in rows]


def test_it_names_only_what_it_has(engine: Engine) -> None:
    for nodes, output in GRAPHS.values():
        script, module = exported(graph(nodes, exposed={"outputs": {"out": output}}), engine.registry, engine.workspace)
        parts = list(ast.walk(ast.parse(script.text)))
        names = [part for part in parts if isinstance(part, ast.Name)]
        bound = {part.id for part in names if isinstance(part.ctx, ast.Store)}
        bound |= {part.arg for part in parts if isinstance(part, ast.arg)}
        bound |= {part.name for part in parts if isinstance(part, ast.FunctionDef)}
        assert {part.id for part in names} <= bound | module.keys() | set(dir(builtins))


def test_files_that_nodes_show_lie_in_a_folder(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = {
        "one": {"type": "number", "params": {"value": 1.5}},
        "show": {"type": "show_number", "wires": {"x": "one"}},
    }
    _, module = exported(graph(nodes), engine.registry, engine.workspace)
    monkeypatch.chdir(tmp_path)
    assert module["run"]() == {}
    module["run"]()
    assert (tmp_path / "outputs/number.txt").read_text() == (tmp_path / "outputs/number-2.txt").read_text() == "1.5"


def test_paths_start_at_the_workspace(engine: Engine) -> None:
    (engine.workspace / "number.txt").write_text("4.5")
    nodes = {"read": {"type": "read_number", "params": {"path": "number.txt"}}}
    script, module = exported(graph(nodes, exposed={"outputs": {"out": "read"}}), engine.registry, engine.workspace)
    assert 'WORKSPACE / "number.txt"' in script.text
    assert module["run"]()["out"] == 4.5


def test_a_function_that_no_module_holds_is_named(engine: Engine) -> None:
    @node(category="toy")
    def local(x: float = 1.0) -> float:
        """A node of a test's own."""
        return x

    registry = engine.registry.with_nodes({"local": local.__node__})  # type: ignore[attr-defined]
    with pytest.raises(WorkflowError) as told:
        as_python(graph({"mine": {"type": "local"}}, exposed={"outputs": {"o": "mine"}}), registry, engine.workspace)
    [problem] = told.value.problems
    assert problem.node == "mine"
    assert "inside of a function" in problem.message


def test_a_wrong_workflow_is_refused_as_by_a_run(engine: Engine) -> None:
    with pytest.raises(WorkflowError, match="missing"):
        as_python(graph({"sum": {"type": "add"}}, exposed={"outputs": {"o": "sum"}}), engine.registry, engine.workspace)
    with pytest.raises(WorkflowError, match="nothing to do"):
        as_python(graph({"one": {"type": "number"}}), engine.registry, engine.workspace)


def _all(nodes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [each for node in nodes.values() for each in (node, *_all(node.get("body", {}).get("nodes", {})))]
