"""What torch.save wrote, read without running anything that it contains and without believing what it declares.

Both of its forms are known: a zip archive (PyTorch 1.6 on) and, before that, a row of pickles followed by the numbers.
PyTorch's own reader is not used, not even with `weights_only`: it calls `torch.Tensor(n)` and `bytearray(n)` for a file
of 60 bytes that asks for 16 GB, sets memory of a declared size aside before it looks whether the file has as much, and
takes a tensor's numbers from beyond its record (docs/decisions/pickles.md). Here names stand for the few functions below,
and for nothing else; sizes are compared with the file's before anything is set aside; of a zip archive the tensors stay
mapped from the file.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor, UntypedStorage

from core.checkpoints.files import CheckpointError

MOST_PICKLE = 16 * 2**20
"""Bytes of one pickle: a thousand tensors take 200 kB."""
MOST_OPERATIONS = 1_000_000
"""Instructions of one pickle: a tensor takes about 40."""
MOST_REPEATED = 4
"""How often a file may show its numbers: weights that are tied are saved once and named twice."""

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # what the older form begins with
_CUT = "is truncated or damaged ({size:,} bytes); download or copy it again."
_SHORT = "is truncated or damaged: it has {size:,} bytes and declares {wanted:,} of numbers; download or copy it again."
_FOREIGN = "is a pickle that {what}, so it was not loaded; get the model as safetensors, or convert the file where you trust it."

STORAGES: dict[str, torch.dtype] = {
    "torch DoubleStorage": torch.float64,
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
    "torch ShortStorage": torch.int16,
    "torch CharStorage": torch.int8,
    "torch ByteStorage": torch.uint8,
    "torch BoolStorage": torch.bool,
    "torch ComplexFloatStorage": torch.complex64,
    "torch ComplexDoubleStorage": torch.complex128,
    "torch.storage UntypedStorage": torch.uint8,
}
DTYPES = {
    f"torch {str(dtype).removeprefix('torch.')}": dtype
    for dtype in (*STORAGES.values(), torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2)
}
UNNEEDED = frozenset(
    """torch Tensor, torch.nn.parameter Parameter, torch device, torch.serialization _get_layout, collections Counter,
    builtins set, builtins complex, builtins bytearray, __builtin__ set, _codecs encode, numpy dtype,
    numpy.core.multiarray scalar, numpy._core.multiarray scalar,
    collections defaultdict, argparse Namespace, copyreg _reconstructor, copy_reg _reconstructor,
    pathlib PosixPath, pathlib PurePosixPath, typing Any, typing Dict, typing List, typing Optional, typing Union,
    builtins dict, builtins list, builtins tuple, builtins object, builtins int, builtins float, builtins bool, builtins str,
    __builtin__ dict, __builtin__ list, __builtin__ tuple, __builtin__ object, __builtin__ int, __builtin__ float,
    __builtin__ bool, __builtin__ str, __builtin__ unicode, __builtin__ long""".replace("\n", " ")
    .replace("    ", "")
    .split(", ")
)
"""What checkpoints mention beside their tensors."""
UNNEEDED_PACKAGES = frozenset({"omegaconf", "pytorch_lightning", "lightning"})
"""Packages of which the published checkpoints hold objects: their settings and the trainer's callbacks."""

WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "ema", "params_ema", "params", "weights", "net")
"""Under which names trainers keep a model's state beside their own."""
LONG_NAME = 64
"""Characters of a joined name that count as much as a tensor."""
MOST_DEPTH = 4
"""Levels of tables in tables: a hypernetwork has widths, layers and their weights."""


class Stored(NamedTuple):
    """A tensor's numbers in the file: their bytes, how to read them, and how many there are."""

    bytes: UntypedStorage
    dtype: torch.dtype
    length: int


class View(NamedTuple):
    """A tensor to be: made only when nothing of the pickle can reach it any more."""

    bytes: UntypedStorage
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def tensor(self) -> Tensor:
        """The tensor, without a copy."""
        empty = torch.empty(0, dtype=self.dtype)
        return empty.set_(self.bytes, self.offset, self.shape, self.stride)


