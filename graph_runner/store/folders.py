"""Trees of tensors, JSON values and files on disk: one folder each, safetensors + JSON, whole or not there (`graph_runner.base.files`).

A `Path` in a tree is a folder of files that are a part of the value. Those that lie in the tree's own folder stay where they are
while the tree is stored around them; others are taken in.

The JSON holds a checksum of itself and of the tensors' file, and the place that all was stored for. So what is damaged, or
lies under another's name, is found when it is read. Folders of version 0.1 have none of these and are read as they are.

A tree of which several processes each hold a part has a file of tensors from each (`graph_runner.store.parts`), and is read by
one process, or by any number, as any other.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from graph_runner.base.checksums import checksum, sealed, unsealed
from graph_runner.base.files import atomic_folder, remove, take_along
from graph_runner.contract.processes import Processes
from graph_runner.store.parts import SUFFIX, load_parts, save_parts

TENSORS, TREE, PARTS, FILES = "tensors.safetensors", "tree.json", "parts", "files"


class StoreError(OSError):
    """A stored folder cannot be read; the message names it."""


def save_tree(folder: Path, tree: Any, meta: dict[str, Any] | None = None) -> None:
    """Write `tree` (nested dicts and lists of tensors, JSON values and paths of folders) as `folder`, replacing what is there.

    Raises TypeError for other values, OSError where the disk refuses; then all is as before.
    """
    tensors: dict[str, Tensor] = {}
    files: dict[str, Path] = {}
    skeleton = _take_apart(tree, "", tensors, partial(_name_files, folder, files))
    _keep_apart(tensors)
    with atomic_folder(folder) as temporary:
        for name, source in files.items():
            take_along(source, temporary / name)
        _save_tensors(tensors, temporary / TENSORS)
        content = {
            "place": _place(folder),
            "tensors": checksum(temporary / TENSORS),
            "tree": skeleton,
            "meta": meta or {},
        }
        (temporary / TREE).write_text(json.dumps(sealed(content)))


def save_tree_together(folder: Path, tree: Any, meta: dict[str, Any], processes: Processes) -> None:
    """The same for a tree of which each process holds a part of many tensors. All must come, and see one file system.

    Raises OSError on all of them where one cannot write; then all is as before.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = _take_apart(tree, "", tensors, _no_files, lambda tensor: tensor.detach())
    with ExitStack() as writing:
        refused = temporary = None
        if processes.rank == 0:
            try:
                temporary = writing.enter_context(atomic_folder(folder))
            except OSError as error:
                refused = error
        temporary, refused = processes.agree((temporary, refused))
        if temporary is None:
            raise refused or OSError(f"{folder} cannot be written")
        save_parts(tensors, temporary)
        if processes.rank == 0:
            files = {path.name: checksum(path) for path in sorted(temporary.glob(f"*{SUFFIX}"))}
            content = {"place": _place(folder), PARTS: files, "tree": skeleton, "meta": meta}
            (temporary / TREE).write_text(json.dumps(sealed(content)))


def load_tree(folder: Path, mesh: DeviceMesh | None = None) -> Any:
    """The tree stored in `folder`, its tensors mapped from the file; with a mesh, of those that were stored in parts this
    process' part. Raises StoreError, naming the folder, where it is damaged."""
    content = _read(folder)
    try:
        known = content.get(PARTS) or ({TENSORS: content["tensors"]} if "tensors" in content else {})
        for name, wanted in known.items():
            if checksum(folder / name) != wanted:
                raise ValueError(f"{name} is damaged: its checksum is another")
        tensors = load_parts(folder, mesh) if PARTS in content else load_file(folder / TENSORS)
        return _put_together(content["tree"], tensors, folder)
    except Exception as error:
        raise _unreadable(folder, error) from error


def files_of(folder: Path) -> Path:
    """Where the files lie that a tree stored as `folder` consists of; they are there before it is."""
    return folder / FILES


def unfinished(folder: Path) -> bool:
    """Whether there are files of a tree that is not stored yet."""
    return files_of(folder).is_dir() and not (folder / TREE).exists()


def forget_tree(folder: Path) -> None:
    """Remove a stored tree. Its files stay, for those that are whole need not be made again; they are counted, and forgotten,
    with all that is in its folder. Raises OSError."""
    if files_of(folder).is_dir():
        (folder / TREE).unlink(missing_ok=True)
    else:
        remove(folder)


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


def _keep_apart(tensors: dict[str, Tensor]) -> None:
    """Copy those that share memory with another, or are a part of something larger, as safetensors demands; a training's state
    is as large as all else that it holds, and is written from where it lies."""
    seen: set[int] = set()
    for path, tensor in tensors.items():
        storage = tensor.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != tensor.nbytes:
            tensors[path] = tensor.clone()
        seen.add(storage.data_ptr())


def _on_host(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu").contiguous()


def _name_files(folder: Path, files: dict[str, Path], source: Path) -> str:
    """Under which name files lie in a tree's folder: their own where they are there already."""
    inside = source.is_relative_to(folder)
    name = source.relative_to(folder).as_posix() if inside else f"{FILES}/taken-in-{len(files)}"
    files[name] = source
    return name


def _no_files(source: Path) -> str:
    raise TypeError(f"{source} cannot be stored by several processes together: only tensors and JSON values can")


def _take_apart(
    value: Any,
    path: str,
    tensors: dict[str, Tensor],
    named: Callable[[Path], str],
    taken: Callable[[Tensor], Tensor] = _on_host,
) -> Any:
    if isinstance(value, Tensor):
        tensors[path] = taken(value)
        return {"__tensor__": path}
    if isinstance(value, dict):
        pairs = [
            (key, _take_apart(item, f"{path}/{i}", tensors, named, taken))
            for i, (key, item) in enumerate(value.items())
        ]
        return {"__dict__": [[key, item] for key, item in pairs]}
    if isinstance(value, list | tuple):
        items = [_take_apart(item, f"{path}/{i}", tensors, named, taken) for i, item in enumerate(value)]
        return {"__tuple__": items} if isinstance(value, tuple) else items
    if isinstance(value, Path):
        return {"__files__": named(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be stored: only tensors and JSON values can")


def _put_together(value: Any, tensors: dict[str, Tensor], folder: Path) -> Any:
    if isinstance(value, dict):
        if "__tensor__" in value:
            return tensors[value["__tensor__"]]
        if "__tuple__" in value:
            return tuple(_put_together(item, tensors, folder) for item in value["__tuple__"])
        if "__files__" in value:
            return folder / value["__files__"]
        return {key: _put_together(item, tensors, folder) for key, item in value["__dict__"]}
    return [_put_together(item, tensors, folder) for item in value] if isinstance(value, list) else value
