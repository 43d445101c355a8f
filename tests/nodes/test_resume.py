"""A training killed at any moment goes on to the same bits: on real nodes, through the command line, with SIGKILL."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import skimage
import torch

from graph_runner.format.workflow import Workflow, save
from graph_runner.store.folders import load_tree
from tests.effort import cases
from tests.nodes.test_processes import leaves

ROOT = Path(__file__).parents[2]
STEPS = 150
KILLS = cases(5, 10)


def autoencoder_on_photographs() -> Workflow:
    """Two objectives, averages, accumulation, dropout, a randomly augmenting loader with workers, a random `every`."""
    own, wired = "fit.models.autoencoder", "fit.models.discriminator"
    body = {
        "images": {"type": "batch_images", "wires": {"batch": "fit.batch"}},
        "post": {"type": "posterior", "wires": {"autoencoder": own, "images": "images"}},
        "z": {"type": "sample_posterior", "wires": {"autoencoder": own, "posterior": "post"}},
        "again": {"type": "decode", "wires": {"autoencoder": own, "z": "z"}},
        "nll": {"type": "reconstruction_loss", "wires": {"a": "again", "b": "images"}},
        "kl": {"type": "kl_loss", "wires": {"posterior": "post"}},
        "real": {"type": "discriminate", "wires": {"discriminator": wired, "images": "images"}},
        "fake": {"type": "discriminate", "wires": {"discriminator": wired, "images": "again"}},
        "fooling": {"type": "generator_loss", "wires": {"fake": "fake"}},
        "balance": {"type": "adaptive_weight", "wires": {"nll": "nll", "generator": "fooling", "autoencoder": own}},
        "adversarial": {"type": "scale_loss", "wires": {"loss": "fooling", "weight": "balance"}},
        "whole": {
            "type": "add_losses",
            "wires": {"losses": ["nll", "kl", "adversarial"]},
            "params": {"weights": [1, 1e-6, 0.5]},
        },
        "critic_loss": {"type": "discriminator_loss", "wires": {"real": "real", "fake": "fake"}},
        "generator": {"type": "objective", "wires": {"loss": "whole", "models": [own], "optimizer": "adam"}},
        "critic": {
            "type": "objective",
            "wires": {"loss": "critic_loss", "models": [wired], "optimizer": "adam"},
            "params": {"name": "critic"},
        },
        "look": {
            "type": "every",
            "params": {"steps": 7},
            "body": {
                "nodes": {
                    "noise": {"type": "gaussian_noise", "params": {"shape": [2, 4, 16, 16]}},
                    "dream": {"type": "decode", "wires": {"autoencoder": "fit.ema.autoencoder", "z": "noise"}},
                    "show": {"type": "preview_image", "wires": {"images": "dream"}},
                }
            },
        },
    }
    tiny = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 4, "dropout": 0.1}
    nodes: dict[str, Any] = {
        "photographs": {
            "type": "image_folder",
            "params": {"path": "photographs", "resolution": 32, "crop": "random", "flip": True},
        },
        "autoencoder0": {"type": "kl_autoencoder", "params": tiny},
        "discriminator0": {"type": "patch_discriminator", "params": {"base_channels": 8, "num_layers": 2}},
        "adam": {"type": "adamw", "params": {"lr": 0.001, "warmup": 20, "decay": "cosine", "horizon": 200, "clip": 1}},
        "fit": {
            "type": "train",
            "wires": {
                "data": "photographs",
                "models": {"autoencoder": "autoencoder0", "discriminator": "discriminator0"},
            },
            "params": {"steps": STEPS, "batch_size": 2, "accumulate": 2, "ema": 0.99, "workers": 1},
            "body": {"nodes": body, "results": {"objectives": ["generator", "critic"]}},
        },
        "keep": {
            "type": "save_models",
            "wires": {"models": {"autoencoder": "fit.ema.autoencoder"}},
            "params": {"name": "photographs"},
        },
    }
    return Workflow.model_validate({"loom": 1, "title": "photographs", "nodes": nodes})


def photographs(workspace: Path) -> None:
    """The photographs that ship inside scikit-image's wheel."""
    folder = workspace / "photographs"
    folder.mkdir(parents=True)
    for found in sorted((Path(skimage.__file__).parent / "data").glob("*.png")):
        shutil.copy(found, folder)
    assert len(list(folder.iterdir())) >= 2


def start(workspace: Path, workflow: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "graph_runner", "run", str(workflow), "--workspace", str(workspace)]
    return subprocess.Popen(
        [*command, "--device", "cpu", "--checkpoint-seconds", "0"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def newest(workspace: Path) -> int:
    steps = [int(path.name.removeprefix("step-")) for path in (workspace / "checkpoints").glob("*/step-*")]
    return max(steps, default=0)


def kill_while_it_trains(workspace: Path, workflow: Path, chance: random.Random, while_writing: bool) -> bool:
    """Start the training and kill it once it moved on; returns whether a checkpoint was being written then."""
    before = newest(workspace)
    process = start(workspace, workflow)
    deadline = time.monotonic() + 120
    while newest(workspace) <= before and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    if while_writing:
        while not list((workspace / "checkpoints").glob("*/.writing-*")) and process.poll() is None:
            pass
    else:
        time.sleep(chance.uniform(0, 0.3))
    process.send_signal(signal.SIGKILL)
    process.wait()
    return bool(list((workspace / "checkpoints").glob("*/.writing-*")))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_kills_in_one_lineage_change_no_bit(tmp_path: Path) -> None:
    workflow, whole, killed = tmp_path / "fit.json", tmp_path / "whole", tmp_path / "killed"
    save(autoencoder_on_photographs(), workflow)
    for workspace in (whole, killed):
        photographs(workspace)
    assert start(whole, workflow).wait() == 0

    chance, during_a_write = random.Random(0), 0
    for i in range(KILLS):
        during_a_write += kill_while_it_trains(killed, workflow, chance, while_writing=i % 3 == 1)
    assert newest(killed) < STEPS, "all kills came while it trained"
    assert during_a_write, "at least one kill came during a checkpoint write"
    assert start(killed, workflow).wait() == 0

    (a,), (b,) = ((w / "checkpoints").glob(f"*/step-{STEPS}") for w in (whole, killed))
    left, right = leaves(load_tree(a)), leaves(load_tree(b))
    assert left.keys() == right.keys()
    for key, value in left.items():
        assert torch.equal(value, right[key]) if isinstance(value, torch.Tensor) else value == right[key], key
    assert any(key.startswith("/averages") for key in left)
    assert any("exp_avg_sq" in key for key in left)
    models = [(w / "models/photographs/autoencoder.safetensors").read_bytes() for w in (whole, killed)]
    assert models[0] == models[1]
    assert not list(killed.rglob(".writing-*")), "what killed writers left was swept"
