"""PyTorch's own files, read without executing them: views, strides, shared storages and both formats."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints.files import CheckpointError
from core.checkpoints.pickles import read_pickled

BASE = torch.arange(24.0).view(4, 6)
STATES: dict[str, dict[str, torch.Tensor]] = {
    "plain": {"a": torch.randn(2, 3), "b": torch.ones(4, dtype=torch.int64)},
    "half": {"a": torch.randn(3).half(), "b": torch.randn(3).bfloat16()},
    "transposed": {"t": BASE.T},
    "a part": {"p": BASE[1:3, ::2]},
    "shared": {"whole": BASE, "row": BASE[2], "again": BASE},
    "no axis": {"s": torch.tensor(3.5)},
    "empty": {"e": torch.zeros(0, 3)},
    "parameters": {"w": torch.nn.Parameter(torch.randn(2))},
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "row"])
@pytest.mark.parametrize("kind", STATES)
def test_tensors_are_what_was_saved(kind: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(STATES[kind], path, _use_new_zipfile_serialization=zipped)
    found = read_pickled(path)
    assert found.keys() == STATES[kind].keys()
    for name, tensor in STATES[kind].items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor.detach())


class Runs:
    """What a pickle may do to who loads it."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "row"])
def test_nothing_in_a_file_is_executed(zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.zeros(1), "b": Runs()}, "model.pt", _use_new_zipfile_serialization=zipped)
    with suppress(CheckpointError):
        assert read_pickled(Path("model.pt")).keys() <= {"a"}
    assert not Path("executed").exists()
