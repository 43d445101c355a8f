"""Saved models and encoded data sets: the old ones or the new ones, whatever dies, and never some of each."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.load import load_checkpoint, save_checkpoint
from core.checkpoints.model_io import load_model, save_model, save_models
from core.conditioning.classes import ClassEmbedder
from core.data.latents import LatentData
from core.diffusion.schedule import NoiseSchedule
from tests import crashes

ROOT = Path(__file__).parents[3]
Save = Callable[[float], None]
Load = Callable[[], set[float]]


def embedder(value: float) -> ClassEmbedder:
    model = ClassEmbedder(2, 8)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    return model


def value_of(model: torch.nn.Module) -> set[float]:
    return {float(value) for parameter in model.parameters() for value in parameter.detach().unique()}


def several(folder: Path) -> tuple[Save, Load]:
    """A set of models in a folder that holds other things, too."""
    notes = folder / "notes" / "today.txt"

    def save(value: float) -> None:
        if not folder.exists():
            notes.parent.mkdir(parents=True)
            notes.write_text("mine")
        save_models({name: embedder(value) for name in "ab"}, folder)

    def load() -> set[float]:
        assert notes.read_text() == "mine"
        return set().union(*(value_of(load_model(folder / f"{name}.safetensors").model) for name in "ab"))

    return save, load


def whole(folder: Path) -> tuple[Save, Load]:
    """A whole model."""

    def save(value: float) -> None:
        schedule = NoiseSchedule.linear(10 + int(value))
        save_checkpoint(LatentDiffusion(conditioner=embedder(value), schedule=schedule), folder)

    def load() -> set[float]:
        model = load_checkpoint(folder)
        assert model.conditioner is not None
        assert model.schedule is not None
        return value_of(model.conditioner) | {float(len(model.schedule.betas) - 10)}

    return save, load


def alone(folder: Path) -> tuple[Save, Load]:
    """One model as a folder."""
    return lambda value: save_model(
        embedder(value), folder, {"value": value}
    ), lambda: value_of(load_model(folder).model) | {load_model(folder).about["value"]}


def single(folder: Path) -> tuple[Save, Load]:
    """One model as a file."""
    path = folder.with_suffix(".safetensors")
    return lambda value: save_model(embedder(value), path), lambda: value_of(load_model(path).model)


def encoded(folder: Path) -> tuple[Save, Load]:
    """A data set."""

    def save(value: float) -> None:
        fields = {"latents": torch.full((4, 2, 2, 2), value), "captions": [str(value)] * 4}
        LatentData(fields, torch.full((4, 2, 2, 2), value)).save(folder)

    def load() -> set[float]:
        data = LatentData.load(folder)
        assert data.std is not None
        texts = {float(text) for text in data.fields["captions"]}
        return {*data.fields["latents"].unique().tolist(), *data.std.unique().tolist(), *texts}

    return save, load


@pytest.mark.parametrize("kind", [several, whole, alone, single, encoded], ids=lambda kind: kind.__name__)
def test_dying_anywhere_leaves_the_old_or_the_new(tmp_path: Path, kind: Callable[[Path], tuple[Save, Load]]) -> None:
    save, load = kind(tmp_path / "models" / "mine")

    def start() -> None:
        shutil.rmtree(tmp_path / "models", ignore_errors=True)
        save(0)
        assert load() == {0.0}

    found = []
    for how in crashes.every_death(lambda: save(1), start):
        there = load()
        assert there in ({0.0}, {1.0}), f"{how}: {there}"
        found.append(there)
        save(2)
        assert load() == {2.0}, how
        assert crashes.leftovers(tmp_path) == [], how
    assert {0.0} in found
    assert {1.0} in found


@pytest.mark.parametrize("kind", [several, whole, encoded], ids=lambda kind: kind.__name__)
def test_a_disk_that_refuses_leaves_the_old(tmp_path: Path, kind: Callable[[Path], tuple[Save, Load]]) -> None:
    save, load = kind(tmp_path / "models" / "mine")
    save(0)
    load()
    n = 0
    while True:
        n += 1
        if not crashes.refused_at(n, OSError(errno.ENOSPC, "No space left on device"), lambda: save(1)):
            break
        assert load() in ({0.0}, {1.0})
        save(0)
        assert crashes.leftovers(tmp_path) == []


def test_a_second_model_that_cannot_be_saved_leaves_the_first_as_it_was(tmp_path: Path) -> None:
    save_models({"a": embedder(0)}, tmp_path / "m")
    with pytest.raises(ValueError, match="A Linear cannot be saved"):
        save_models({"a": embedder(1), "b": torch.nn.Linear(1, 1)}, tmp_path / "m")
    assert value_of(load_model(tmp_path / "m" / "a.safetensors").model) == {0.0}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.safetensors", "m"]


@pytest.mark.parametrize("name", ["m.safetensors", "m.ckpt"])
def test_a_full_disk_is_an_os_error_that_names_what_was_to_be_written(tmp_path: Path, name: str) -> None:
    """The libraries say it in their own ways. A limit on files' sizes is met as a full disk is, halfway through."""
    code = (
        "import errno, resource, sys, torch; from pathlib import Path; "
        "from core.checkpoints.weights import write_weights; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); path = Path(sys.argv[1])\n"
        "try: write_weights({'a': torch.rand(5000)}, path)\n"
        "except OSError as error: assert (error.errno, error.filename) == (errno.EFBIG, str(path)), error\n"
        "else: assert False"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
