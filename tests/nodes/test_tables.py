"""Tables and plots in graphs: of what sweeps collect, known by column before a run, kept on disk, shown as files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from core.images import load_image, read_text
from core.tables.table import Table
from graph_runner.base.telling import in_a_line
from graph_runner.bind.validate import errors, validate
from graph_runner.contract.registry import Registry
from graph_runner.contract.spec import Codec
from graph_runner.estimate.dry import dry_run
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError
from graph_runner.store.folders import load_tree, save_tree
from nodes.wires import PlotCodec, TableCodec
from tests.nodes.samples import WIRES

FACTORS, STARTS = [2, 4, 8], [0, 1, 2]

# How well bicubic enlargement restores pictures, over factors and over pictures: a sweep in a sweep.
SWEEP: dict[str, Any] = {
    "shapes": {"type": "shapes_dataset", "params": {"size": 8, "resolution": 16}},
    "factors": {
        "type": "for_each",
        "params": {"over": {"factor": FACTORS}},
        "body": {
            "nodes": {
                "starts": {
                    "type": "for_each",
                    "params": {"over": {"start": STARTS}},
                    "body": {
                        "nodes": {
                            "sharp": {
                                "type": "take_images",
                                "params": {"count": 1},
                                "wires": {"data": "shapes", "start": "starts.item.start"},
                            },
                            "low": {
                                "type": "degrade_images",
                                "wires": {"images": "sharp", "factor": "factors.item.factor"},
                            },
                            "again": {"type": "upscale", "wires": {"images": "low", "factor": "factors.item.factor"}},
                            "psnr": {"type": "psnr", "wires": {"images": "again", "originals": "sharp"}},
                        },
                        "results": {"start": "starts.item.start", "psnr": "psnr", "image": "again"},
                    },
                },
            },
            "results": {"factor": "factors.item.factor", "start": "starts.start", "psnr": "starts.psnr"},
        },
    },
    "table": {
        "type": "table",
        "params": {"columns": {"kind": "bicubic"}},
        "wires": {"columns": {"factor": "factors.factor", "start": "factors.start", "psnr": "factors.psnr"}},
    },
    "means": {"type": "group_rows", "params": {"by": ["factor"], "values": ["psnr"]}, "wires": {"table": "table"}},
    "best": {"type": "best_rows", "params": {"column": "psnr_mean", "largest": True}, "wires": {"table": "means"}},
    "factor": {"type": "table_value", "params": {"column": "factor"}, "wires": {"table": "best"}},
    "enlarged": {
        "type": "upscale",
        "wires": {"images": "one", "factor": "factor"},
    },
    "one": {"type": "take_images", "params": {"count": 1}, "wires": {"data": "shapes"}},
    "line": {
        "type": "line_plot",
        "params": {"x": "factor", "y": "psnr_mean", "deviation": "psnr_deviation", "title": "Restored"},
        "wires": {"table": "means"},
    },
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.installed()


def bound(registry: Registry, nodes: dict[str, Any]) -> tuple[Workflow, Any]:
    workflow = Workflow.model_validate({"loom": 1, "nodes": nodes})
    top, problems = validate(workflow, registry)
    assert errors(problems) == []
    return workflow, top


def run(registry: Registry, folder: Path, nodes: dict[str, Any], *targets: str) -> Result:
    return Engine(registry, folder).run(bound(registry, nodes)[0], targets=targets)


def test_a_sweep_in_a_sweep_ends_in_means_over_the_inner_one(registry: Registry, tmp_path: Path) -> None:
    values = run(registry, tmp_path, SWEEP, "table", "means", "best", "enlarged").values
    table, means = values["table"], values["means"]
    assert [row[:3] for row in table.rows()] == [("bicubic", f, s) for f in FACTORS for s in STARTS]
    psnr = table.numbers("psnr").reshape(3, 3)
    assert means.numbers("psnr_mean") == pytest.approx(psnr.mean(1))
    assert means.numbers("psnr_deviation") == pytest.approx(psnr.std(1, ddof=1))
    assert values["best"].columns["factor"] == (2,), "the least enlarged are restored best"
    assert values["enlarged"].shape[-1] == 32, "and the best row's factor goes on as a number"


def test_columns_are_known_before_the_run(registry: Registry, tmp_path: Path) -> None:
    _, top = bound(registry, SWEEP)
    assert dry_run(top, tmp_path).problems == []
    for node, params, wanted in (
        ("line", {"x": "factor", "y": "psnr"}, "no column 'psnr'; it has factor, count, psnr_mean, psnr_deviation"),
        ("means", {"by": ["faktor"]}, "no column 'faktor'"),
        ("factor", {"column": "best"}, "no column 'best'"),
    ):
        _, top = bound(registry, {**SWEEP, node: {**SWEEP[node], "params": params}})
        told = [problem for problem in dry_run(top, tmp_path).problems if problem.severity == "error"]
        assert [(problem.node, wanted in problem.message) for problem in told] == [(node, True)], told


def test_tables_and_plots_are_shown_as_files(registry: Registry, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    nodes = {
        **SWEEP,
        "show": {"type": "save_table", "params": {"name": "psnr"}, "wires": {"table": "means"}},
        "figure": {"type": "save_plot", "params": {"name": "psnr"}, "wires": {"plots": ["line"]}},
        "sharp_figure": {"type": "save_plot", "params": {"name": "psnr", "format": "svg"}, "wires": {"plots": ["line", "line"]}},
        "picture": {"type": "plot_image", "params": {"width": 200, "height": 100}, "wires": {"plots": ["line"]}},
        "tiled": {"type": "image_grid", "wires": {"images": "picture"}},
    }  # fmt: skip
    _, top = bound(registry, nodes)
    estimate = dry_run(top, tmp_path)
    assert estimate.problems == []
    assert "1×3×100×200" in estimate.nodes["picture"].gives.values()
    result = run(registry, tmp_path, nodes, "tiled", "picture")
    media = {Path(shown.path).name: shown.media for shown in result.shown}
    carries = "carries=plots"
    assert media == {
        "psnr.csv": "text/csv",
        "psnr.png": f"image/png;{carries}",
        "psnr.svg": f"image/svg+xml;{carries}",
    }
    written = {Path(shown.path).name: tmp_path / shown.path for shown in result.shown}
    with written["psnr.csv"].open(newline="") as file:
        assert [row["factor"] for row in csv.DictReader(file)] == ["2", "4", "8"]
    assert load_image(written["psnr.png"]).shape == (3, 440, 640)
    assert "nodes" in json.loads(read_text(written["psnr.png"])["workflow"]), "it carries its workflow"
    assert "psnr_mean" in written["psnr.svg"].read_text()
    assert result.values["picture"].shape == (1, 3, 100, 200)


def test_a_grid_takes_its_labels_from_the_sweep(registry: Registry, tmp_path: Path) -> None:
    sweep = {
        "type": "for_each",
        "params": {"over": {"factor": [2, 4, 2, 4], "start": [0, 0, 1, 1]}},
        "body": {
            "nodes": {
                "sharp": {"type": "take_images", "params": {"count": 1}, "wires": {"data": "shapes", "start": "sweep.item.start"}},
                "low": {"type": "degrade_images", "wires": {"images": "sharp", "factor": "sweep.item.factor"}},
                "again": {"type": "upscale", "wires": {"images": "low", "factor": "sweep.item.factor"}},
            },
            "results": {"image": "again", "factor": "sweep.item.factor", "start": "sweep.item.start"},
        },
    }  # fmt: skip
    grid = {
        "type": "labelled_grid",
        "params": {"column_name": "factor", "row_name": "picture"},
        "wires": {"images": "sweep.image", "columns": "sweep.factor", "rows": "sweep.start"},
    }
    nodes = {"shapes": SWEEP["shapes"], "sweep": sweep, "grid": grid}
    _, top = bound(registry, nodes)
    assert dry_run(top, tmp_path).problems == [], "that all labels are one in a dry run is no problem"
    values = run(registry, tmp_path, nodes, "grid", "sweep.image").values
    sheet, cells = values["grid"], values["sweep.image"]
    assert sheet.shape[1] == 3
    corner = sheet[0, :, -4 - 96 : -4, -4 - 96 : -4]  # the last: factor 4, picture 1
    assert torch.equal(corner[:, ::6, ::6], cells[3][0])


@pytest.mark.parametrize(("codec", "kind"), [(TableCodec(), "table"), (PlotCodec(), "plot")])
def test_tables_and_plots_are_kept_on_disk_to_the_bit(codec: Codec, kind: str, tmp_path: Path) -> None:
    value = WIRES[kind]()
    save_tree(tmp_path / "kept", codec.save(value))
    assert codec.load(load_tree(tmp_path / "kept")) == value


def test_what_was_saved_is_loaded_and_joined(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "before.csv").write_text("factor,psnr_before\n2,20.5\n4,\n")
    nodes = {
        **SWEEP,
        "before": {"type": "load_table", "params": {"path": "before.csv"}},
        "joined": {"type": "join_tables", "params": {"on": ["factor"]}, "wires": {"left": "means", "right": "before"}},
        "few": {"type": "select_columns", "params": {"columns": ["factor", "psnr_before"]}, "wires": {"table": "joined"}},
        "known": {
            "type": "select_rows",
            "params": {"column": "psnr_before", "relation": ">", "value": 0},
            "wires": {"table": "few"},
        },
        "column": {"type": "table_column", "params": {"column": "factor"}, "wires": {"table": "joined"}},
    }  # fmt: skip
    values = run(registry, tmp_path, nodes, "few", "known", "column").values
    assert list(values["few"].rows()) == [(2, 20.5), (4, None)]
    assert list(values["known"].rows()) == [(2, 20.5)]
    assert values["column"] == [2, 4]


def test_what_is_no_cell_is_told_with_its_column_by_check_too(registry: Registry, tmp_path: Path) -> None:
    nodes = {
        "unet": {"type": "unet", "params": {"model_channels": 8, "channel_mult": [1], "num_res_blocks": 1, "attention_factors": [], "norm_groups": 4, "num_head_channels": 8}},
        "table": {"type": "table", "wires": {"columns": {"model": "unet"}}},
    }  # fmt: skip
    _, top = bound(registry, nodes)
    problems = dry_run(top, tmp_path).problems
    assert [(p.node, "'model' is given a UNet" in p.message) for p in problems] == [("table", True)], problems
    with pytest.raises(NodeError, match="'model' is given a UNet"):
        run(registry, tmp_path, nodes, "table")


def test_a_table_is_told_in_a_line() -> None:
    assert in_a_line(Table({"a": (1, 2)})) == "table, 2 rows: a"