class _Unneeded:
    """Stands for what nobody needs, whatever is done with it. The class stands for classes: a pickle may make instances."""

    __slots__ = ()

    def __new__(cls, *_: Any, **__: Any) -> _Unneeded:
        return super().__new__(cls)

    def _nothing(self, *_: Any) -> _Unneeded:
        return self

    __call__ = __setstate__ = __setitem__ = append = extend = add = _nothing  # what a pickle can do with an object


def read_pickled(path: Path) -> dict[str, Tensor]:
    """The tensors by name that torch.save was given, on the CPU; where it was given a `state_dict` or alike, those of that.

    Where tensors lie in tables of tables and none is a model's state, their names are joined by dots.

    Raises CheckpointError naming the file and the remedy.
    """
    size = path.stat().st_size
    try:
        content = _read_zip(path, size) if zipfile.is_zipfile(path) else _read_row(path, size)
        views = _state(content)
        declared = sum(math.prod(view.shape) * view.dtype.itemsize for view in views.values())
        if declared > MOST_REPEATED * size:
            raise CheckpointError(
                f"{path} has {size:,} bytes and declares {declared:,} of tensors, the same numbers many times; "
                "download or copy it again."
            )
        return {key: view.tensor() for key, view in views.items()}
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle may end in any
        raise CheckpointError(f"{path} {_CUT.format(size=size)}") from error


def _state(content: Any) -> dict[str, View]:
    """The tensors of a model's state by name, wherever in the content it lies; of what is none, all tensors by joined names."""
    if found := _wrapped(content, MOST_DEPTH):
        return found
    joined = dict[str, View]()
    _join(content, "", MOST_DEPTH, joined, [MOST_OPERATIONS])
    return joined


def _wrapped(content: Any, depth: int) -> dict[str, View]:
    """The tensors of a table, or of that in it which a trainer calls the model's state."""
    # Methods of dict, for a pickle may give an ordered dictionary an attribute `items` of its own.
    if not isinstance(content, dict) or not depth:
        return {}
    if isinstance(inner := dict.get(content, "state_dict"), dict):
        return _wrapped(inner, depth - 1)
    if direct := {key: view for key, view in dict.items(content) if isinstance(key, str) and isinstance(view, View)}:
        return direct
    return next((found for name in WRAPPERS if (found := _wrapped(dict.get(content, name), depth - 1))), {})


def _join(content: Any, name: str, depth: int, found: dict[str, View], left: list[int]) -> None:
    """Gather the tensors of tables and lists in one another, as often as `left` allows: one table may be named many times, and
    a long name stand before many tensors."""
    left[0] -= 1 + len(name) // LONG_NAME
    if left[0] < 0:
        raise ValueError("its tables stand for too many values")
    if isinstance(content, View):
        found[name] = content
    elif depth and isinstance(content, dict | list | tuple):
        pairs = dict.items(content) if isinstance(content, dict) else enumerate(content)
        for key, value in pairs:
            if isinstance(key, str | int):
                _join(value, f"{name}.{key}" if name else str(key), depth - 1, found, left)


def _read_zip(path: Path, size: int) -> Any:
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        entries = {entry.filename: entry for entry in archive.infolist()}
        declared = sum(entry.file_size for entry in entries.values())
        if declared > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise CheckpointError(
                f"{path} has {size:,} bytes and declares {declared:,}: it is a packed archive, which PyTorch does not "
                "write. Unpack it and give the model file in it, or get the file again."
            )
        root = next((name.removesuffix("data.pkl") for name in entries if name.endswith("data.pkl")), None)
        if root is None:
            raise CheckpointError(f"{path} is a zip archive without a model in it; unpack it and give the file in it.")
        if f"{root}constants.pkl" in entries:
            raise CheckpointError(f"{path} {_FOREIGN.format(what='holds a TorchScript program')}")
        if f"{root}byteorder" in entries and archive.read(entries[f"{root}byteorder"]) != b"little":
            raise CheckpointError(f"{path} was written on a big-endian machine; save it anew as safetensors there.")
        data = entries[f"{root}data.pkl"]
        if data.file_size > MOST_PICKLE:
            raise CheckpointError(f"{path} has an index of {data.file_size:,} bytes, which no model has.")
        mapped = UntypedStorage.from_file(str(path), False, size)

        @cache
        def store(key: str, dtype: torch.dtype, count: int) -> Stored:
            entry = entries[f"{root}data/{key}"]
            if entry.file_size != count * dtype.itemsize:
                raise CheckpointError(
                    f"{path} declares {count * dtype.itemsize:,} bytes for its record {entry.filename}, which has "
                    f"{entry.file_size:,}; download or copy it again."
                )
            begin = _begin(file, entry)
            numbers = mapped[begin : begin + entry.file_size]
            return Stored(numbers if begin % dtype.itemsize == 0 else numbers.clone(), dtype, count)

        pickled = archive.read(data)
        if _end(pickled, path) != len(pickled):
            raise ValueError("something follows the pickle")
        return _Reader(io.BytesIO(pickled), path, size, store).load()


