"""Weight files: safetensors and PyTorch's, whole or in shards, read without running anything that they contain.

Every error is a `CheckpointError` that names the file and the remedy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from core.checkpoints.files import CheckpointError
from core.checkpoints.magic import HEAD, told_by_magic
from core.checkpoints.pickles import read_pickled
from core.checkpoints.seals import check_seal, write_sealed
from core.files import atomic_file
from core.numbers import finite, spoilt

State = dict[str, Tensor]

SINGLE_FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
"""How the names of files with weights end; any other dot is a part of the name."""

MOST_HEADER = 16 * 2**20
"""Bytes of a safetensors header: two thousand tensors take 200 kB."""
MOST_JSON = 64 * 2**20
"""Bytes of a JSON file beside a model; the largest are tokenizers."""


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Say of the file whatever its content leads to inside, as a CheckpointError: it may hold anything."""
    try:
        yield
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{error.filename or path} cannot be read: {error.strerror or error}.") from error
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        told = f"{type(error).__name__}: {error}"[:200].partition("\n")[0]
        raise CheckpointError(
            f"{path} holds what no model's file does ({told}); download or copy it again, or give its configuration."
        ) from error


def read_weights(path: str | Path) -> State:
    """The tensors of a `.safetensors` file, a PyTorch file (`.ckpt`, `.bin`, `.pt`), or of `….index.json` and its shards.

    The kind is told from the content. Of a PyTorch file with a `state_dict` entry, that entry. Tensors keep the file's
    dtype and may be mapped from the file instead of read.
    """
    with naming(path):
        return _read(Path(path))


def _read(path: Path) -> State:
    if not path.is_file():
        raise CheckpointError(f"{path} {_absent(path)}; check the path, or download the file.")
    if _is_index(path):
        return _read_shards(path)
    with path.open("rb") as file:
        start = file.read(HEAD)
    if start[8:9] == b"{":
        return _read_safetensors(path)
    if start.startswith((b"PK", b"\x80")):
        return _read_torch(path)
    if (told := told_by_magic(start)) is not None:
        raise CheckpointError(f"{path} is {told[0]}; {told[1]}.")
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
        raise CheckpointError(f"{path} {_absent(path)}; check the path, or download the file.")
    with naming(path), path.open("rb") as file:
        if file.read(9)[8:] != b"{":
            return {}
    _check_header(path)
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise _damaged(path) from error


def header_of(path: str | Path) -> bytes | None:
    """The JSON of a safetensors file that lists its tensors; None for any other file."""
    path = Path(path)
    with path.open("rb") as file:
        if file.read(9)[8:] != b"{":
            return None
        _check_header(path)
        file.seek(0)
        return file.read(int.from_bytes(file.read(8), "little"))


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
    if not path.is_file():
        raise CheckpointError(f"{path} {_absent(path)}; check the path, or download the file.")
    if path.stat().st_size > MOST_JSON:
        raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes, which no configuration has.")
    with naming(path):
        text = path.read_bytes()
    try:
        content = json.loads(text)
    except (RecursionError, ValueError) as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); download or write it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} should hold a JSON object and holds a {type(content).__name__}.")
    return content


def _absent(path: Path) -> str:
    return "is no regular file" if path.exists() else "does not exist"


def _check_header(path: Path) -> None:
    """Refuse a header that is longer than the file, or than any model's, before it is read."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length + 8 > path.stat().st_size:
        raise _damaged(path)
    if length > MOST_HEADER:
        raise CheckpointError(f"{path} has a header of {length:,} bytes, which no model has.")


def _read_safetensors(path: Path) -> State:
    _check_header(path)
    try:
        state = dict(safetensors.torch.load_file(path))
    except SafetensorError as error:
        raise _damaged(path) from error
    check_seal(path)
    return state


def _read_torch(path: Path) -> State:
    state = read_pickled(path)
    if not state:
        raise CheckpointError(f"{path} holds no tensors by name; it is not a model's checkpoint.")
    return state


def _is_index(path: Path) -> bool:
    return path.suffix == ".json" and ".index." in path.name


def _shards(index: Path) -> list[str]:
    """The names of the files beside an index that hold its tensors."""
    shards = sorted(set(_places(index).values()))
    for shard in shards:
        if Path(shard).name != shard or shard.endswith(".json"):
            raise CheckpointError(f"{index} names a shard outside its folder ({shard}); get the folder again.")
    return shards


def _places(index: Path) -> dict[str, str]:
    """In which file each tensor is."""
    places: Any = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise CheckpointError(f"{index} lists no shards (weight_map); get the folder again.")
    return places


def _read_shards(index: Path) -> State:
    names = _places(index)
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
