"""How well VQ and KL autoencoders that differ in nothing else reconstruct: `python -m benchmarks.vector_quantisation [--seeds 0 1 2]`.

The numbers of docs/tasks.md: on pictures that were not trained on, after a training so short that seeds and processors differ
by decibels. `ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41` stands for another processor.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

from graph_runner.contract.registry import Registry

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.nodes.test_vq_training import SHAPES, UNSEEN, run, tiles


def main() -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--data", nargs="+", choices=["shapes", "photographs"], default=["shapes", "photographs"])
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    registry = Registry.scan(["graph_runner.zones", "nodes"])
    print(f"{torch.backends.cpu.get_cpu_capability()}, {options.steps} steps")
    with tempfile.TemporaryDirectory() as temporary:
        sources = {"shapes": (SHAPES, UNSEEN)}
        if "photographs" in options.data:
            sources["photographs"] = tiles(Path(temporary) / "tiles")
        for data in options.data:
            for seed in options.seeds:
                for kind in ("vq", "kl"):
                    began = time.process_time()
                    folder = Path(temporary) / f"{data}-{seed}-{kind}"
                    found = run(registry, folder, kind, *sources[data], steps=options.steps, levels=3, seed=seed)
                    told = "  ".join(f"{name} {value:.2f}" for name, value in found.items())
                    print(
                        f"{data}, seed {seed}, {kind}: {told}  ({time.process_time() - began:.0f} CPU seconds)",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
