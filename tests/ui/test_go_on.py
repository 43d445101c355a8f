"""Going on from a run with other settings, as the canvas asks for it."""

from __future__ import annotations

import copy
from typing import Any

from tests.ui.conftest import RunningServer, graph, looping

TINY = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "mid_attention": False, "norm_groups": 4}


def training(steps: int, lr: float) -> dict[str, Any]:
    own = "fit.models.ae"
    body = {
        "images": {"type": "batch_images", "wires": {"batch": "fit.batch"}},
        "posterior": {"type": "posterior", "wires": {"autoencoder": own, "images": "images"}},
        "z": {"type": "sample_posterior", "wires": {"autoencoder": own, "posterior": "posterior"}},
        "copy": {"type": "decode", "wires": {"autoencoder": own, "z": "z"}},
        "loss": {"type": "reconstruction_loss", "wires": {"a": "copy", "b": "images"}},
        "goal": {"type": "objective", "wires": {"loss": "loss", "models": [own], "optimizer": "adam"}},
    }
    return {
        "shapes": {"type": "shapes_dataset", "params": {"size": 8, "resolution": 8}},
        "first": {"type": "kl_autoencoder", "params": TINY},
        "adam": {"type": "adamw", "params": {"lr": lr}},
        "fit": {
            "type": "train",
            "params": {"steps": steps, "batch_size": 2},
            "wires": {"data": "shapes", "models": {"ae": "first"}},
            "body": {"nodes": body, "results": {"objectives": ["goal"]}},
        },
        "keep": {"type": "save_models", "params": {"name": "fit"}, "wires": {"models": {"ae": "fit.models.ae"}}},
    }


def test_trainings_of_a_graph_go_on_from_a_run_with_what_is_set_otherwise(server: RunningServer) -> None:
    run = server.submit(training(1, lr=1e-3))
    assert server.over(run)["status"] == "done"
    wanted = training(2, lr=1e-4)
    changed = server.call("go_on", workflow=graph(wanted), run=run)["workflow"]
    origin = changed["nodes"]["fit"]["params"].pop("continue_from")
    assert origin.endswith("/step-1")
    assert changed["nodes"] == graph(wanted)["nodes"], "and nothing else is changed"
    nodes = copy.deepcopy(wanted)
    nodes["fit"]["params"]["continue_from"] = origin
    again = server.submit(nodes)
    assert server.over(again)["status"] == "done"
    told = " ".join(event.get("message", "") for event in server.call("events", run=again))
    assert "goes on from step 1 of" in told
    assert "adam.lr 0.001 → 0.0001" in told


def test_what_cannot_go_on_is_told(server: RunningServer) -> None:
    run = server.submit(looping(1, 0))
    server.over(run)
    status, said = server.refused("go_on", workflow=graph(training(2, 1e-3)), run=run)
    assert status == 422
    assert "has trained nothing" in said
    assert server.refused("go_on", workflow=graph(looping(1, 0)), run=run)[0] == 422
    assert server.refused("go_on", workflow=graph(training(2, 1e-3)), run=10**6)[0] == 404
