"""Values by content: in memory with a byte budget, and on disk for what a node declares worth keeping.

An entry holds every output that was read, and the files its node showed. What is on an accelerator is held on the host: what
lies here shares no tensor with what a run uses there, and gives it copies (`graph_runner.store.host`).
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from graph_runner.base.events import Shown
from graph_runner.base.files import remove
from graph_runner.base.home import home_of
from graph_runner.bind.graph import Slot
from graph_runner.contract import PortType
from graph_runner.contract.models import is_module
from graph_runner.store.folders import forget_tree, load_meta, load_tree, save_tree, unfinished
from graph_runner.store.host import in_use, on_host, size_of
from graph_runner.store.modules import ModuleCodec, is_kept_module

CACHE = "cache"
"""The folder in a workspace."""


def entry_name(key: str) -> str:
    """What the folder of an entry of this key is called."""
    return key[:40]


@dataclass(frozen=True)
class Entry:
    """The outputs of one node, and the files it showed. fetched: ids of the tensors in them that came from an accelerator."""

    values: dict[Slot, Any]
    shown: list[Shown]
    fetched: frozenset[int] = frozenset()


class Cache:
    """Content-addressed values of one workspace. models: the classes that an entry on disk may name. device: where values are
    used; on the CPU they are used as they lie here."""

    def __init__(
        self,
        workspace: Path,
        budget: int,
        models: Mapping[str, type] | None = None,
        device: torch.device = torch.device("cpu"),  # noqa: B008 - a value
    ) -> None:
        self.models, self.device = models or {}, device
        self.workspace, self.folder, self.budget = workspace, workspace / CACHE, budget
        self.home = home_of(workspace)
        self._memory: OrderedDict[str, tuple[Entry, int]] = OrderedDict()
        self._used = 0
        self._made_of: dict[str, frozenset[str]] = {}

    def made_of(self, key: str, paths: frozenset[str], types: Iterable[PortType]) -> None:
        """Say of which paths a value of this key is made now; what memory holds of other ones may be forgotten.

        A key is of contents, wherever they lie. A value that the disk could not keep, such as an opened data set, may go on
        reading where it was made, and what lies there may change.
        """
        if all(kind.self_contained for kind in types):
            return
        if self._made_of.get(key, paths) != paths:
            _, size = self._memory.pop(key, (None, 0))
            self._used -= size
        self._made_of[key] = paths

    def recall(
        self, key: str, types: Mapping[Slot, PortType], slots: set[Slot], keep: bool, lasting: bool
    ) -> Entry | None:
        """An entry that has at least these outputs, read and found whole; None where there is none.

        `lasting`: files that the node showed must still be there. Whatever is wrong with an entry on disk is raised.
        """
        if (known := self.in_memory(key)) is not None:
            there, shown = set(known.values), known.shown
        elif keep and self._lies(key):
            meta = load_meta(self._at(key))
            there, shown = {(port, name) for port, name in meta["slots"]}, [Shown(**fields) for fields in meta["shown"]]
        else:
            return None
        if not slots <= there or (lasting and not all(self._is_shown(s) for s in shown)):
            return None
        return self.get(key, types)

    def stored(self, keys: Iterable[str]) -> set[str]:
        """Those of these keys under which something lies on disk, or at home.

        One listing tells: a shared folder answers it anew, and remembers for a while that a single name was not there.
        """
        there = set(self.home.names(self.folder))
        with suppress(OSError):
            there |= {path.name for path in self.folder.iterdir()}
        return {key for key in keys if entry_name(key) in there}

    def forget(self, key: str) -> None:
        """Remove what the disk holds of an entry, as far as it lets; of files that it consists of, see `forget_tree`."""
        with suppress(OSError):
            forget_tree(self._at(key))
        with suppress(OSError):
            self.home.forget(self._at(key))

    def discard(self, key: str) -> None:
        """Remove what the disk holds of an entry, and all files that it consists of."""
        if self._at(key).exists():
            remove(self._at(key))
        self.home.forget(self._at(key))

    def let_go(self) -> int:
        """Forget what memory holds; what the disk keeps is read again. Returns the bytes, of which others may still hold some."""
        freed, self._used = self._used, 0
        self._memory.clear()
        return freed

    def in_memory(self, key: str) -> Entry | None:
        """An entry that needs no reading: whoever holds it keeps it, whatever the budget."""
        if key not in self._memory:
            return None
        self._memory.move_to_end(key)
        return self._memory[key][0]

    def get(self, key: str, types: Mapping[Slot, PortType]) -> Entry:
        """An entry that the cache holds. Raises StoreError, naming the folder, where it is damaged on disk."""
        if (known := self.in_memory(key)) is not None:
            return known
        folder = self._at(key)
        self._lies(key)
        tree = load_tree(folder)
        values = {
            (port, name): _decode(value, types[port, name], self.models)
            for port, name, value in tree
            if (port, name) in types
        }
        entry = Entry(values, [Shown(**fields) for fields in load_meta(folder)["shown"]])
        self._remember(key, entry)
        with suppress(OSError):  # when it was last used matters to `clean` alone
            os.utime(folder)
        return entry

    def put(self, key: str, entry: Entry, types: Mapping[Slot, PortType], keep: bool) -> None:
        """Remember an entry; on disk too where it is worth keeping. Raises OSError where the disk refuses, and
        UncopiedError for what cannot be held on the host."""
        values = {slot: value.detach() if isinstance(value, Tensor) else value for slot, value in entry.values.items()}
        fetched: frozenset[int] = frozenset()
        if self.device.type != "cpu":
            values, fetched = on_host(values)
        if (known := self.in_memory(key)) is not None:  # an equal node whose other outputs were read
            values, fetched = known.values | values, known.fetched | fetched
        entry = Entry(values, entry.shown, fetched)
        self._remember(key, entry)
        if keep:
            tree = [
                [port, name, _encode(value, types[port, name], self.models)]
                for (port, name), value in entry.values.items()
            ]
            meta = {"slots": [list(slot) for slot in entry.values], "shown": [asdict(shown) for shown in entry.shown]}
            save_tree(self._at(key), tree, meta)
            self.home.keep(self._at(key))

    def used(self, entry: Entry) -> dict[Slot, Any]:
        """An entry's values as a run uses them: on an accelerator copies, so that they may be moved about."""
        return entry.values if self.device.type == "cpu" else in_use(entry.values, entry.fetched, self.device)

    def _remember(self, key: str, entry: Entry) -> None:
        size = size_of(list(entry.values.values())) + 1
        if key in self._memory:
            self._used -= self._memory.pop(key)[1]
        self._memory[key] = (entry, size)
        self._used += size
        while self._used > self.budget and len(self._memory) > 1:
            _, (_, freed) = self._memory.popitem(last=False)
            self._used -= freed

    def _lies(self, key: str) -> bool:
        """Whether an entry lies on disk, whole; one that is at home comes here."""
        folder = self._at(key)
        if not folder.exists() or unfinished(folder):
            self.home.bring_tree(folder)
        return folder.exists() and not unfinished(folder)

    def _is_shown(self, shown: Shown) -> bool:
        """Whether a file that a run showed is still there."""
        path = self.workspace / shown.path
        if not path.exists():
            self.home.bring(path)
        return path.exists()

    def _at(self, key: str) -> Path:
        return self.folder / entry_name(key)


def _encode(value: Any, kind: PortType, models: Mapping[str, type]) -> Any:
    if value is None:
        return None
    if kind.many:
        return [_encode(item, kind.element(), models) for item in value]
    if kind.wire is not None and kind.wire.codec is not None:
        return kind.wire.codec.save(value)
    return ModuleCodec(models).save(value) if isinstance(value, Module) else value


def _decode(tree: Any, kind: PortType, models: Mapping[str, type]) -> Any:
    if tree is None:
        return None
    if kind.many:
        return [_decode(item, kind.element(), models) for item in tree]
    if kind.wire is not None and kind.wire.codec is not None:
        return kind.wire.codec.load(tree)
    return ModuleCodec(models).load(tree) if is_kept_module(tree) or is_module(kind.base) else tree
