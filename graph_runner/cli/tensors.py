"""Tensors in files for `--input` and `--output`: .npy and .safetensors, neither of which can execute anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graph_runner.base.files import write_atomically
from graph_runner.base.problems import Problem, WorkflowError

if TYPE_CHECKING:
    from torch import Tensor

KINDS = (".npy", ".safetensors")


def places(option: str, given: Iterable[str]) -> dict[str, Path]:
    """Names and files from NAME=FILE. Raises WorkflowError with every one that is written otherwise."""
    found, problems = dict[str, Path](), list[Problem]()
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not name or Path(path).suffix not in KINDS:
            remedy = f"Write {option} NODE=FILE, where the file ends in {' or '.join(KINDS)}"
            problems.append(Problem(f"{option} {text}: this names no node and file", remedy=remedy))
        found[name] = Path(path).expanduser()
    if problems:
        raise WorkflowError(problems)
    return found


def read(files: Mapping[str, Path]) -> dict[str, Tensor]:
    """The tensors in files. Raises WorkflowError, naming the file, where one holds anything else."""
    found, problems = dict[str, Any](), list[Problem]()
    for name, path in files.items():
        try:
            found[name] = _tensor(path)
        except FileNotFoundError:
            problems.append(Problem(f"--input {name}: there is no file {path}"))
        except Exception as error:  # whatever a damaged file makes of its reader
            problems.append(
                Problem(f"--input {name}: {path} cannot be read: {error}", remedy="Give a file of one tensor")
            )
    if problems:
        raise WorkflowError(problems)
    return found


def write(files: Mapping[str, Path], values: Mapping[str, Any]) -> None:
    """Write values to files, each whole or not at all. Raises WorkflowError for what is no tensor."""
    import torch

    wrong = [name for name in files if not isinstance(values.get(name), torch.Tensor)]
    if wrong:
        remedy = "Name a node or port that gives one tensor"
        raise WorkflowError([Problem(f"--output {name}: it gives no tensor", remedy=remedy) for name in wrong])
    for name, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _bytes(values[name].detach().cpu().contiguous(), path, name))


def _tensor(path: Path) -> Tensor:
    import torch

    if path.suffix == ".npy":
        import numpy as np

        tensor = torch.from_numpy(np.load(path, allow_pickle=False))
        return tensor.float() if tensor.dtype == torch.float64 else tensor  # NumPy's default, and no model's
    from safetensors.torch import load

    tensors = load(path.read_bytes())
    if len(tensors) != 1:
        raise ValueError(f"it holds {len(tensors)} tensors")
    return next(iter(tensors.values()))


def _bytes(tensor: Tensor, path: Path, name: str) -> bytes:
    import torch

    if path.suffix == ".npy":
        import io

        import numpy as np

        file = io.BytesIO()
        half = tensor.dtype == torch.bfloat16  # which NumPy does not know
        np.save(file, (tensor.float() if half else tensor).numpy(), allow_pickle=False)
        return file.getvalue()
    from safetensors.torch import save

    return save({name: tensor})
