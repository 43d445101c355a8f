"""Whole tensors that processes map from one file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.training.host_file import HostFile
from core.training.sharding import Sharding
from graph_runner.context import Processes
from tests.workflows.measured import anonymous
from tests.world import in_two

KINDS = {"float": torch.float32, "half": torch.bfloat16, "whole": torch.int64}
LARGE = 16_000_000


def values() -> dict[str, torch.Tensor]:
    """Tensors of many shapes and dtypes."""
    made = {name: torch.arange(105).view(7, 5, 3).to(kind) for name, kind in KINDS.items()}
    return {**made, "number": torch.tensor(2.5), "nothing": torch.empty(0, 3), "turned": torch.rand(4, 3).mT}


def models_given() -> dict[str, Any]:
    """A split model's plain one at the end."""
    torch.manual_seed(0)
    return {"": nn.Linear(4000, 500), "tied": nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))}


def in_files(processes: Processes) -> dict[str, Any]:
    torch.manual_seed(0)
    found: dict[str, Any] = {}
    mesh = None
    with processes.together():
        processes.shard = True
        mesh = processes.mesh(torch.device("cpu"))
        assert mesh is not None
        group = mesh.get_group()
        before = set(Path(tempfile.gettempdir()).glob("latent-loom-*"))
        file, given = HostFile(group), values()
        places = {name: file.add(tensor) for name, tensor in given.items()}
        file.share()
        mapped = {name: place() for name, place in places.items()}
        found["same"] = all(torch.equal(mapped[name], given[name]) for name in given)
        found["apart"] = all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in mapped.values())
        mapped["float"].fill_(processes.rank)
        processes.agree(None)
        found["private"] = bool((mapped["float"] == processes.rank).all())
        found["left"] = len(set(Path(tempfile.gettempdir()).glob("latent-loom-*")) - before)
        processes.agree(None)  # or the other has begun the next file

        file = HostFile(group)
        place = file.add(torch.ones(LARGE))
        held = anonymous()
        file.share()
        found["read"], found["held"] = float(place().sum()), anonymous() - held

        models = [model.requires_grad_(True) for model in models_given().values()]
        models[1][0].weight = models[1][1].weight
        sharding = Sharding(models, mesh)
        for how in ("mapped", "refused"):
            if how == "refused" and processes.rank == 0:
                tempfile.tempdir = "/nowhere"
            plain = list(sharding.ended().values())
            found[how] = [model.state_dict() for model in plain]
            found[f"{how}, tied"] = plain[1][0].weight is plain[1][1].weight  # type: ignore[index]
        tempfile.tempdir = None
    return found


def test_processes_share_what_one_wrote_and_hold_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where no other test's processes have such files
    wanted = [model.state_dict() for model in models_given().values()]
    wanted[1]["0.weight"] = wanted[1]["1.weight"]
    for found in in_two("tests.core.training.test_host_file:in_files", tmp_path):
        assert found["same"]
        assert found["apart"], "each has a storage of its own, or it would be copied to be saved"
        assert found["private"], "what one process changes is its own"
        assert found["left"] == 0
        assert found["read"] == LARGE
        assert found["held"] < LARGE, "a quarter of its bytes; none of them is anonymous"
        for how in ("mapped", "refused"):
            assert found[f"{how}, tied"]
            for state, theirs in zip(found[how], wanted, strict=True):
                assert all(torch.equal(state[name], value) for name, value in theirs.items()), how
