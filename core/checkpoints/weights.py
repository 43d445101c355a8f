"""Weight files: safetensors and PyTorch's, whole or in shards, read without running anything that they contain.

Every error is a `CheckpointError` that names the file and the remedy.
"""

from __future__ import annotations

import _codecs
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from core.checkpoints.files import CheckpointError
from core.checkpoints.seals import check_seal, write_sealed
from core.files import atomic_file
from core.numbers import finite, spoilt

State = dict[str, Tensor]

SINGLE_FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
"""How the names of files with weights end; any other dot is a part of the name."""


class _Inert:
    """Stands for a class that published checkpoints mention and nobody needs."""


def _number(dtype: np.dtype[Any], data: bytes) -> Any:
    """What `numpy.core.multiarray.scalar` does, for plain numbers only."""
    if dtype.kind not in "biufc":
        raise pickle.UnpicklingError(f"Unsupported global: a numpy scalar of type {dtype}")
    return np.frombuffer(data, dtype)[0]


# The checkpoints of the paper and of Stable Diffusion 1 hold the trainer's callbacks; these names occur there.
_PUBLISHED_GLOBALS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Inert, "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"),
    (_number, "numpy.core.multiarray.scalar"),
    (_number, "numpy._core.multiarray.scalar"),
    (np.dtype, "numpy.dtype"),
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    _codecs.encode,
]


def read_weights(path: str | Path) -> State:
    """The tensors of a `.safetensors` file, a PyTorch file (`.ckpt`, `.bin`, `.pt`), or of `….index.json` and its shards.

    The kind is told from the content. Of a PyTorch file with a `state_dict` entry, that entry. Tensors keep the file's
    dtype and may be mapped from the file instead of read.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; check the path, or download the file.")
    if _is_index(path):
        return _read_shards(path)
    with path.open("rb") as file:
        start = file.read(64)
    if start[8:9] == b"{":
        return _read_safetensors(path)
    if start.startswith((b"PK", b"\x80")):
        return _read_torch(path)
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is a Git LFS pointer, not the file itself; run `git lfs pull` beside it.")
    raise CheckpointError(
        f"{path} is neither a safetensors nor a PyTorch file, or it is damaged from its first byte on; "
        "download or copy it again."
    )


def weight_files(path: str | Path) -> dict[str, Path]:
    """The files that `read_weights` reads: the file itself under the empty name, and the shards that an index names."""
    path = Path(path)
    shards = _shards(path) if _is_index(path) else []
    return {"": path} | {shard: path.parent / shard for shard in shards if (path.parent / shard).is_file()}


def read_metadata(path: str | Path) -> dict[str, str]:
    """The text entries of a safetensors file's header; none for any other file."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; check the path, or download the file.")
    with path.open("rb") as file:
        if file.read(9)[8:] != b"{":
            return {}
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise _damaged(path) from error


def write_weights(state: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors, whole or not at all: safetensors, or for `.ckpt` a PyTorch file with a `state_dict` entry.

    metadata: texts for the safetensors header, where a checksum joins them; a `.ckpt` has no place for them and drops
        them. Without any, the header says what transformers asks for. (Several would be written in another order each
        time, and equal models differ.)
    Raises FloatingPointError for weights that are no numbers: nothing would load the file.
    """
    path = Path(path)
    tensors = _separate(state)
    if name := spoilt(tensors):
        finite(tensors[name], f"{name}, which was to be written to {path.name},")
    with atomic_file(path) as temporary:
        if path.suffix == ".safetensors":
            write_sealed(tensors, temporary, metadata or {"format": "pt"})
        else:
            _save_torch({"state_dict": tensors}, temporary)


def _save_torch(content: dict[str, State], path: Path) -> None:
    try:
        with path.open("wb") as file:
            torch.save(content, file)
    except RuntimeError as error:  # it hides what the system said
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def refuse_spoilt(state: Mapping[str, Tensor], source: str | Path) -> None:
    """Raise CheckpointError, naming the file and the tensor, where a weight is NaN or infinite."""
    if name := spoilt(state):
        bad = int((~torch.isfinite(state[name])).sum())
        raise CheckpointError(
            f"{source}: {bad} of the {state[name].numel()} values of {name} are no numbers (NaN or infinite); the model was "
            "spoilt before it was saved, so get it again, or an earlier one."
        )


def read_json(path: str | Path) -> dict[str, Any]:
    """An object from a JSON file."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist; check the path, or download the file.") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); download or write it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} should hold a JSON object and holds a {type(content).__name__}.")
    return content


def _read_safetensors(path: Path) -> State:
    try:
        state = dict(safetensors.torch.load_file(path))
    except SafetensorError as error:
        raise _damaged(path) from error
    check_seal(path)
    return state


def _read_torch(path: Path) -> State:
    try:
        with torch.serialization.safe_globals(_PUBLISHED_GLOBALS), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # an error or a success follows
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path) or None)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|global|call) `?([\w.]+)", str(error))
        if found is None and "Unsupported operand" not in str(error):
            raise _damaged(path) from error
        what = f"would run code on loading ({found.group(1)})" if found else "torch.save did not write"
        raise CheckpointError(
            f"{path} is a pickle that {what}, so it was not loaded; "
            "get the model as safetensors, or convert the file where you trust it."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise _damaged(path) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    state = {key: value for key, value in content.items() if isinstance(value, Tensor)} if content else {}
    if not state:
        raise CheckpointError(f"{path} holds no tensors by name; it is not a model's checkpoint.")
    return state


def _is_index(path: Path) -> bool:
    return path.suffix == ".json" and ".index." in path.name


def _shards(index: Path) -> list[str]:
    """The names of the files beside an index that hold its tensors."""
    shards = sorted(set(read_json(index).get("weight_map", {}).values()))
    for shard in shards:
        if Path(shard).name != shard:
            raise CheckpointError(f"{index} names a shard outside its folder ({shard}); get the folder again.")
    return shards


def _read_shards(index: Path) -> State:
    names: dict[str, str] = read_json(index).get("weight_map", {})
    state: State = {}
    for shard in _shards(index):
        if not (index.parent / shard).is_file():
            raise CheckpointError(
                f"{index.parent / shard} is missing, one of the {len(set(names.values()))} shards that {index.name} "
                "lists; download it into the same folder."
            )
        state |= read_weights(index.parent / shard)
    if absent := names.keys() - state.keys():
        raise CheckpointError(f"The shards beside {index} lack {len(absent)} tensors, such as {min(absent)}.")
    return state


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} is truncated or damaged ({path.stat().st_size:,} bytes); download or copy it again."
    )


def _separate(state: Mapping[str, Tensor]) -> State:
    """Contiguous CPU tensors that share no memory, as safetensors wants them (a fused weight's parts do share)."""
    tensors: State = {}
    seen: set[int] = set()
    for key, value in state.items():
        tensor = value.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.nbytes() != tensor.nbytes or storage.data_ptr() in seen:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        tensors[key] = tensor
    return tensors