def _begin(file: BinaryIO, entry: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin. Raises ValueError where they end beyond the file."""
    file.seek(entry.header_offset)
    name, extra = struct.unpack("<26xHH", file.read(30))
    begin: int = entry.header_offset + 30 + name + extra
    if begin + entry.file_size > file.seek(0, io.SEEK_END):
        raise ValueError(f"{entry.filename} ends beyond the file")
    return begin


def _read_row(path: Path, size: int) -> Any:
    """The older form: pickles of a magic number, a version, the system, the content and the keys; then the numbers."""
    promised: dict[str, tuple[Tensor, Stored]] = {}
    wanted = 0

    def store(key: str, dtype: torch.dtype, count: int) -> Stored:
        nonlocal wanted
        if key not in promised:
            wanted += count * dtype.itemsize
            if wanted > size:
                raise CheckpointError(f"{path} {_SHORT.format(size=size, wanted=wanted)}")
            numbers = torch.empty(count * dtype.itemsize, dtype=torch.uint8)
            promised[key] = numbers, Stored(numbers.untyped_storage(), dtype, count)
        return promised[key][1]

    with path.open("rb") as file:
        head = file.read(MOST_PICKLE)
        at, parts = 0, list[Any]()
        while len(parts) < 5:
            end = at + _end(head[at:], path)
            parts.append(_Reader(io.BytesIO(head[at:end]), path, size, store).load())
            at = end
            if parts[0] != _MAGIC or (len(parts) > 1 and parts[1] != _PROTOCOL):
                raise CheckpointError(f"{path} {_FOREIGN.format(what='torch.save did not write')}")
        content, keys = parts[3:]
        if set(keys) != promised.keys():
            raise ValueError("the numbers are not those of the tensors")
        file.seek(at)
        for key in keys:
            numbers, stored = promised[key]
            (count,) = struct.unpack("<q", file.read(8))
            if count != stored.length or file.readinto(numbers.numpy().data) != len(numbers):
                raise ValueError("the numbers are not all there")
        return content


def _end(pickled: bytes, path: Path) -> int:
    """How long a pickle is, having looked through it: what it asks for and names must be what torch.save writes."""
    at = 0
    for number, (operation, argument, place) in enumerate(pickletools.genops(pickled)):
        at = place or 0
        if number > MOST_OPERATIONS:
            raise CheckpointError(f"{path} holds a pickle of over {MOST_OPERATIONS:,} operations, which no model has.")
        match operation.name:
            case "GLOBAL" | "INST":
                _known(str(argument), path)
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                if not isinstance(argument, int) or argument > MOST_OPERATIONS:  # memory for so many is set aside
                    raise ValueError(f"the memo has no place {argument}")
            case "EXT1" | "EXT2" | "EXT4" | "STACK_GLOBAL" | "NEXT_BUFFER" | "READONLY_BUFFER" | "FRAME":
                raise CheckpointError(f"{path} {_FOREIGN.format(what='torch.save did not write')}")
    return at + 1


def _known(name: str, path: Path) -> None:
    if name.partition(" ")[0].partition(".")[0] in UNNEEDED_PACKAGES:
        return
    if name not in _REBUILD and name not in STORAGES and name not in DTYPES and name not in UNNEEDED:
        what = f"would run code on loading ({name.replace(' ', '.', 1)})"
        raise CheckpointError(f"{path} {_FOREIGN.format(what=what)}")


class _Reader(pickle.Unpickler):
    """Python's unpickler with a closed table of names: `find_class` gives methods of this class, dtypes and placeholders."""

    def __init__(self, file: BinaryIO, path: Path, size: int, store: Callable[[str, torch.dtype, int], Stored]) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 wrote the oldest
        self.path, self.size, self.store = path, size, store
        self.copied = 0

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for. Raises CheckpointError for one that is not in the tables."""
        full = f"{module} {name}"
        _known(full, self.path)
        if full in _REBUILD:
            return getattr(self, _REBUILD[full])
        return STORAGES.get(full) or DTYPES.get(full) or _Unneeded

    def persistent_load(self, pid: Any) -> Stored:
        """The numbers that ("storage", kind, key, device, count) names."""
        what, dtype, key, _, count, *views = pid
        if what != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str) or any(views):
            raise ValueError(f"no storage is called {pid!r}")
        if not isinstance(count, int) or not 0 <= count * dtype.itemsize <= self.size:
            wanted = count * dtype.itemsize
            raise CheckpointError(f"{self.path} {_SHORT.format(size=self.size, wanted=wanted)}")
        return self.store(key, dtype, count)

    def ordered(self, items: Any = ()) -> OrderedDict[Any, Any]:
        """An ordered dictionary. What is copied into one counts: a pickle may copy a large one again and again."""
        self.copied += len(items)
        if self.copied > MOST_OPERATIONS:
            raise ValueError("too much is copied")
        return OrderedDict(items)

    def view(self, stored: Stored, offset: int, shape: Any, stride: Any, *_: Any) -> View:
        """A tensor in stored numbers. Raises ValueError where it would reach beyond them or repeat them."""
        return _view(stored, stored.dtype, offset, tuple(shape), tuple(stride))

    def view_of(
        self, stored: Stored, offset: int, shape: Any, stride: Any, _grad: Any, _hooks: Any, dtype: torch.dtype, *_: Any
    ) -> View:
        """A tensor whose dtype is said apart from its numbers."""
        return _view(stored, dtype, offset, tuple(shape), tuple(stride))

    def parameter(self, data: View, *_: Any) -> View:
        """A parameter's tensor."""
        return data

    def typed(self, rebuild: Callable[..., View], _kind: Any, arguments: Any, _state: Any) -> View:
        """A tensor with attributes, which are left out."""
        if rebuild not in (self.view, self.view_of, self.parameter):
            raise ValueError("no tensor is made so")
        return rebuild(*arguments)

    def size_of(self, sides: Any = ()) -> tuple[Any, ...]:
        """A torch.Size."""
        return tuple(sides)


def _view(stored: Stored, dtype: torch.dtype, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> View:
    whole = (offset, *shape, *stride)
    if len(shape) != len(stride) or any(type(each) is not int or not 0 <= each < 2**48 for each in whole):
        raise ValueError(f"no tensor has the shape {shape} and strides {stride}")
    count = stored.length * stored.dtype.itemsize // dtype.itemsize
    elements = math.prod(shape)
    last = offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))
    if elements and (last >= count or elements > count):
        raise ValueError(f"a tensor of shape {shape} does not fit into {count} numbers")
    return View(stored.bytes, dtype, offset, shape, stride)


_REBUILD = {
    "collections OrderedDict": "ordered",
    "torch Size": "size_of",
    "torch._utils _rebuild_tensor": "view",
    "torch._utils _rebuild_tensor_v2": "view",
    "torch._utils _rebuild_tensor_v3": "view_of",
    "torch._utils _rebuild_parameter": "parameter",
    "torch._utils _rebuild_parameter_with_state": "parameter",
    "torch._tensor _rebuild_from_type_v2": "typed",
}
"""Names in pickles, and the method above that does what they mean."""
