"""Lists in graphs: sweeps over lists, literals beside wires, and what for_each collects tiled, shown, reported and stacked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base.events import Metric
from graph_runner.bind.validate import errors, validate
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError

SHAPES = {"type": "shapes_dataset", "params": {"size": 8, "resolution": 16}}
SOME = {"type": "take_images", "params": {"count": 2}, "wires": {"data": "shapes"}}
ROWS = {
    "type": "for_each",
    "params": {"over": {"start": [0, 2, 4]}},
    "body": {
        "nodes": {"some": {**SOME, "wires": {"data": "shapes", "start": "rows.item.start"}}},
        "results": {"images": "some"},
    },
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.installed()


def run(registry: Registry, folder: Path, nodes: dict[str, Any], *targets: str) -> Result:
    workflow = Workflow.model_validate({"loom": 1, "nodes": nodes})
    top, problems = validate(workflow, registry)
    assert errors(problems) == []
    assert dry_run(top, folder).problems == [], "and nothing is said of it beforehand"
    return Engine(registry, folder).run(workflow, targets=targets)


def test_what_for_each_collects_is_tiled_shown_saved_and_stacked(registry: Registry, tmp_path: Path) -> None:
    nodes = {
        "shapes": SHAPES,
        "rows": ROWS,
        "grid": {"type": "image_grid", "params": {"columns": 2}, "wires": {"images": "rows.images"}},
        "one_by_one": {"type": "image_grid", "params": {"columns": 2}, "wires": {"images": "stack"}},
        "stack": {"type": "stack_images", "wires": {"images": "rows.images"}},
        "show": {"type": "preview_image", "wires": {"images": "rows.images"}},
        "save": {"type": "save_image", "wires": {"images": "rows.images"}},
    }
    result = run(registry, tmp_path, nodes, "grid", "one_by_one", "stack")
    assert result.values["stack"].shape == (6, 3, 16, 16)
    assert torch.equal(result.values["grid"], result.values["one_by_one"])
    assert len(list(result.folder.rglob("image*.png"))) == 6


def test_lists_and_single_wires_mix_and_captions_are_texts(registry: Registry, tmp_path: Path) -> None:
    nodes = {
        "shapes": SHAPES,
        "rows": ROWS,
        "more": SOME,
        "side": {"type": "side_by_side", "wires": {"images": ["more", "rows.images", "more"]}},
        "stacked": {"type": "stack_images", "wires": {"images": ["more", "rows.images"]}},
        "batch": {"type": "class_names", "params": {"classes": [0, 1]}, "wires": {"data": "shapes"}},
        "grid": {"type": "image_grid", "wires": {"images": ["more"], "captions": "batch"}},
    }
    values = run(registry, tmp_path, nodes, "side", "stacked", "grid").values
    assert values["stacked"].shape == (8, 3, 16, 16)
    assert torch.equal(values["stacked"][:2], values["stacked"][2:4]), "the single wire, then the items of the list"
    assert values["side"].shape[2] > 4 * 16


def test_the_wire_captions_goes_into_a_list_of_texts_and_not_the_reverse(registry: Registry) -> None:
    train = {
        "type": "train",
        "params": {"steps": 1, "batch_size": 2},
        "wires": {"data": "shapes", "models": {}},
        "body": {
            "nodes": {
                "told": {"type": "batch_captions", "wires": {"batch": "t.batch"}},
                "images": {"type": "batch_images", "wires": {"batch": "t.batch"}},
                "grid": {"type": "image_grid", "wires": {"images": "images", "captions": "told"}},
            },
            "results": {"objectives": []},
        },
    }
    workflow = Workflow.model_validate({"loom": 1, "nodes": {"shapes": SHAPES, "t": train}})
    assert [str(problem) for problem in errors(validate(workflow, registry)[1])] == []


def test_sweeps_over_lists_beside_wired_lists(registry: Registry, tmp_path: Path) -> None:
    """channel_mult, shapes and classes are lists themselves; they go side by side with what another loop gave."""
    sweep = {
        "type": "for_each",
        "params": {"over": {"mult": [[1], [1, 2]], "shape": [[1, 4, 8, 8], [2, 4, 8, 8]], "classes": [[0], [1, 2]]}},
        "wires": {"over": {"seed": "seeds"}},
        "body": {
            "nodes": {
                "unet": {
                    "type": "unet",
                    "params": {"in_channels": 4, "model_channels": 8, "num_res_blocks": 1, "norm_groups": 4, "num_head_channels": 8},
                    "wires": {"channel_mult": "sweep.item.mult"},
                },
                "z": {"type": "gaussian_noise", "wires": {"shape": "sweep.item.shape", "seed": "sweep.item.seed"}},
                "names": {"type": "class_names", "wires": {"data": "shapes", "classes": "sweep.item.classes"}},
                "t": {"type": "random_timesteps", "wires": {"schedule": "schedule", "z": "z"}},
                "eps": {"type": "unet_denoise", "wires": {"model": "unet", "z": "z", "t": "t"}},
            },
            "results": {"eps": "eps", "names": "names"},
        },
    }  # fmt: skip
    nodes = {
        "shapes": SHAPES,
        "schedule": {"type": "noise_schedule"},
        "seeds": {"type": "integers", "params": {"values": [7, 9]}},
        "sweep": sweep,
        "last": {"type": "list_item", "params": {"index": -1}, "wires": {"items": "sweep.names"}},
    }
    values = run(registry, tmp_path, nodes, "sweep.eps", "last").values
    assert [tuple(eps.shape) for eps in values["sweep.eps"]] == [(1, 4, 8, 8), (2, 4, 8, 8)]
    assert len(values["last"]) == 2


def test_a_sweep_over_nodes_and_lists_of_numbers_reported(registry: Registry, tmp_path: Path) -> None:
    nodes = {
        "shapes": SHAPES,
        "some": SOME,
        "small": {"type": "downscale", "params": {"factor": 2}, "wires": {"images": "some"}},
        "back": {"type": "upscale", "params": {"factor": 2}, "wires": {"images": "small"}},
        "both": {"type": "as_list", "wires": {"items": ["some", "back"]}},
        "each": {
            "type": "for_each",
            "wires": {"over": {"images": "both"}},
            "body": {
                "nodes": {"like": {"type": "ssim", "wires": {"images": "each.item.images", "originals": "some"}}},
                "results": {"likeness": "like"},
            },
        },
        "tell": {"type": "log_metrics", "wires": {"values": {"ssim": "each.likeness", "first": "each_first"}}},
        "each_first": {"type": "list_item", "wires": {"items": "each.likeness"}},
    }
    result = run(registry, tmp_path, nodes)
    [metrics] = [event.values for event in result.events if isinstance(event, Metric)]
    assert set(metrics) == {"ssim_0", "ssim_1", "first"}
    assert metrics["ssim_0"] == pytest.approx(1)
    assert metrics["ssim_1"] < metrics["ssim_0"] == metrics["first"]


def test_lists_that_cannot_be_tiled_are_refused_in_a_sentence(registry: Registry, tmp_path: Path) -> None:
    nodes = {
        "shapes": SHAPES,
        "some": SOME,
        "small": {"type": "downscale", "params": {"factor": 2}, "wires": {"images": "some"}},
        "grid": {"type": "image_grid", "wires": {"images": ["some", "small"]}},
    }
    workflow = Workflow.model_validate({"loom": 1, "nodes": nodes})
    with pytest.raises(NodeError, match=r"different sizes \(3×8×8, 3×16×16\); wire images of one size"):
        Engine(registry, tmp_path).run(workflow, targets=["grid"])
