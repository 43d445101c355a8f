"""Shipped workflows as plain Python: they compute the same bits without the engine, sampling and training alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base.problems import WorkflowError
from graph_runner.cli.arguments import parse
from graph_runner.cli.commands import export
from graph_runner.contract.registry import Registry
from graph_runner.export.script import as_python
from graph_runner.format.workflow import Body, Node, Workflow, load, save
from graph_runner.run.engine import Engine
from tests.workflows.test_shipped import NAMES, WORKFLOWS, small

RUN = """
import runpy, sys, torch
made = runpy.run_path(sys.argv[1])["run"]()
torch.save(made, sys.argv[2])
print([name for name in ("graph_runner", "nodes", "pydantic") if name in sys.modules])
"""


def alone(script: Path, folder: Path) -> dict[str, Any]:
    """What a script gives in a process of its own, which has never heard of the engine."""
    result = folder / "made.pt"
    command = [sys.executable, "-W", "error", "-c", RUN, str(script), str(result)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    made: dict[str, Any] = torch.load(result)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sample", "quickstart", "vq_autoencoder", "image_guidance", "guidance_interval"])
def test_the_script_gives_the_same_bits(
    name: str, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine(registry, tmp_path / "workspace")
    workflow, path, script = small(name), tmp_path / "workflow.json", tmp_path / "script.py"
    save(workflow, path)
    arguments = ["export", str(path), "--python", "--output", str(script), "--seed", "3", "--table"]
    assert export(parse([*arguments, "--workspace", str(engine.workspace)])) == 0
    told = capsys.readouterr().out
    assert f"{script}: " in told
    made = alone(script, tmp_path)
    outputs = workflow.exposed.outputs
    wanted = engine.run(workflow, targets=outputs, seed=3).values
    assert made.keys() == outputs.keys()
    for output in outputs:
        assert torch.equal(made[output], wanted[output]), output


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_workflow_can_be_exported(name: str, registry: Registry, tmp_path: Path) -> None:
    """Those too whose pictures or models are not here: whoever runs the script may have them."""
    workflow: Workflow = load(WORKFLOWS / f"{name}.json")
    script = as_python(workflow, registry, tmp_path)
    compile(script.text, name, "exec")
    came = {line.node for line in script.lines}
    assert came
    assert came.isdisjoint(sentence.partition(":")[0] for sentence in script.left_out)
    assert max(map(len, script.text.splitlines())) < 200


@pytest.mark.parametrize("name", ["continue_from", "warm_start"])
def test_what_begins_with_a_checkpoint_is_refused_by_name(name: str, registry: Registry, tmp_path: Path) -> None:
    workflow: Workflow = load(WORKFLOWS / "quickstart.json")
    workflow.nodes["autoencoder"].params[name] = "runs/an-earlier-one"
    with pytest.raises(WorkflowError) as told:
        as_python(workflow, registry, tmp_path)
    assert [(each.node, each.port) for each in told.value.problems] == [("autoencoder", name)]
    assert "checkpoint" in told.value.problems[0].message


def test_a_callback_that_ends_a_training_is_refused_by_name(registry: Registry, tmp_path: Path) -> None:
    workflow: Workflow = load(WORKFLOWS / "quickstart.json")
    body = workflow.nodes["autoencoder"].body
    assert body is not None
    some = next(iter(body.nodes))
    body.nodes["stop"] = Node(type="early_stopping", body=Body(nodes={}, results={"metric": some}))
    with pytest.raises(WorkflowError) as told:
        as_python(workflow, registry, tmp_path)
    assert [each.node for each in told.value.problems] == ["stop"]
    assert "decides" in told.value.problems[0].message
