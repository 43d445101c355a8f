"""Small data sets in the forms in which people keep them: pictures of several shapes whose colour is their class."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

COLOURS = {"blue": (20, 40, 230), "green": (30, 200, 60), "red": (220, 30, 20)}
CLASSES = tuple(COLOURS)
SHAPES = ((48, 32), (32, 48), (40, 40), (64, 32))
"""Width and height."""


def label(i: int) -> int:
    """The class of picture i: as many of each, or nearly."""
    return i % len(CLASSES)


def shape(i: int) -> tuple[int, int]:
    return SHAPES[i % len(SHAPES)]


def picture(i: int) -> Image.Image:
    """A picture in its class' colour, with a white rectangle of its own at the left."""
    image = Image.new("RGB", shape(i), COLOURS[CLASSES[label(i)]])
    image.paste((255, 255, 255), (2, 4, 10 + i % 5, 16 + i % 7))
    return image


def box(i: int) -> list[int]:
    """x, y, width, height of the rectangle."""
    return [2, 4, 8 + i % 5, 12 + i % 7]


def caption(i: int) -> str:
    return f"a {CLASSES[label(i)]} picture, number {i}"


def encoded(i: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    picture(i).save(file, format=kind)
    return file.getvalue()


def marked(i: int) -> np.ndarray:
    """Where the rectangle is."""
    width, height = shape(i)
    found = np.zeros((height, width), dtype=np.uint8)
    x, y, w, h = box(i)
    found[y : y + h, x : x + w] = 1
    return found


def table(folder: Path, n: int = 12, kind: str = "jsonl") -> Path:
    """A table beside a folder of pictures."""
    (folder / "p").mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(n):
        (folder / "p" / f"{i:03}.png").write_bytes(encoded(i))
        rows.append({"file_name": f"p/{i:03}.png", "text": caption(i), "label": CLASSES[label(i)], "weight": i % 3})
    file = folder / f"pictures.{kind}"
    if kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with file.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return file


def pairs(folder: Path, n: int = 8, kind: str = "mask") -> tuple[Path, Path]:
    """Images, and their masks or maps (indices of a palette) under the same names in another folder."""
    images, others = folder / "images", folder / "others"
    for each in (images, others):
        each.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        picture(i).save(images / f"{i:03}.png")
        (images / f"{i:03}.txt").write_text(caption(i))
        if kind == "mask":
            Image.fromarray(marked(i) * 255).save(others / f"{i:03}.png")
        else:
            indexed = Image.frombytes("P", shape(i), (marked(i) * (label(i) + 1)).tobytes())
            indexed.putpalette([channel for colour in ((0, 0, 0), *COLOURS.values()) for channel in colour])
            indexed.save(others / f"{i:03}.png")
    return images, others


def coco(folder: Path, n: int = 8) -> tuple[Path, Path]:
    """Annotations with one object an image, ids in no order, and a crowd."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        (images / f"{i:03}.png").write_bytes(encoded(i))
    width_height = [dict(zip(("width", "height"), shape(i), strict=True)) for i in range(n)]
    document = {
        "images": [{"id": 100 - i, "file_name": f"{i:03}.png", **width_height[i]} for i in range(n)],
        "annotations": [
            {"id": i, "image_id": 100 - i, "category_id": 7 * label(i) + 1, "bbox": box(i), "iscrowd": 0}
            for i in range(n)
        ]
        + [{"id": n, "image_id": 100, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1}],
        "categories": [{"id": 7 * i + 1, "name": name} for i, name in reversed(list(enumerate(CLASSES)))],
    }
    file = folder / "instances.json"
    file.write_text(json.dumps(document))
    return file, images


def hugging_face(n: int, first: int = 0) -> Any:
    """A data set of Hugging Face's kind, in memory."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=list(CLASSES)),
            "weight": datasets.Value("float32"),
        }
    )
    rows = range(first, first + n)
    content = {
        "image": [{"bytes": encoded(i), "path": None} for i in rows],
        "text": list(map(caption, rows)),
        "label": list(map(label, rows)),
        "weight": [float(i % 3) for i in rows],
    }
    return datasets.Dataset.from_dict(content, features=features)


def parquet(folder: Path, n: int = 12, files: int = 2) -> Path:
    """Parquet files as the hub names them."""
    folder.mkdir(parents=True, exist_ok=True)
    part = n // files
    for k in range(files):
        hugging_face(part, k * part).to_parquet(folder / f"train-{k:05}-of-{files:05}.parquet", batch_size=3)
    return folder


def saved(folder: Path, n: int = 12) -> Path:
    """What save_to_disk writes, with two splits."""
    datasets = pytest.importorskip("datasets")
    datasets.DatasetDict({"train": hugging_face(n), "test": hugging_face(2, n)}).save_to_disk(folder)
    return folder


def shards(folder: Path, n: int = 12, files: int = 2) -> Path:
    """webdataset's shards: picture, caption, class and a JSON of each key."""
    folder.mkdir(parents=True, exist_ok=True)
    part = n // files
    for k in range(files):
        with tarfile.open(folder / f"data-{k:05}.tar", "w") as tar:
            for i in range(k * part, (k + 1) * part):
                add(tar, f"{i:06}.png", encoded(i))
                add(tar, f"{i:06}.txt", caption(i).encode())
                add(tar, f"{i:06}.cls", str(label(i)).encode())
                add(tar, f"{i:06}.json", json.dumps({"weight": i % 3}).encode())
    return folder


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
