"""What grows with a training, its processes and its sweeps: `python -m benchmarks.scale`. The figures are docs/scale.md's.

Calculated: bytes that each process sends in a step, and of a checkpoint, by the number of parameters. Measured here: the bytes
of a real checkpoint against that, the events of a run, the keys of a sweep, and (`threads`) what threads beyond the free
processors cost.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from core.models.presets import build_unet
from core.training.objective import Objective
from core.training.optimizers import AdamW
from core.training.trainer import Trainer
from graph_runner.bind.validate import validate
from graph_runner.compile.compiler import compile_graph
from graph_runner.compile.keys import Keys
from graph_runner.compile.lock import version_of
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, load
from graph_runner.run.engine import Engine
from graph_runner.store.folders import save_tree

ROOT = Path(__file__).parents[1]
PRESETS = ("cin256-v2", "stable-diffusion-v1", "txt2img-1p4B")
WORLDS = (8, 64, 1024)
FLOAT = 4
"""Bytes of a number in float32, in which gradients, weights, averages and moments are."""
KEPT = {"weights": 1, "their average": 1, "AdamW's two moments": 2}
LINKS = {"400 Gb/s between machines": 50e9, "100 Gb/s": 12.5e9}


def replicated(parameters: int, world: int) -> float:
    """Bytes that each process sends for one all-reduce of the gradients (ring: Patarasuk & Yuan 2009)."""
    return 2 * (world - 1) / world * parameters * FLOAT


def sharded(parameters: int, world: int) -> float:
    """The same where models are split: weights gathered forward and backward, gradients scattered (ZeRO-3, Rajbhandari et al.
    2020)."""
    return 3 * (world - 1) / world * parameters * FLOAT


def checkpoint(parameters: int) -> int:
    """Bytes of a checkpoint of an AdamW training with averaged weights."""
    return sum(KEPT.values()) * parameters * FLOAT


def parameters_of(preset: str) -> int:
    """How many parameters a published denoiser has; none is made."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_unet(preset).parameters())


def measured_checkpoint(width: int = 512) -> tuple[int, int]:
    """The bytes of a checkpoint that was written, and those that are calculated for it."""
    model = nn.Sequential(nn.Linear(width, width), nn.Linear(width, width))
    trainer = Trainer({"model": model}, ema=0.99)
    loss = model(torch.randn(2, width)).square().mean()
    trainer.accumulate([Objective(loss, (model,), AdamW(1e-4, 0.9, 0.999, 1e-8, 0.01))])
    trainer.step()
    with tempfile.TemporaryDirectory() as folder:
        save_tree(Path(folder) / "step-1", trainer.state_dict())
        written = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return written, checkpoint(sum(parameter.numel() for parameter in model.parameters()))


def quickstart(steps: int, pictures: int) -> Workflow:
    """The shipped workflow, its trainings short."""
    tree = load(ROOT / "workflows" / "quickstart.json").model_dump(mode="json", exclude_none=True)
    for node in tree["nodes"].values():
        if node["type"] == "train":
            node["params"]["steps"] = steps
        if node["type"] == "shapes_dataset":
            node["params"]["size"] = pictures
    return Workflow.model_validate(tree)


def measured_events(steps: int) -> dict[str, float]:
    """Events and bytes in the record of a run of the quickstart, for each training step."""
    with tempfile.TemporaryDirectory() as workspace:
        result = Engine(Registry.installed(), workspace).run(quickstart(steps, 256))
        record = (result.folder / "events.jsonl").read_text()
    lines = record.splitlines()
    trained = 2 * steps
    return {
        "steps": trained,
        "events": len(lines),
        "events a step": len(lines) / trained,
        "bytes a step": len(record) / trained,
    }


def measured_keys(times: int = 20) -> dict[str, float]:
    """CPU seconds for the keys and the plan of the quickstart, and microseconds for each of its nodes."""
    top, _ = validate(quickstart(10, 256), Registry.installed())
    nodes = sum(1 for _ in top.walk())
    seconds = []
    for _ in range(times):
        began = time.process_time()
        compile_graph(top, {}, Keys(0, "float32", lambda bound: version_of(bound.spec)), None)
        seconds.append(time.process_time() - began)
    median = statistics.median(seconds)
    return {"nodes": nodes, "milliseconds": 1e3 * median, "microseconds a node": 1e6 * median / nodes}


def _step(threads: int, seconds: float) -> int:
    """Training steps of a small convolutional network in so many seconds."""
    torch.set_num_threads(threads)
    net = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.SiLU(), nn.Conv2d(32, 32, 3, padding=1), nn.SiLU())
    images, done, end = torch.randn(16, 3, 32, 32), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        net(images).square().mean().backward()
        done += 1
    return done


def _burn(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def measured_threads(seconds: float) -> None:
    """Steps with one thread and with all, on the machine as it is and beside as many busy processes as processors."""
    cores = len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    for busy in (0, cores):
        burning = [context.Process(target=_burn, args=(4 * seconds + 30,)) for _ in range(busy)]
        for process in burning:
            process.start()
        time.sleep(1.0 if busy else 0.0)
        counts = {1: list[int](), cores: list[int]()}
        for _ in range(2):
            for threads, counted in counts.items():
                counted.append(_step(threads, seconds))
        for process in burning:
            process.terminate()
            process.join()
        told = ", ".join(f"{threads} threads {statistics.mean(each) / seconds:.1f}" for threads, each in counts.items())
        print(f"beside {busy} busy processes (load {os.getloadavg()[0]:.1f}): steps a second with {told}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.scale", description=__doc__)
    parser.add_argument(
        "what", nargs="*", help="arithmetic, checkpoint, events, keys, threads (default: all but threads)"
    )
    what = parser.parse_args().what or ["arithmetic", "checkpoint", "events", "keys"]
    if "arithmetic" in what:
        for preset in PRESETS:
            parameters = parameters_of(preset)
            print(
                f"the denoiser of {preset}: {parameters:,} parameters, checkpoint {checkpoint(parameters) / 1e9:.1f} GB"
            )
            for world in WORLDS:
                sent = replicated(parameters, world), sharded(parameters, world)
                over = ", ".join(f"{sent[0] / speed * 1e3:.0f} ms at {name}" for name, speed in LINKS.items())
                print(
                    f"  {world} GPUs: {sent[0] / 1e9:.2f} GB a step replicated ({over}), {sent[1] / 1e9:.2f} GB sharded"
                )
    if "checkpoint" in what:
        written, calculated = measured_checkpoint()
        print(f"checkpoint: {written:,} bytes written, {calculated:,} calculated ({written / calculated:.4f})")
    if "events" in what:
        print("events: " + ", ".join(f"{name} {value:,.1f}" for name, value in measured_events(30).items()))
    if "keys" in what:
        print("keys: " + ", ".join(f"{name} {value:,.1f}" for name, value in measured_keys().items()))
    if "threads" in what:
        measured_threads(5.0)


if __name__ == "__main__":
    main()
