"""Tensors in parts on disk; from several processes to any number of them is `tests/nodes/test_sharding.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graph_runner.store.parts import load_parts, save_parts


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")  # one process alone writes here
def test_what_is_written_is_read_and_nothing_is_a_pickle(tmp_path: Path) -> None:
    tensors = {
        "/0/1": torch.randn(3, 2),
        "half": torch.randn(4).bfloat16(),
        "count": torch.tensor(7),
        "flags": torch.tensor([True, False]),
    }
    save_parts(tensors, tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]
    found = load_parts(tmp_path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
