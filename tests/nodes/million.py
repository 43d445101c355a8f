"""Trains from a million encoded samples and goes through all of them, shuffled; prints what memory it took.

`python -m tests.nodes.million FOLDER`: 4 GB are written there.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch

from core.data.loader import Batches
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine

SAMPLES = 1_000_000


def anonymous() -> int:
    """Bytes of this process' memory that no file holds."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def training() -> Workflow:
    own = "fit.models.unet"
    body = {
        "z": {"type": "batch_latents", "wires": {"batch": "fit.batch"}},
        "noise": {"type": "noise_like", "wires": {"z": "z"}},
        "t": {"type": "random_timesteps", "wires": {"z": "z", "schedule": "schedule"}},
        "noisy": {"type": "add_noise", "wires": {"z0": "z", "noise": "noise", "t": "t", "schedule": "schedule"}},
        "predicted": {"type": "denoise", "wires": {"model": own, "z": "noisy", "t": "t"}},
        "loss": {
            "type": "diffusion_loss",
            "wires": {"prediction": "predicted", "z0": "z", "noise": "noise", "t": "t", "schedule": "schedule"},
        },
        "objective": {"type": "objective", "wires": {"loss": "loss", "models": [own], "optimizer": "adam"}},
    }
    small = {"in_channels": 4, "out_channels": 4, "model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1}
    nodes: dict[str, Any] = {
        "data": {"type": "numbered_latents", "params": {"samples": SAMPLES}},
        "unet0": {"type": "unet", "params": {**small, "num_heads": 2, "attention_factors": [], "norm_groups": 4}},
        "schedule": {"type": "noise_schedule"},
        "adam": {"type": "adamw"},
        "fit": {
            "type": "train",
            "wires": {"data": "data", "models": {"unet": "unet0"}},
            "params": {"steps": 50, "batch_size": 64},
            "body": {"nodes": body, "results": {"objectives": ["objective"]}},
        },
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    largest = [0]

    def watch() -> None:
        while True:
            largest[0] = max(largest[0], anonymous())
            time.sleep(0.01)

    threading.Thread(target=watch, daemon=True).start()
    registry = Registry.scan(["graph_runner.zones", "nodes", "tests.nodes.toy_encoded"])
    result = Engine(registry, folder).run(training(), targets=["fit.models.unet", "data"])
    assert result.status == "done", result.error
    print("RssAnon after the training:", anonymous())
    data = result.values["data"]
    print("bytes on disk:", sum(path.stat().st_size for path in folder.glob("cache/*/files/*")))
    batches, before = Batches(data, 500, seed=1), anonymous()
    seen = torch.zeros(SAMPLES, dtype=torch.bool)
    for batch in batches.iterate(0, len(batches)):
        numbers = batch["latents"][:, 0, 0, 0].long()
        assert torch.equal(numbers, batch["index"])
        assert batch["captions"][0] == f"number {numbers[0]}"
        seen[numbers] = True
    print("samples seen:", int(seen.sum()))
    print("RssAnon grew in the epoch:", anonymous() - before)
    print("largest RssAnon:", largest[0])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
