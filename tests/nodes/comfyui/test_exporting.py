"""Our workflows as ComfyUI's prompts: brought back they are the same, and what its nodes cannot say is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prompts import CASES, base

from graph_runner.base.problems import WorkflowError
from graph_runner.contract import Folders
from graph_runner.format.workflow import Workflow
from nodes.comfyui.exporting import as_comfyui
from nodes.comfyui.importing import comfyui

BACK = ["text to image", "LoraLoader", "LoraLoaderModelOnly", "CLIPSetLastLayer", "image to image", "KSamplerAdvanced"]


def brought(document: dict[str, Any]) -> Workflow:
    found = comfyui(document, Folders())
    assert found is not None
    return found.workflow


@pytest.mark.parametrize("name", BACK)
def test_a_prompt_comes_back_as_it_was(name: str) -> None:
    """Its classes and inputs; and our graph of it is the same but for names and places."""
    prompt = CASES[name][0]
    again = json.loads(as_comfyui(brought(prompt)))
    assert _without_links(again) == _without_links(prompt)
    assert sorted(map(str, _kinds(brought(again)))) == sorted(map(str, _kinds(brought(prompt))))


def _without_links(prompt: dict[str, Any]) -> list[str]:
    """Of what is read or saves; the seed of no noise is none."""
    told = []
    read = {value[0] for node in prompt.values() for value in node["inputs"].values() if isinstance(value, list)}
    for id, node in prompt.items():
        if id not in read and node["class_type"] != "SaveImage":
            continue
        literals = {name: value for name, value in node["inputs"].items() if not isinstance(value, list)}
        if literals.get("add_noise") == "disable":
            del literals["noise_seed"]
        told.append(f"{node['class_type']} {sorted(literals.items())}")
    return sorted(told)


def _kinds(workflow: Workflow) -> list[Any]:
    return [(node.type, node.params) for node in workflow.nodes.values()]


def test_an_ancestral_sampler_has_one_seed() -> None:
    workflow = brought(base(sampler_name="euler_ancestral"))
    assert workflow.nodes["sample"].params["noise_seed"] == workflow.nodes["noise"].params["seed"] == 5
    assert json.loads(as_comfyui(workflow))["sample"]["inputs"]["seed"] == 5


@pytest.mark.parametrize(
    ("node", "params", "message"),
    [
        (
            "sample",
            {"spacing": "leading"},
            r"^sample: its spacing 'leading' is not ComfyUI's; it can be comfyui_normal",
        ),
        ("sample", {"solver": "plms"}, r"^sample: ComfyUI has no sampler that is the solver 'plms'"),
        ("sample", {"eta": 0.5}, r"^sample: ComfyUI has no place for its eta"),
        (
            "sample",
            {"solver": "euler_ancestral", "noise_seed": 1, "noise_as": "comfyui"},
            r"^sample: its seed is 1 and its noise's 5",
        ),
        ("prompt", {"prompts": ["a", "b"]}, r"^prompt: holds 2 prompts"),
        ("prompt", {"style": "plain", "prompts": ["a [b]"]}, r"^prompt: ComfyUI takes \[word\] for text"),
    ],
)
def test_what_they_cannot_say_is_refused_by_name(node: str, params: dict[str, Any], message: str) -> None:
    workflow = brought(base())
    changed = workflow.nodes[node].model_copy(update={"params": workflow.nodes[node].params | params})
    with pytest.raises(WorkflowError, match=message):
        as_comfyui(workflow.model_copy(update={"nodes": workflow.nodes | {node: changed}}))


def test_a_node_without_counterpart_is_refused() -> None:
    workflow = brought(CASES["ConditioningCombine"][0])
    with pytest.raises(WorkflowError, match=r"^sample: KSampler holds classifier-free guidance"):
        as_comfyui(workflow)
    inverted = brought(CASES["ImageInvert"][0])
    with pytest.raises(WorkflowError, match=r"^inverted: ComfyUI has no node for 'expression'"):
        as_comfyui(inverted)
