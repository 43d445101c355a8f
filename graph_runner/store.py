"""Trees of tensors and JSON values on disk: one folder each, safetensors + JSON, written so that a crash leaves the old
state or the new one and nothing between.

A folder is filled under a temporary name on the same file system, its files and itself are synced, and only then it gets
its name; what a crash left behind is swept at the next start.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

TENSORS, TREE = "tensors.safetensors", "tree.json"
_TEMPORARY, _OLD = ".writing-", "-old-"


class StoreError(OSError):
    """A stored folder cannot be read; the message names it."""


def save_tree(folder: Path, tree: Any, meta: dict[str, Any] | None = None) -> None:
    """Write `tree` (nested dicts and lists of tensors and JSON values) as `folder`, replacing one that is there."""
    tensors: dict[str, Tensor] = {}
    skeleton = _take_apart(tree, "", tensors)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.parent / f"{_TEMPORARY}{os.getpid()}-{uuid.uuid4().hex[:8]}"
    temporary.mkdir()
    try:
        save_file(tensors, temporary / TENSORS)
        (temporary / TREE).write_text(json.dumps({"tree": skeleton, "meta": meta or {}}))
        for path in (temporary / TENSORS, temporary / TREE, temporary):
            _sync(path)
        if (
            folder.exists()
        ):  # a crash between these two renames leaves no folder of the name: `sweep` puts the old one back
            replaced = folder.parent / f"{_TEMPORARY}{os.getpid()}{_OLD}{folder.name}"
            folder.rename(replaced)
            temporary.rename(folder)
            shutil.rmtree(replaced)
        else:
            temporary.rename(folder)
        _sync(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def load_tree(folder: Path) -> Any:
    """The tree stored in `folder`. Raises StoreError, naming the folder, where it is damaged."""
    try:
        skeleton = json.loads((folder / TREE).read_text())["tree"]
        tensors = load_file(folder / TENSORS)
        return _put_together(skeleton, tensors)
    except Exception as error:
        raise StoreError(f"cannot read {folder} ({error}); delete that folder and run again") from error


def load_meta(folder: Path) -> dict[str, Any]:
    """What was said about the tree when it was stored."""
    try:
        meta: dict[str, Any] = json.loads((folder / TREE).read_text())["meta"]
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"cannot read {folder / TREE} ({error}); delete {folder} and run again") from error
    return meta


def remove_tree(folder: Path) -> None:
    """Remove a stored folder: from the first moment on nobody finds a part of it under its name."""
    doomed = folder.parent / f"{_TEMPORARY}{os.getpid()}-{uuid.uuid4().hex[:8]}"
    folder.rename(doomed)
    shutil.rmtree(doomed)


def sweep(parent: Path) -> None:
    """Remove what writers that no longer live left unfinished; put back what they were about to replace."""
    for leftover in parent.glob(f"{_TEMPORARY}*"):
        owner = leftover.name.removeprefix(_TEMPORARY).partition("-")[0]
        if owner.isdigit() and _alive(int(owner)):
            continue
        old = leftover.name.partition(_OLD)[2]
        if old and not (parent / old).exists():
            leftover.rename(parent / old)
        else:
            shutil.rmtree(leftover, ignore_errors=True)


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


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def size_of(value: Any) -> int:
    """Bytes of the tensors in a value (modules, tuples, dicts, lists and plain attributes of objects walked)."""
    seen: set[int] = set()
    total, todo = 0, [value]
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            total += item.numel() * item.element_size()
        elif isinstance(item, torch.nn.Module):
            todo += [*item.parameters(), *item.buffers()]
        elif isinstance(item, dict):
            todo += item.values()
        elif isinstance(item, list | tuple):
            todo += item
        elif hasattr(item, "__dict__") and not isinstance(item, type):
            todo += vars(item).values()
        elif hasattr(item, "nbytes"):
            total += int(item.nbytes)
    return total
