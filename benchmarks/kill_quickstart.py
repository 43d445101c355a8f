"""Kill the real quickstart at random moments and compare with an uninterrupted run, bit for bit.

    python benchmarks/kill_quickstart.py FOLDER [--kills 3] [--seed 0] [--set unet_steps=100 ...]

FOLDER/whole is run without interruption (taken as it is where it has been already), FOLDER/killed is killed with SIGKILL
after random delays and started again with the same command. Final weights, averages and optimizer states of both
trainings, the saved models and the picture are compared.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from graph_runner.store.folders import load_tree

ROOT = Path(__file__).parents[1]


def start(workspace: Path, seed: int, settings: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "graph_runner", "run", "workflows/quickstart.json", "--device", "cpu"]
    command += [word for setting in settings for word in ("--set", setting)]
    return subprocess.Popen([*command, "--workspace", str(workspace), "--seed", str(seed)], cwd=ROOT)


def finals(workspace: Path) -> dict[str, Any]:
    """The last checkpoint of each lineage, and the bytes of what was saved."""
    found: dict[str, Any] = {}
    for lineage in sorted((workspace / "checkpoints").iterdir()):
        last = max(lineage.glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))
        found[f"{lineage.name}/{last.name}"] = load_tree(last)
    for path in sorted((workspace / "models" / "quickstart").glob("*")):
        found[path.name] = path.read_bytes()
    picture = max((workspace / "runs").glob("*/outputs/quickstart.png"))
    found["picture"] = torch.frombuffer(bytearray(picture.read_bytes()), dtype=torch.uint8)
    return found


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    if isinstance(a, torch.Tensor):
        return [] if torch.equal(a, b) else [path]
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return [f"{path}: {sorted(a.keys() ^ b.keys())}"]
        return [d for key in a for d in differences(a[key], b[key], f"{path}/{key}")]
    if isinstance(a, list | tuple):
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{path}/{i}")]
    return [] if a == b else [path]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="settings of the quickstart, for a shorter trial")
    options = parser.parse_args()
    began = time.monotonic()
    if start(options.folder / "whole", options.seed, options.set).wait():
        return 1
    took = time.monotonic() - began
    chance = random.Random(options.seed)
    for kill in range(options.kills):
        process = start(options.folder / "killed", options.seed, options.set)
        try:
            process.wait(chance.uniform(0.1, 0.6) * max(took, 10))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            print(f"kill {kill + 1} after {time.monotonic() - began:.0f} s", flush=True)
    if start(options.folder / "killed", options.seed, options.set).wait():
        return 1
    found = differences(finals(options.folder / "whole"), finals(options.folder / "killed"))
    print("\n".join(found) if found else "equal to the bit: checkpoints, saved models and picture")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
