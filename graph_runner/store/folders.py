"""Trees of tensors and JSON values on disk: one folder each, safetensors + JSON, whole or not there (`graph_runner.base.files`).

The JSON holds a checksum of itself and of the tensors' file, and the place that all was stored for. So what is damaged, or
lies under another's name, is found when it is read. Folders of version 0.1 have none of these and are read as they are.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from graph_runner.base.checksums import checksum, sealed, unsealed
from graph_runner.base.files import atomic_folder

TENSORS, TREE = "tensors.safetensors", "tree.json"


class StoreError(OSError):
    """A stored folder cannot be read; the message names it."""


def save_tree(folder: Path, tree: Any, meta: dict[str, Any] | None = None) -> None:
    """Write `tree` (nested dicts and lists of tensors and JSON values) as `folder`, replacing what is there.

    Raises TypeError for other values, OSError where the disk refuses; then all is as before.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = _take_apart(tree, "", tensors)
    with atomic_folder(folder) as temporary:
        _save_tensors(tensors, temporary / TENSORS)
        content = {
            "place": _place(folder),
            "tensors": checksum(temporary / TENSORS),
            "tree": skeleton,
            "meta": meta or {},
        }
        (temporary / TREE).write_text(json.dumps(sealed(content)))


def load_tree(folder: Path) -> Any:
    """The tree stored in `folder`, its tensors mapped from the file. Raises StoreError, naming the folder, where it is
    damaged."""
    content = _read(folder)
    try:
        if "tensors" in content and content["tensors"] != checksum(folder / TENSORS):
            raise ValueError(f"{TENSORS} is damaged: its checksum is another")
        return _put_together(content["tree"], load_file(folder / TENSORS))
    except Exception as error:
        raise _unreadable(folder, error) from error


def load_meta(folder: Path) -> dict[str, Any]:
    """What was said about the tree when it was stored. Raises StoreError."""
    meta: dict[str, Any] = _read(folder)["meta"]
    return meta


def _read(folder: Path) -> dict[str, Any]:
    """All but the tensors."""
    try:
        content = unsealed(json.loads((folder / TREE).read_text()))
        if content.get("place") not in (None, _place(folder)):
            raise ValueError("it was stored under another name")
        if not isinstance(content["meta"], dict):
            raise ValueError(f"{TREE} is damaged")
    except Exception as error:
        raise _unreadable(folder, error) from error
    return content


def _place(folder: Path) -> str:
    """What stands for a folder's place in a workspace, which may itself be moved."""
    return f"{zlib.crc32(f'{folder.parent.name}/{folder.name}'.encode()):08x}"


def _unreadable(folder: Path, error: Exception) -> StoreError:
    return StoreError(f"cannot read {folder} ({error}); delete that folder and run again")


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # it hides what the system said
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else 0, str(error), str(path)) from error


def _take_apart(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        # A clone keeps tensors that share memory apart, as safetensors demands.
        tensors[path] = value.detach().to("cpu", copy=True).contiguous()
        return {"__tensor__": path}
    if isinstance(value, dict):
        pairs = [(key, _take_apart(item, f"{path}/{i}", tensors)) for i, (key, item) in enumerate(value.items())]
        return {"__dict__": [[key, item] for key, item in pairs]}
    if isinstance(value, list | tuple):
        items = [_take_apart(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]
        return {"__tuple__": items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be stored: only tensors and JSON values can")


def _put_together(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if "__tensor__" in value:
            return tensors[value["__tensor__"]]
        if "__tuple__" in value:
            return tuple(_put_together(item, tensors) for item in value["__tuple__"])
        return {key: _put_together(item, tensors) for key, item in value["__dict__"]}
    return [_put_together(item, tensors) for item in value] if isinstance(value, list) else value
