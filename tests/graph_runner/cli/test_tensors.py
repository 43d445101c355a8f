"""Tensors in files: given to a run, and taken from it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from graph_runner.__main__ import main
from graph_runner.base.problems import WorkflowError
from graph_runner.cli import tensors
from tests.graph_runner.conftest import TOYS

PACKAGES = [word for name in TOYS for word in ("--nodes", name)]
NODES = {
    "file": {"type": "read_number", "params": {"path": "absent.txt"}},
    "s": {"type": "scale", "params": {"by": 2}, "wires": {"x": "file"}},
    "h": {"type": "halves", "wires": {"x": "s"}},
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("graph_runner.contract.registry.entry_points", lambda group: ())
    Path("w.json").write_text(json.dumps({"loom": 1, "nodes": NODES}))


def test_a_tensor_goes_in_and_another_comes_out(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", np.array([1.0, 2.0]))
    assert main(["w.json", "--input", "file=x.npy", "--output", "s=there/s.safetensors", "--output", "h.low=low.npy", "--to", "h.high", *PACKAGES]) == 0  # fmt: skip
    assert load_file("there/s.safetensors")["s"].tolist() == [2, 4]
    low = np.load("low.npy")
    assert (low.dtype, low.tolist()) == (np.float32, [1, 2])
    out = capsys.readouterr().out
    assert "h.high" in out
    assert "s =" not in out
    assert {"there/s.safetensors", "low.npy"} <= set(out.split()), "where they lie is said"


@pytest.mark.parametrize("name", ["t.npy", "t.safetensors"])
def test_what_is_written_is_read_again(name: str) -> None:
    tensor = torch.arange(6, dtype=torch.int64).view(2, 3).T
    tensors.write({"t": Path(name)}, {"t": tensor})
    assert torch.equal(tensors.read({"t": Path(name)})["t"], tensor)
    halves = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    tensors.write({"t": Path(name)}, {"t": halves})
    assert torch.equal(tensors.read({"t": Path(name)})["t"].to(torch.bfloat16), halves)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--input", "file"], "--input file: this names no node and file"),
        (["--input", "file=x.pt"], "ends in .npy or .safetensors"),
        (["--input", "file=absent.npy"], "--input file: there is no file absent.npy"),
        (["--input", "file=pickled.npy"], "pickled.npy cannot be read"),
        (["--input", "file=two.safetensors"], "two.safetensors cannot be read: it holds 2 tensors"),
        (["--input", "file=damaged.safetensors"], "damaged.safetensors cannot be read"),
        (["--input", "nile=x.npy", "--to", "s"], "inputs.nile: there is no node 'nile' Did you mean 'file'?"),
        (["--input", "file=x.npy", "--output", "h=h.npy"], "--output h: it gives no tensor"),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_a_sentence(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", np.ones(2))
    np.save("pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    save_file({"a": torch.zeros(1), "b": torch.zeros(1)}, "two.safetensors")
    Path("damaged.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    assert main(["w.json", *words, *PACKAGES]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_nothing_in_a_file_is_executed() -> None:
    class Runs:
        def __reduce__(self) -> object:
            return Path.touch, (Path("executed"),)

    with Path("x.npy").open("wb") as file:
        pickle.dump(Runs(), file)
    with pytest.raises(WorkflowError):
        tensors.read({"x": Path("x.npy")})
    assert not Path("executed").exists()
