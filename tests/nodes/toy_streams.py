"""Streams of pictures in webdataset tars and in parquet files: nodes of a package of somebody's, and makers of such files."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import webdataset as wds
from PIL import Image

from core.data.batch import Batch, collate
from core.data.keyed import KeyedRandom
from core.data.shapes import Shapes
from core.data.stream import State, share
from core.images import from_pil
from graph_runner.contract import PathTo, node
from nodes.wires import Stream


@dataclass(frozen=True)
class Pictures:
    """Pictures in files below a folder, whose rows `rows` gives from one on."""

    folder: Path
    classes: tuple[str, ...] = Shapes.classes

    def rows(self, file: Path, start: int) -> Iterator[tuple[bytes, int]]:
        raise NotImplementedError

    def iterate(self, state: State | None = None, part: tuple[int, int] = (0, 1)) -> Iterator[tuple[Any, State]]:
        files = share(sorted(path for path in self.folder.iterdir() if path.is_file()), part, str(self.folder))
        begin = state or {"file": 0, "row": 0}
        for number in range(begin["file"], len(files)):
            first = begin["row"] if number == begin["file"] else 0
            for row, sample in enumerate(self.rows(files[number], first), first + 1):
                yield sample, {"file": number, "row": row}

    def collate(self, samples: Sequence[Any], random: KeyedRandom | None = None) -> Batch:
        batch = collate([{"image": from_pil(Image.open(io.BytesIO(raw))), "label": label} for raw, label in samples])
        if random is not None:
            flipped = torch.from_numpy(random.uniform() < 0.5)
            batch["images"] = torch.where(flipped[:, None, None, None], batch["images"].flip(-1), batch["images"])
        return batch


class Tars(Pictures):
    def rows(self, file: Path, start: int) -> Iterator[tuple[bytes, int]]:
        sample: dict[str, bytes] = {}
        with tarfile.open(file) as tar:
            for i, member in enumerate(tar):  # webdataset's: members of one name follow each other
                if i // 2 >= start:
                    found = tar.extractfile(member)
                    assert found is not None
                    sample[Path(member.name).suffix] = found.read()
                if len(sample) == 2:
                    yield sample[".png"], int(sample[".cls"])
                    sample = {}


class Parquets(Pictures):
    def rows(self, file: Path, start: int) -> Iterator[tuple[bytes, int]]:
        with pq.ParquetFile(file) as table:
            i = 0
            for batch in table.iter_batches(16):
                for row in batch.to_pylist():
                    if i >= start:
                        yield row["image"], row["label"]
                    i += 1


@node(category="toy")
def toy_tar_stream(path: Annotated[str, PathTo("folder")]) -> Stream:
    """Pictures in tars.

    path: the folder.
    """
    return Tars(Path(path))


@node(category="toy")
def toy_parquet_stream(path: Annotated[str, PathTo("folder")]) -> Stream:
    """Pictures in parquet files.

    path: the folder.
    """
    return Parquets(Path(path))


def pngs(size: int) -> list[tuple[bytes, int]]:
    """Shapes as PNG files, with their classes."""
    batch = Shapes(16, size).get_batch(range(size))
    found = []
    for image, label in zip(batch["images"], batch["labels"].tolist(), strict=True):
        buffer = io.BytesIO()
        pixels = ((image + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "png")
        found.append((buffer.getvalue(), label))
    return found


def write_tars(folder: Path, files: int, rows: int) -> None:
    """Pictures in so many tars."""
    folder.mkdir(parents=True)
    samples = pngs(files * rows)
    for file in range(files):
        with wds.TarWriter(str(folder / f"{file:03}.tar")) as tar:
            for i in range(file * rows, (file + 1) * rows):
                tar.write({"__key__": f"{i:05}", "png": samples[i][0], "cls": str(samples[i][1]).encode()})


def write_parquets(folder: Path, files: int, rows: int) -> None:
    """Pictures in so many parquet files."""
    folder.mkdir(parents=True)
    samples = pngs(files * rows)
    for file in range(files):
        images, labels = zip(*samples[file * rows : (file + 1) * rows], strict=True)
        table = pa.table({"image": pa.array(images, pa.binary()), "label": pa.array(labels, pa.int64())})
        pq.write_table(table, folder / f"{file:03}.parquet", row_group_size=16)
