"""Files of weights made to harm: they run no code, take no memory that their bytes do not have, and end soon."""

from __future__ import annotations

import io
import json
import pickle
import resource
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints.files import CheckpointError
from core.checkpoints.weights import read_weights
from tests.bounds import GIB, memory, no_hang, resident
from tests.core.checkpoints import tiny_ldm


@pytest.fixture(scope="module", autouse=True)
def bounded() -> Iterator[None]:
    """At most 2 GiB more than what is in use."""
    tiny_ldm.clip()  # what is imported late is in use by now
    with memory(2):
        yield


def opcodes(value: Any) -> bytes:
    """A plain value as pickle instructions, without frame and memo."""
    return pickle.dumps(value, 2)[2:-1].replace(b"q\x00", b"")


def index_of(count: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], views: bytes = b"") -> bytes:
    """A pickle as torch.save writes it, of one tensor `w` in a storage of so many float32 numbers."""
    storage = b"ctorch\nFloatStorage\n" + opcodes("0") + opcodes("cpu") + opcodes(count) + views
    place = b"(" + opcodes("storage") + storage + b"tQ"
    rest = opcodes(offset) + opcodes(shape) + opcodes(stride) + b"\x89ccollections\nOrderedDict\n)R"
    return b"\x80\x02}" + opcodes("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + place + rest + b"tRs."


def zipped(index: bytes, numbers: bytes = b"\0" * 16, packing: int = zipfile.ZIP_STORED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", packing) as archive:
        archive.writestr("archive/data.pkl", index)
        archive.writestr("archive/data/0", numbers)
        archive.writestr("../../outside", b"never written")
    return packed.getvalue()


def row(index: bytes, numbers: bytes = b"") -> bytes:
    """The older form."""
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return head + index + pickle.dumps(["0"], 2) + numbers


def called(name: str, argument: int) -> bytes:
    """A pickle of a few bytes that calls something with a number."""
    return row(b"\x80\x02c" + name.replace(".", "\n").encode() + b"\n" + opcodes(argument) + b"\x85R.")


def doubled(levels: int) -> bytes:
    """A pickle that copies a dictionary into another again and again."""
    step = b"ccollections\nOrderedDict\nh\x00\x85R0"
    entries = b"".join(opcodes(i) + b"N" for i in range(20_000))
    return b"\x80\x02}q\x00(" + entries + b"u" + step * levels + b"."


HUGE = 4_000_000_000
FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a tensor of 16 GB": (lambda: called("torch.Tensor", HUGE), "damaged"),
    "a float tensor of 16 GB": (lambda: called("torch.FloatTensor", HUGE), r"run code on loading \(torch.FloatTensor"),
    "bytes of 16 GB": (lambda: called("builtins.bytearray", HUGE), "damaged"),
    "a memo of 32 GB": (lambda: row(b"\x80\x02}r\xff\xff\xff\x7f."), "damaged"),
    "text of 16 GB": (lambda: b"\x80\x02X\xff\xff\xff\xff.", "damaged"),
    "bytes8 of 16 GB": (lambda: b"\x80\x05\x96\0\0\0\0\x04\0\0\0.", "damaged"),
    "an old storage of 16 GB": (lambda: row(index_of(HUGE, 0, (HUGE,), (1,), b"N")), "declares 16,000,000,000"),
    "a storage of 16 GB": (lambda: zipped(index_of(HUGE, 0, (HUGE,), (1,))), "declares 16,000,000,000"),
    "a storage unlike its record": (lambda: zipped(index_of(8, 0, (2, 2), (2, 1))), "declares 32 bytes for its record"),
    "a tensor beyond its storage": (lambda: zipped(index_of(4, 2, (2, 2), (2, 1))), "damaged"),
    "strides beyond it": (lambda: zipped(index_of(4, 0, (2, 2), (2**40, 1))), "damaged"),
    "a stride backwards": (lambda: zipped(index_of(4, 0, (2, 2), (-2, 1))), "damaged"),
    "one number a billion times": (lambda: zipped(index_of(4, 0, (10**9,), (0,))), "damaged"),
    "a zip bomb": (
        lambda: zipped(index_of(4, 0, (4,), (1,)), b"\0" * 50_000_000, zipfile.ZIP_DEFLATED),
        "a packed archive",
    ),
    "an archive of something else": (lambda: zipped(b"")[:0] + some_zip(), "without a model in it"),
    "a deep pickle": (lambda: b"\x80\x02" + b"(" * 600_000 + b"t" * 600_000 + b".", "over 1,000,000 operations"),
    "deep, not very": (lambda: zipped(b"\x80\x02" + b"(" * 90_000 + b"t" * 90_000 + b"."), "no tensors by name"),
    "millions of operations": (lambda: b"\x80\x02" + b"N0" * 1_000_000 + b"N.", "over 1,000,000 operations"),
    "a dictionary copied again and again": (lambda: row(doubled(1000)), "damaged"),
    "a header of 2 GB": (lambda: struct.pack("<Q", 2**31) + b'{"a":1}' + b" " * 50, "damaged"),
    "a negative header": (lambda: b"\xff" * 8 + b'{"a":1}', "damaged"),
    "overlapping tensors": (
        lambda: of_header({n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"}, 8),
        "damaged",
    ),
    "a tensor beyond the file": (
        lambda: of_header({"a": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}}, 8),
        "damaged",
    ),
}


def some_zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("holiday.txt", b"sun")
    return packed.getvalue()


def of_header(header: dict[str, Any], length: int) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * length


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_declares_is_not_believed(name: str, tmp_path: Path) -> None:
    content, told = FILES[name]
    path = tmp_path / "model.ckpt"
    path.write_bytes(content())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with no_hang(name), pytest.raises(CheckpointError, match=told) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kilobytes"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.ckpt"]
    assert not (tmp_path.parent / "outside").exists()


def test_what_the_pickles_above_are_changed_from_is_read(tmp_path: Path) -> None:
    numbers = torch.arange(4.0).numpy().tobytes()
    (tmp_path / "new.ckpt").write_bytes(zipped(index_of(4, 0, (2, 2), (1, 2)), numbers))
    (tmp_path / "old.ckpt").write_bytes(row(index_of(4, 0, (2, 2), (1, 2), b"N"), struct.pack("<q", 4) + numbers))
    for name in ("new.ckpt", "old.ckpt"):
        assert read_weights(tmp_path / name)["w"].tolist() == [[0, 2], [1, 3]], name


@pytest.mark.parametrize(
    "name", ["posix.system", "builtins.eval", "torch.load", "numpy.load", "os.mkdir", "_codecs.decode"]
)
@pytest.mark.parametrize("form", ["zip", "row", "plain", "second name"])
def test_no_name_outside_the_table_is_called(name: str, form: str, tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "model.ckpt"
    module, _, function = name.rpartition(".")
    call = f"c{module}\n{function}\n".encode() + opcodes(str(canary)) + b"\x85R"
    if form == "second name":  # by the instruction that takes the name from the stack
        call = opcodes(module) + opcodes(function) + b"\x93" + opcodes(str(canary)) + b"\x85R"
    index = b"\x80\x02" + call + b"."
    path.write_bytes({"zip": zipped(index), "row": row(index)}.get(form, index))
    with pytest.raises(CheckpointError, match="so it was not loaded"):
        read_weights(path)
    assert not canary.exists()


def test_a_pickle_cannot_give_a_dictionary_methods_of_its_own(tmp_path: Path) -> None:
    attributes = b"}(" + opcodes("items") + b"N" + opcodes("get") + b"Nub"
    tensor = index_of(4, 0, (4,), (1,))[3:-2]
    index = b"\x80\x02ccollections\nOrderedDict\n)R" + attributes + tensor + b"s."
    (tmp_path / "model.ckpt").write_bytes(zipped(index))
    assert read_weights(tmp_path / "model.ckpt").keys() == {"w"}


def test_a_ckpt_of_seven_gigabytes_is_mapped(tmp_path: Path) -> None:
    """Of a sparse file: what is not looked at is not read."""
    count = 7 * 2**30 // 4
    path = tmp_path / "large.ckpt"
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo("archive/data.pkl")
        archive.writestr(entry, index_of(count, 0, (count,), (1,)))
        record = zipfile.ZipInfo("archive/data/0")
        record.extra = b"\0\0\x02\0ab"  # numbers begin at a multiple of four
        record.extra += (
            b"FB" + struct.pack("<H", pad := (-(file.tell() + 30 + len(record.filename) + 30)) % 64) + b"\0" * pad
        )
        with archive.open(record, "w", force_zip64=True) as stream:
            stream.write(b"\0" * 64)
            begin = file.tell()
            file.seek(4 * count - 64, io.SEEK_CUR)  # a hole
            stream._file_size = stream._compress_size = 4 * count  # type: ignore[attr-defined]
    assert begin
    used = resident()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))  # a mapping counts whole, whatever is read of it
    try:
        weights = read_weights(path)
        assert weights["w"].shape == (count,)
        assert weights["w"][-1] == 0
        assert resident() - used < GIB
        del weights
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
