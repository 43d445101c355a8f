"""PyTorch's own files, read without executing them: views, strides, shared storages and both formats."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints.files import CheckpointError
from core.checkpoints.pickles import WRAPPERS, read_pickled

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


def test_states_in_tables_of_a_trainer_are_found_and_other_tables_joined(tmp_path: Path) -> None:
    tensor, other = torch.ones(2), torch.zeros(3)
    for content, wanted in (
        ({"model": {"w": tensor}, "optimizer": {"state": {0: other}}}, {"w"}),
        ({"module": {"state_dict": {"w": tensor}}}, {"w"}),
        ({"w": tensor, "model": {"v": other}}, {"w"}),
        ({"a": {"x": tensor}, 320: [{"y": other}]}, {"a.x", "320.0.y"}),
        ({"state_dict": {}, "step": 3}, set()),
    ):
        torch.save(content, tmp_path / "m.pt")
        assert read_pickled(tmp_path / "m.pt").keys() == wanted


def test_a_table_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[Any, Any] = {0: {}}
    for name in WRAPPERS[1:]:
        content[name] = content
    for number in range(40):
        content[0][number] = content[0]
    torch.save(content, tmp_path / "m.pt")
    with suppress(CheckpointError):
        assert read_pickled(tmp_path / "m.pt") == {}


def test_a_long_name_before_many_tensors_takes_no_memory(tmp_path: Path) -> None:
    torch.save({"x" * 1_000_000: [BASE] * 10_000}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read_pickled(tmp_path / "m.pt")


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
