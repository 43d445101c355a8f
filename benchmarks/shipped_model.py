"""Make the small trained model that ships with the workflows anew: `python -m benchmarks.shipped_model`, five minutes or so.

It is the quickstart's, trained by `workflows/quickstart.json` as it is, its weights kept in half precision in
`workflows/models/quickstart/`, where `workflows/sample.json` finds them until a workspace has its own. How it was made and how
often its pictures show what was asked is written inside each file.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.quickstart import SHIPPED, clearness
from core.checkpoints.model_io import save_model
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import load
from graph_runner.run.engine import Engine
from tests.workflows.oracle import accuracy, oracle
from tests.workflows.test_quickstart import SAMPLES, asking_for

MODELS = {"autoencoder": "first_stage", "unet": "diffusion.ema.unet", "embedder": "diffusion.ema.embedder"}
SCALES = (1.0, 3.0)


def found(registry: Registry, workspace: Path, folder: Path) -> dict[str, float]:
    """How often the asked class is found in pictures of the saved models, by guidance scale."""
    models = workspace / "models" / "quickstart"
    shutil.rmtree(models, ignore_errors=True)
    shutil.copytree(folder, models)
    classifier, labels, shares = oracle(), torch.arange(SAMPLES) % 24, {}
    for scale in SCALES:
        workflow = asking_for(SAMPLES, scale, SHIPPED / "sample.json")
        images = Engine(registry, workspace).run(workflow, targets=["decoded"], only=True).values["decoded"]
        shares[f"{scale:g}"] = round(accuracy(classifier, images, labels), 3)
    return shares


def make(folder: Path, workspace: Path, seed: int) -> dict[str, Any]:
    """Train in a workspace, write the models, judge them, and write them again with what was found. The record."""
    registry = Registry.scan(["graph_runner.zones", "nodes"])
    values = (
        Engine(registry, workspace).run(load(SHIPPED / "quickstart.json"), seed=seed, targets=MODELS.values()).values
    )
    record: dict[str, Any] = {
        "trained by": "workflows/quickstart.json",
        "seed": seed,
        "written by": "python -m benchmarks.shipped_model",
        "torch": torch.__version__,
        "processor": platform.machine(),
        "psnr of unseen pictures, dB": round(clearness(values["first_stage"]), 2),
    }
    halves = {name: copy.deepcopy(values[target]).half() for name, target in MODELS.items()}
    for _ in range(2):
        for name, model in halves.items():
            save_model(model, folder / f"{name}.safetensors", record)
        record["asked class found, by guidance scale"] = found(registry, workspace, folder)
    return record


def main() -> None:
    """Train, write and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--into", type=Path, default=SHIPPED / "models" / "quickstart")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    options.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as workspace:
        for name, told in make(options.into, Path(workspace), options.seed).items():
            print(f"{name}: {told}")
    for file in sorted(options.into.iterdir()):
        print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
