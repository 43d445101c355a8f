"""Prompts of other styles through the engine: a schedule and AND inside of `sample`, and noise of other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from core.conditioning.parts import PARTS
from core.conditioning.prompted import Prompted
from core.diffusion import torch_noise
from graph_runner.base.events import Log
from graph_runner.bind.validate import errors, validate
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError

sys.path.append(str(Path(__file__).parents[1] / "core" / "checkpoints"))
import tiny_pipelines


def graph(prompts: list[str], steps: int = 2, **sampling: Any) -> Workflow:
    """A text to image graph whose prompts may change, and one for each of the plain prompts that they say."""
    halves = {"text_encoder": "model.text_encoder", "tokenizer": "model.tokenizer"}
    told = {"model": "model.unet", "z": "sample.z", "t": "sample.t"}
    moment = {"step": "sample.step", "share": "sample.share"}
    body = {
        "cond": {"type": "denoise_prompt", "wires": {**told, **moment, "condition": "prompt", "uncond": "uncond"}},
        "uncond": {"type": "denoise", "wires": {**told, "condition": "null"}},
        "guide": {"type": "cfg_combine", "params": {"scale": 3.0}, "wires": {"cond": "cond", "uncond": "uncond"}},
    }
    nodes = {
        "model": {"type": "load_checkpoint", "params": {"path": "sd"}},
        "prompt": {"type": "text_context", "params": {"prompts": prompts, "style": "a1111"}, "wires": halves},
        "null": {"type": "text_context", "params": {"prompts": [""], "style": "a1111"}, "wires": halves},
        "noise": {"type": "torch_noise", "params": {"shape": [1, 4, 8, 8], "seed": 3, "noise_as": "a1111"}},
        "sample": {
            "type": "sample",
            "params": {"steps": steps, "solver": "euler_ancestral", "noise_as": "a1111", "noise_seed": 3, **sampling},
            "wires": {"noise": "noise", "schedule": "model.schedule"},
            "body": {"nodes": body, "results": {"prediction": "guide"}},
        },
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny_pipelines.PIPELINES["Stable Diffusion 1"](tmp_path).save_pretrained(tmp_path / "sd")
    return tmp_path


@pytest.mark.usefixtures("model")
def test_prompts_change_and_join_within_a_sampling(engine: Engine) -> None:
    def sampled(prompt: str, **sampling: Any) -> torch.Tensor:
        found: torch.Tensor = engine.run(graph([prompt], **sampling), targets=["sample"]).values["sample"]
        return found

    same, other = sampled("a red circle"), sampled("two blue squares")
    assert not torch.allclose(same, other)
    torch.testing.assert_close(sampled("[a red circle:two blue squares:1.0]"), same)
    torch.testing.assert_close(sampled("[a red circle:two blue squares:0]"), other)
    torch.testing.assert_close(sampled("[a red circle|a red circle]"), same)
    torch.testing.assert_close(sampled("a red circle AND two blue squares :0"), same)
    torch.testing.assert_close(sampled("a red circle :.5 AND a red circle :.5"), same, atol=1e-4, rtol=1e-4)
    changed = sampled("[a red circle:two blue squares:1]")
    assert not torch.allclose(changed, same)
    assert not torch.allclose(changed, other)
    assert not torch.allclose(sampled("a red circle", noise_as="by row"), same)
    with pytest.raises(NodeError, match=r"^sample: a1111 draws the noise that dpmpp_sde adds from a Brownian path"):
        sampled("a red circle", solver="dpmpp_sde")


@pytest.mark.usefixtures("model")
def test_a_condition_that_changes_is_kept_and_its_place_told(engine: Engine) -> None:
    run = engine.run(graph(["a [red|blue circle", "a :0.5 AND [b:c:1]"]), targets=["prompt", "noise"])
    condition = run.values["prompt"]
    again = type(condition).from_tree(condition.to_tree())
    assert PARTS.holds(Prompted)
    assert again[Prompted].cells == condition[Prompted].cells
    assert any("character 3: “[” is never closed" in event.message for event in run.events if isinstance(event, Log))
    assert torch.equal(run.values["noise"], torch_noise.start("a1111", 3)(1, 4, 8, 8))


def test_style_and_noise_leave_keys_as_they_were_at_their_defaults() -> None:
    registry = Registry.installed()
    for node, port in (("text_context", "style"), ("sample", "noise_as"), ("sample", "noise_seed")):
        assert registry[node].params[port].neutral is not None
    _, problems = validate(graph(["a"]), registry)
    assert all("path" in str(problem) for problem in errors(problems))
