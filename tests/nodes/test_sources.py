"""Each source as a node: what a batch of it holds, trained on, stopped or killed, and gone on with to the same bits."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base.events import Log, Metric
from graph_runner.format.workflow import Workflow, save
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError
from graph_runner.store.folders import load_tree
from tests import sources
from tests.effort import THOROUGH
from tests.nodes.test_processes import leaves
from tests.nodes.test_resume import kill_while_it_trains, newest, start

N = 12
Node = dict[str, Any]


def pairs(kind: str, node: str, others: str) -> Callable[[Path], Node]:
    def made(root: Path) -> Node:
        sources.pairs(root, N, kind)
        return {"type": node, "params": {"images": "d/images", others: "d/others"}}

    return made


def coco(root: Path) -> Node:
    sources.coco(root, N)
    return {"type": "coco_objects", "params": {"annotations": "d/instances.json", "images": "d/images"}}


def at(node: str, write: Callable[..., Any], *arguments: Any, file: str = "", **params: Any) -> Callable[[Path], Node]:
    def made(root: Path) -> Node:
        write(root, *arguments)
        return {"type": node, "params": {"path": f"d/{file}" if file else "d", **params}}

    return made


SOURCES: dict[str, Callable[[Path], Node]] = {
    "jsonl": at("picture_table", sources.table, N, file="pictures.jsonl"),
    "csv": at("picture_table", sources.table, N, "csv", file="pictures.csv"),
    "masks": pairs("mask", "image_mask_pairs", "masks"),
    "maps": pairs("map", "image_map_pairs", "maps"),
    "coco": coco,
    "parquet": at("arrow_dataset", sources.parquet, N),
    "saved": at("arrow_dataset", sources.saved, N, split="train"),
    "tar": at("webdataset_shards", sources.shards, N),
    "folder": at("image_folder", sources.table, N, resolution=16),
    "parquet stream": at("parquet_stream", sources.parquet, N, resolution=16, crop="random"),
    "tar stream": at("webdataset_stream", sources.shards, N, resolution=16, flip=True),
}
LABELLED = ("jsonl", "csv", "parquet", "saved", "tar", "parquet stream", "tar stream")
FRAME: Node = {"type": "frame_pictures", "params": {"height": 16, "width": 16, "crop": "random", "flip": True}}
BUCKETS: Node = {"type": "bucket_pictures", "params": {"resolution": 32, "multiple": 8, "crop": "random", "flip": True}}


def shaped(kind: str, source: Node) -> dict[str, Node]:
    """The source, and what shapes it: buckets of a balanced part for those with labels, a frame for the others."""
    if kind.endswith("stream"):
        return {
            "source": source,
            "data": {"type": "stream_head", "params": {"count": 10}, "wires": {"stream": "source"}},
        }
    if kind in LABELLED:
        return {
            "source": source,
            "split": {"type": "split_dataset", "params": {"validation": 0.4}, "wires": {"data": "source"}},
            "balanced": {"type": "balance_classes", "wires": {"data": "split.training"}},
            "data": {**BUCKETS, "wires": {"data": "balanced"}},
        }
    return {"source": source, "data": {**(BUCKETS if kind == "folder" else FRAME), "wires": {"data": "source"}}}


def training(kind: str, root: Path, steps: int, workers: int = 0) -> Workflow:
    own = "fit.models.ae"
    body = {
        "images": {"type": "batch_images", "wires": {"batch": "fit.batch"}},
        "post": {"type": "posterior", "wires": {"autoencoder": own, "images": "images"}},
        "z": {"type": "sample_posterior", "wires": {"autoencoder": own, "posterior": "post"}},
        "again": {"type": "decode", "wires": {"autoencoder": own, "z": "z"}},
        "loss": {
            "type": "reconstruction_loss",
            "params": {"reduction": "mean"},
            "wires": {"a": "again", "b": "images"},
        },
        "goal": {"type": "objective", "wires": {"loss": "loss", "models": [own], "optimizer": "adam"}},
    }
    tiny = {"model_channels": 4, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 2, "mid_attention": False}
    nodes: dict[str, Any] = {
        **shaped(kind, SOURCES[kind](root / "d")),
        "ae0": {"type": "kl_autoencoder", "params": tiny},
        "adam": {"type": "adamw", "params": {"lr": 0.01}},
        "fit": {
            "type": "train",
            "params": {"steps": steps, "batch_size": 4, "workers": workers},
            "wires": {"data": "data", "models": {"ae": "ae0"}},
            "body": {"nodes": body, "results": {"objectives": ["goal"]}},
        },
        "keep": {"type": "save_models", "params": {"name": "ae"}, "wires": {"models": {"ae": "fit.models.ae"}}},
    }
    return Workflow.model_validate({"loom": 1, "title": "a source", "nodes": nodes})


def run(engine: Engine, nodes: dict[str, Any], *targets: str) -> Result:
    return engine.run(Workflow.model_validate({"loom": 1, "nodes": nodes}), targets=targets)


@pytest.mark.parametrize("kind", SOURCES)
def test_a_batch_holds_what_the_source_has(kind: str, engine: Engine, tmp_path: Path) -> None:
    data = {"source": SOURCES[kind](tmp_path / "d"), "data": {**FRAME, "wires": {"data": "source"}}}
    if kind.endswith("stream"):
        data = shaped(kind, data["source"])
    some = {"type": "take_batch", "params": {"count": 3}, "wires": {"data": "data"}}
    batch = run(engine, {**data, "some": some}, "some").values["some"]
    assert batch["images"].shape == (3, 3, 16, 16)
    assert batch["original_size"].tolist() != [[16, 16]] * 3
    if kind in LABELLED:
        assert batch["labels"].tolist() == [0, 1, 2]
    if kind != "coco" and kind != "folder":
        assert batch["captions"] == list(map(sources.caption, range(3)))
    if kind == "masks":
        assert batch["masks"].shape == (3, 1, 16, 16)
    if kind == "maps":
        assert batch["segmentation"].shape == (3, 16, 16)
    if kind == "coco":
        assert batch["boxes"].shape == (3, 1, 4)


@pytest.mark.parametrize("kind", SOURCES)
def test_a_training_on_it_that_is_continued_is_one_that_was_never_stopped(
    kind: str, engine: Engine, tmp_path: Path
) -> None:
    for steps in (2, 5):
        continued = engine.run(training(kind, tmp_path, steps), targets=["fit.models.ae"]).values["fit.models.ae"]
    whole = Engine(engine.registry, tmp_path / "whole")
    straight = whole.run(training(kind, tmp_path / "whole", 5), targets=["fit.models.ae"]).values["fit.models.ae"]
    for name, weight in straight.state_dict().items():
        assert torch.equal(weight, continued.state_dict()[name]), name


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", list(SOURCES) if THOROUGH else ["jsonl", "parquet", "tar stream"])
def test_a_training_on_it_is_killed_and_goes_on_to_the_same_bits(kind: str, tmp_path: Path) -> None:
    steps, chance = 60, random.Random(kind)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for workspace in (whole, killed):
        workspace.mkdir()
        save(training(kind, workspace, steps, workers=1), tmp_path / "fit.json")
    assert start(whole, tmp_path / "fit.json").wait() == 0
    for while_writing in (False, True):
        kill_while_it_trains(killed, tmp_path / "fit.json", chance, while_writing)
    assert 0 < newest(killed) < steps, "both kills came while it trained"
    assert start(killed, tmp_path / "fit.json").wait() == 0
    (a,), (b,) = ((w / "checkpoints").glob(f"*/step-{steps}") for w in (whole, killed))
    left, right = leaves(load_tree(a)), leaves(load_tree(b))
    assert left.keys() == right.keys()
    for key, value in left.items():
        assert torch.equal(value, right[key]) if isinstance(value, torch.Tensor) else value == right[key], key


def test_a_source_that_stays_as_it_is_is_trained_on_once_and_a_changed_one_anew(engine: Engine, tmp_path: Path) -> None:
    first = engine.run(training("tar", tmp_path, 2), targets=["fit.models.ae"])
    again = engine.run(training("tar", tmp_path, 2), targets=["fit.models.ae"])
    assert not any(isinstance(event, Metric) for event in again.events)
    workflow = training("tar", tmp_path, 2)
    [one, other] = sorted((tmp_path / "d").glob("*.tar"))
    one.write_bytes(other.read_bytes())
    changed = engine.run(workflow, targets=["fit.models.ae"])
    assert any(isinstance(event, Metric) for event in changed.events)
    weights = [result.values["fit.models.ae"].state_dict() for result in (first, changed)]
    assert not all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_what_is_left_out_and_how_buckets_are_filled_is_told(engine: Engine, tmp_path: Path) -> None:
    source = SOURCES["masks"](tmp_path / "d")
    (tmp_path / "d" / "others" / "003.png").unlink()
    result = run(engine, {"source": source, "data": {**BUCKETS, "wires": {"data": "source"}}}, "data")
    told = [event.message for event in result.events if isinstance(event, Log)]
    assert any("without a mask, left out: 003.png" in message for message in told)
    assert any("buckets: 24 × 40: 3" in message or "32 × 32: 3" in message for message in told), told


def test_data_of_one_size_is_refused_with_what_to_do(engine: Engine) -> None:
    nodes = {"shapes": {"type": "shapes_dataset"}, "data": {**BUCKETS, "wires": {"data": "shapes"}}}
    with pytest.raises(NodeError, match="a Shapes has no pictures of their own size; wire a data set that reads files"):
        run(engine, nodes, "data")


def test_sizes_are_a_condition_that_a_denoiser_takes(engine: Engine, tmp_path: Path) -> None:
    tiny = {"in_channels": 3, "out_channels": 3, "model_channels": 8, "channel_mult": [1], "num_heads": 1}
    nodes: dict[str, Any] = {
        "source": SOURCES["jsonl"](tmp_path / "d"),
        "data": {**FRAME, "wires": {"data": "source"}},
        "batch": {"type": "take_batch", "params": {"count": 2}, "wires": {"data": "data"}},
        "z": {"type": "gaussian_noise", "params": {"shape": [2, 3, 16, 16]}},
        "told": {"type": "batch_sizes", "params": {"dim": 4}, "wires": {"batch": "batch"}},
        "typed": {
            "type": "size_condition",
            "params": {"original": [32, 48], "crop_top_left": [0, 4], "target": [16, 16], "dim": 4},
        },
        "unet": {"type": "unet", "params": {**tiny, "attention_factors": [], "norm_groups": 4, "vector_dim": 24}},
        "t": {"type": "random_timesteps", "wires": {"schedule": "schedule", "z": "z"}},
        "schedule": {"type": "noise_schedule"},
        "eps": {
            "type": "denoise",
            "wires": {"model": "unet", "z": "z", "t": "t", "condition": "told"},
        },
    }
    values = run(engine, nodes, "eps", "told", "typed").values
    assert values["eps"].shape == (2, 3, 16, 16)
    assert torch.equal(values["told"].y[:1], values["typed"].y), "the middle of 32 × 48, resized to 16 × 24"


def test_the_plain_start_imports_none_of_the_extra() -> None:
    check = "import sys, nodes.sources, nodes.shaping, graph_runner.cli; "
    check += "print([name for name in ('datasets', 'webdataset', 'pyarrow') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("kind", "package"), [("parquet", "datasets"), ("parquet stream", "datasets"), ("tar stream", "webdataset")]
)
def test_a_missing_extra_is_named_with_what_installs_it(
    kind: str, package: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = shaped(kind, SOURCES[kind](tmp_path / "d"))
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NodeError, match=f'{package} is not installed; pip install "latent-loom\\[data\\]"'):
        run(engine, nodes, "data")
