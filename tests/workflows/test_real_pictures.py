"""Digits and photographs that packages ship become folders that shipped workflows train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import real_pictures
from benchmarks.tasks import Bench
from core.data.folder import ImageFolder
from core.data.loader import take
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine

TINY = {
    "autoencoder0": {"channel_mult": [1, 2], "model_channels": 8, "norm_groups": 4},
    "autoencoder": {"steps": 2, "batch_size": 4},
    "first_stage": {"samples": 8},
    "unet0": {"model_channels": 8, "num_heads": 2, "norm_groups": 4},
    "diffusion": {"steps": 2, "batch_size": 4},
    "preview": {"steps": 2},
    "sample": {"steps": 2},
}


def test_the_digits_are_those_of_scikit_learn_and_a_vector_machine_tells_unseen_ones_apart(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits
    from sklearn.svm import SVC

    seen, unseen = (ImageFolder(each, 16) for each in real_pictures.write_digits(tmp_path))
    pictures, labels = load_digits(return_X_y=True)
    assert len(seen) + len(unseen) == len(pictures)
    assert seen.classes == unseen.classes == tuple("0123456789")
    assert not {Path(name).name for name in seen.files} & {Path(name).name for name in unseen.files}
    known, new = (take(each, range(len(each))) for each in (seen, unseen))
    first = int(Path(unseen.files[0]).stem)
    assert labels[first] == int(new["labels"][0])
    again = real_pictures.pixels_of(new["images"][:1])[0]
    assert np.abs(again - pictures[first]).mean() < 1, "of 16: enlarged and shrunk again"
    judge = SVC(gamma=0.001).fit(real_pictures.pixels_of(known["images"]), known["labels"].numpy())
    found = torch.from_numpy(judge.predict(real_pictures.pixels_of(new["images"])))
    assert (found == new["labels"]).float().mean() >= 0.95
    assert (found == new["labels"].roll(97)).float().mean() <= 0.2, "another one's label: the control"


def test_the_quickstart_trains_on_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = Registry.scan(["graph_runner.zones", "nodes"])
    real_pictures.digits(Bench(Engine(registry, tmp_path / "workspace")), tmp_path / "digits", TINY)
    told = [line.split("  ")[1].strip() for line in capsys.readouterr().out.splitlines() if line]
    assert told[::2] == [
        "data, unseen",
        "data, unseen, through the first stage",
        "samples at scale 1",
        "samples at scale 3",
    ]
    assert set(told[1::2]) == {"· by another one's condition"}
