"""Tensors on disk of which several processes each write, and read, a part: `torch.distributed.checkpoint`, as safetensors.

Its own form keeps an index as a pickle, which would be code to whoever opens it. In that of Hugging Face each process has a
safetensors file, and what is where stands in the headers. So any number of processes can read what another number wrote.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

SUFFIX = ".safetensors"
PIECE = 64 * 2**20
"""Bytes, about, of a file: while one is written there are two more copies of what goes into it."""


def save_parts(tensors: dict[str, Tensor], folder: Path) -> None:
    """Write tensors into a folder that all processes see; all must come, with the same names. What is not split is written once.

    Raises OSError, on all of them, where one cannot write.
    """
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    writer = HuggingFaceStorageWriter(str(folder), fqn_to_index_mapping=_pieces(tensors), save_distributed=True)
    try:
        save(tensors, storage_writer=writer)
    except CheckpointException as error:
        rank, (cause, _) = next(iter(error.failures.items()))
        number = cause.errno if isinstance(cause, OSError) else None
        raise OSError(number or 0, f"process {rank} could not write its part: {cause}", str(folder)) from error


def load_parts(folder: Path, mesh: DeviceMesh | None = None) -> dict[str, Tensor]:
    """The tensors that `save_parts` wrote: whole ones on the CPU; with a mesh, of those that were split this process' part (along
    the first axis). No other process is asked. Raises whatever a damaged file does."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = HuggingFaceStorageReader(str(folder))
    tensors = {name: _room(known, mesh) for name, known in reader.read_metadata().state_dict_metadata.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)  # as it was asked for
        load(tensors, storage_reader=reader, no_dist=True)
    return tensors


def _pieces(tensors: dict[str, Tensor]) -> dict[str, int]:
    """Which of a process' files a tensor goes into, counted from 1: the same on all processes."""
    from torch.distributed.tensor import DTensor

    files, filled, file = dict[str, int](), 0, 1
    for name, tensor in tensors.items():
        parts = tensor.device_mesh.size() if isinstance(tensor, DTensor) else 1
        if filled and filled + tensor.nbytes // parts > PIECE:
            filled, file = 0, file + 1
        filled += tensor.nbytes // parts
        files[name] = file
    return files


def _room(known: Any, mesh: DeviceMesh | None) -> Tensor:
    if mesh is None or len(known.chunks) == 1:
        return torch.empty(known.size, dtype=known.properties.dtype)
    from torch.distributed.tensor import Shard, empty

    room: Tensor = empty(known.size, dtype=known.properties.dtype, device_mesh=mesh, placements=[Shard(0)])
    return room
