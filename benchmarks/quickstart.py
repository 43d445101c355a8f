"""What the quickstart costs, and how often its pictures show what was asked: `python -m benchmarks.quickstart [--seeds 0 1 2]`.

`--workflows quickstart rectified_flow` measures graphs that differ in the noise process, at equal budget; they share the first
stage. Each seed trains anew in a workspace of its own (`--workspace FOLDER` keeps them). Costs are the process' own CPU seconds, which
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
from tests.workflows.test_quickstart import SAMPLES, asking_for  # noqa: E402

SHIPPED = ROOT / "workflows"
SCALES = (1.0, 3.0)


def clearness(autoencoder: Any) -> float:
    """Mean PSNR in decibels of reconstructions of images that were not trained on."""
    images = Shapes(32, 1024, seed=99).get_batch(list(range(1024)))["images"]
    with torch.no_grad():
        return float(psnr(autoencoder.decode(autoencoder.encode(images)).clamp(-1, 1), images).mean())


def measure(registry: Registry, workspace: Path, name: str, seed: int, classifier: torch.nn.Module) -> list[float]:
    """Run it as shipped, run it again, and judge samples: how often the asked class is found, by guidance scale."""
    shipped = SHIPPED / f"{name}.json"
    began: dict[str, float] = {}
    spent: dict[str, float] = {}

    def watch(event: events.Event) -> None:
        if isinstance(event, events.Started):
            began[event.node] = time.process_time()
        elif isinstance(event, events.Finished) and event.node in began:
            spent[event.node] = time.process_time() - began[event.node]

    start = time.process_time()
    result = Engine(registry, workspace).run(load(shipped), seed=seed, targets=["first_stage"], listeners=[watch])
    whole = time.process_time() - start
    dearest = sorted(spent, key=spent.__getitem__, reverse=True)[:3]
    told = ", ".join(f"{node} {spent[node]:.0f}" for node in dearest)
    print(
        f"{name}, seed {seed}: {whole:.0f} CPU seconds ({told}); first stage {clearness(result.values['first_stage']):.1f} dB"
    )
    start = time.process_time()
    Engine(registry, workspace).run(load(shipped), seed=seed)
    print(f"  the same again: {time.process_time() - start:.1f} CPU seconds")
    labels = torch.arange(SAMPLES) % 24
    found = []
    for scale in SCALES:
        workflow = asking_for(SAMPLES, scale, shipped)
        images = Engine(registry, workspace).run(workflow, seed=seed, targets=["decoded"], only=True).values["decoded"]
        found.append(accuracy(classifier, images, labels))
        print(f"  asked class found at guidance scale {scale:g}: {found[-1]:.3f}", flush=True)
    return found


def compare(found: dict[str, list[list[float]]]) -> None:
    """Print the mean over seeds of each workflow, and its difference from the first in standard errors of the difference.

    The error is the larger of the binomial one of all samples and the one between seeds.
    """
    for column, scale in enumerate(SCALES):
        first: tuple[float, float] | None = None
        for name, seeds in found.items():
            values = torch.tensor([row[column] for row in seeds], dtype=torch.float64)
            mean = values.mean().item()
            samples = SAMPLES * len(values)
            share = (mean * samples + 1) / (samples + 2)  # so that all found is no error of 0
            error = (share * (1 - share) / samples) ** 0.5
            if len(values) > 1:
                error = max(error, values.std().item() / len(values) ** 0.5)
            told = f"scale {scale:g}, {name}: {mean:.3f} ± {error:.3f}"
            if first is None:
                first = mean, error
            else:
                apart = (mean - first[0]) / (first[1] ** 2 + error**2) ** 0.5
                told += f", {apart:+.1f} standard errors from {next(iter(found))}"
            print(told)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workflows", nargs="+", default=["quickstart"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workspace", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    registry, classifier = Registry.scan(["graph_runner.zones", "nodes"]), oracle()
    found: dict[str, list[list[float]]] = {name: [] for name in options.workflows}
    with tempfile.TemporaryDirectory() as temporary:
        for seed in options.seeds:
            workspace = (options.workspace or Path(temporary)) / f"seed-{seed}"
            for name, seeds in found.items():
                seeds.append(measure(registry, workspace, name, seed, classifier))
    if len(found) > 1:
        compare(found)


if __name__ == "__main__":
    main()
