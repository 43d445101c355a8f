"""What is counted of workflows for the palette."""

from __future__ import annotations

import json

from graph_runner.catalog.usage import usage
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import read

GRAPH = {
    "loom": 1,
    "nodes": {
        "noise": {"type": "gaussian_noise", "params": {"shape": [1, 4, 8, 8]}},
        "schedule": {"type": "noise_schedule"},
        "sample": {
            "type": "sample",
            "wires": {"noise": "noise", "schedule": "schedule.schedule"},
            "body": {
                "nodes": {"d": {"type": "unet_denoise", "wires": {"z": "sample.z", "t": "sample.t"}}},
                "results": {"prediction": "d"},
            },
        },
        "gone": {"type": "no_such_node", "wires": {"x": "sample"}},
        "grid": {"type": "stack_images", "wires": {"images": ["gone", "gone"]}},
    },
}


def test_nodes_and_wires_are_counted_inner_ports_apart_from_outputs() -> None:
    found = usage([read(json.dumps(GRAPH))] * 2, Registry.installed())
    assert found["used"] == {"gaussian_noise": 2, "noise_schedule": 2, "sample": 2, "denoise": 2, "stack_images": 2}
    assert found["after"]["gaussian_noise.latent"] == {"sample": 2}
    assert found["after"]["sample.z"] == {"denoise": 2}
    assert found["before"]["sample.schedule"] == {"noise_schedule": 2}
    assert found["before"]["denoise.t"] == {"sample": 2}
    assert "sample.latent" not in found["after"]
