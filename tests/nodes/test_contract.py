"""What holds for every node: documented, deterministic, and pure unless it says otherwise."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graph_runner.catalog.describe import describe
from graph_runner.context import Processes, Rng
from graph_runner.contract.registry import Registry
from graph_runner.contract.spec import NodeSpec
from tests.nodes.samples import INPUTS, PARAMS, WIRES

REGISTRY = Registry.scan(["graph_runner.zones", "nodes"])

# Why a node is not called here; everything else is.
ELSEWHERE = {
    **dict.fromkeys(["repeat", "for_each", "every", "group", "timed"], "tests/graph_runner"),
    **dict.fromkeys(["switch", "repeat_until", "accumulate", "scan"], "tests/graph_runner/test_control.py"),
    "early_stopping": "tests/nodes/test_early_stopping.py",
    "search": "tests/nodes/test_search.py",
    **dict.fromkeys(["train", "sample", "invert"], "zones: tests/nodes/test_train_zone.py, test_sampling.py"),
    **dict.fromkeys(["variational_bound", "flow_likelihood"], "zones: tests/nodes/test_likelihood.py"),
    **dict.fromkeys(["adaptive_weight", "likelihood_gradient"], "need a graph of gradients: tests/nodes"),
    **dict.fromkeys(
        ["load_autoencoder", "load_unet", "load_class_embedder", "load_model", "load_checkpoint"], "read files"
    ),
    **dict.fromkeys(["load_discriminator", "load_classifier"], "read files"),
    "inception_score": "needs Inception: tests/nodes/test_metrics.py",
    **dict.fromkeys(["load_tokenizer", "load_image", "load_mask_image", "image_folder"], "read files"),
    **dict.fromkeys(
        ["picture_table", "image_mask_pairs", "image_map_pairs", "coco_objects", "arrow_dataset", "webdataset_shards"],
        "read files: tests/nodes/test_sources.py",
    ),
    **dict.fromkeys(["webdataset_stream", "parquet_stream"], "read files: tests/nodes/test_sources.py"),
    "load_table": "reads a file: tests/nodes/test_tables.py",
    **dict.fromkeys(
        ["lora", "lora_unet", "lora_text_encoder", "textual_inversion", "lpips_network", "inception_network"],
        "read files",
    ),
    **dict.fromkeys(["load_controlnet", "load_t2i_adapter"], "read files: tests/nodes/test_control.py"),
    **dict.fromkeys(["load_ip_adapter", "load_image_encoder"], "read files: tests/nodes/test_image_prompts.py"),
    "load_image_embedder": "reads files: tests/core/checkpoints/test_kin.py",
    **dict.fromkeys(["dinov2_network", "clip_score_network"], "read files: tests/nodes/test_metrics_in_two.py"),
    "load_statistics": "reads a file: tests/nodes/test_metrics.py",
    **dict.fromkeys(
        ["preset_autoencoder", "preset_unet", "preset_mmdit", "preset_pixart"], "hundreds of millions of parameters"
    ),
}

# Nodes that need a package without which the rest runs.
OPTIONAL = {
    **dict.fromkeys(["plot_image", "save_plot"], "matplotlib"),
    **dict.fromkeys(["lion", "prodigy", "schedule_free_adamw"], "pytorch_optimizer"),
    "adam_8bit": "bitsandbytes",
}


@pytest.fixture(params=sorted(REGISTRY))
def spec(request: pytest.FixtureRequest) -> NodeSpec:
    return REGISTRY[request.param]


def test_every_node_documents_each_literal_and_describes_itself_as_json(spec: NodeSpec) -> None:
    assert spec.summary.endswith("."), spec.summary
    for port in spec.inputs:
        if port.name in spec.params:
            assert port.help, f"{spec.type}.{port.name} has no help"
    described = describe(spec)
    assert {entry["name"] for entry in described["inputs"]} == set(spec.input)


def test_every_kept_output_can_be_stored(spec: NodeSpec) -> None:
    for port in spec.outputs:
        kept = port.type.wire is not None and port.type.wire.codec is not None
        plain = port.type.base is Tensor or port.type.variable or port.type.base in (int, float, str, bool)
        assert not spec.keep or kept or plain, f"{spec.type}.{port.name} is kept on disk and has no codec"


class FakeOutputs:
    workflow = "{}"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, name: str, write: Any, *, media: str, preview: bool = False) -> Path:
        write(self.folder / name)
        return self.folder / name


def arguments(spec: NodeSpec, folder: Path) -> dict[str, Any]:
    kwargs: dict[str, Any] = {}
    for port in spec.inputs:
        if port.name in INPUTS.get(spec.type, {}):
            kwargs[port.name] = INPUTS[spec.type][port.name]()
        elif port.name in PARAMS.get(spec.type, {}):
            kwargs[port.name] = PARAMS[spec.type][port.name]
        elif port.name in spec.params:
            kwargs[port.name] = spec.params[port.name].default
        elif port.named:
            kwargs[port.name] = {"a": WIRES["unet" if port.type.variable else port.type.name]()}
        elif port.type.variable:
            kwargs[port.name] = [WIRES["unet"]()] if port.type.many else WIRES["unet"]()
        else:
            value = WIRES[port.type.name]
            kwargs[port.name] = [value(), value()] if port.type.many else value()
    own = {
        "rng": Rng(7),
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "workspace": folder,
        "value_folder": folder / "value",
        "saving": folder.joinpath,
        "outputs": FakeOutputs(folder),
        "metrics": lambda **_: None,
        "progress": lambda *_: None,
        "tell": lambda *_: None,
        "processes": Processes(),
        "models": REGISTRY.models,
    }
    if spec.draws and "seed" in spec.params:
        kwargs.pop("seed")
    return kwargs | {name: own[kind] for name, kind in spec.injected.items()}


def plain(value: Any) -> Any:
    """A value as something that compares: tensors of modules and objects laid open."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, nn.Module):
        return {**{k: v.clone() for k, v in value.state_dict().items()}, "training": value.training}
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "__dict__") and not isinstance(value, type):
        return {k: plain(v) for k, v in vars(value).items() if not k.startswith("_")}
    return value


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and (a == b or a is b or not isinstance(a, int | float | str | bool | None))


def test_every_node_leaves_its_inputs_alone_and_gives_the_same_again(spec: NodeSpec, tmp_path: Path) -> None:
    if spec.type in ELSEWHERE:
        pytest.skip(ELSEWHERE[spec.type])
    if spec.type in OPTIONAL:
        pytest.importorskip(OPTIONAL[spec.type])
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        kwargs = arguments(spec, tmp_path)
        wired = {name: value for name, value in kwargs.items() if name in spec.input}
        before = copy.deepcopy({name: plain(value) for name, value in wired.items()})
        torch.manual_seed(1)
        with torch.no_grad():
            results.append(spec.function(**kwargs))
        for name, value in wired.items():
            if name not in spec.mutates:
                assert equal(plain(value), before[name]), f"{spec.type} changed its input {name!r}"
    assert equal(plain(results[0]), plain(results[1])), f"{spec.type} gave two results for one seed"
    assert spec.effect or results[0] is not None


def test_the_list_of_exceptions_is_current() -> None:
    assert set(ELSEWHERE) <= set(REGISTRY), set(ELSEWHERE) - set(REGISTRY)
