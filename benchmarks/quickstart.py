"""What the quickstart costs, and how often its pictures show what was asked: `python -m benchmarks.quickstart [--seeds 0 1 2]`.

Each seed trains anew in a workspace of its own (`--workspace FOLDER` keeps them). Costs are the process' own CPU seconds, which
other work on the machine changes little: two cores that do nothing else take about half as many seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from core.data.shapes import Shapes
from core.metrics.reconstruction import psnr
from graph_runner.base import events
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from graph_runner.format.workflow import load  # noqa: E402
from tests.workflows.oracle import accuracy, oracle  # noqa: E402
from tests.workflows.test_quickstart import QUICKSTART, SAMPLES, asking_for  # noqa: E402


def clearness(autoencoder: Any) -> float:
    """Mean PSNR in decibels of reconstructions of images that were not trained on."""
    images = Shapes(32, 1024, seed=99).get_batch(list(range(1024)))["images"]
    with torch.no_grad():
        return float(psnr(autoencoder.decode(autoencoder.encode(images)).clamp(-1, 1), images).mean())


def measure(registry: Registry, workspace: Path, seed: int, classifier: torch.nn.Module) -> None:
    """Run it as shipped, run it again, and judge samples."""
    began: dict[str, float] = {}
    spent: dict[str, float] = {}

    def watch(event: events.Event) -> None:
        if isinstance(event, events.Started):
            began[event.node] = time.process_time()
        elif isinstance(event, events.Finished) and event.node in began:
            spent[event.node] = time.process_time() - began[event.node]

    start = time.process_time()
    result = Engine(registry, workspace).run(load(QUICKSTART), seed=seed, targets=["first_stage"], listeners=[watch])
    whole = time.process_time() - start
    dearest = sorted(spent, key=spent.__getitem__, reverse=True)[:3]
    told = ", ".join(f"{node} {spent[node]:.0f}" for node in dearest)
    print(
        f"seed {seed}: {whole:.0f} CPU seconds ({told}); first stage {clearness(result.values['first_stage']):.1f} dB"
    )
    start = time.process_time()
    Engine(registry, workspace).run(load(QUICKSTART), seed=seed)
    print(f"  the same again: {time.process_time() - start:.1f} CPU seconds")
    labels = torch.arange(SAMPLES) % 24
    for scale in (1.0, 3.0):
        engine = Engine(registry, workspace)
        images = engine.run(asking_for(SAMPLES, scale), seed=seed, targets=["decoded"], only=True).values["decoded"]
        print(
            f"  asked class found at guidance scale {scale:g}: {accuracy(classifier, images, labels):.3f}", flush=True
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workspace", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    registry, classifier = Registry.scan(["graph_runner.zones", "nodes"]), oracle()
    with tempfile.TemporaryDirectory() as temporary:
        for seed in options.seeds:
            measure(registry, (options.workspace or Path(temporary)) / f"seed-{seed}", seed, classifier)


if __name__ == "__main__":
    main()
