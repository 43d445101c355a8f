"""Every source gives the same pictures with what belongs to them, and names file and row where something is wrong."""

from __future__ import annotations

import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.data.arrow import ArrowPictures, parquet_of, picture_of
from core.data.coco import CocoObjects
from core.data.frames import Frame
from core.data.loader import Batches, take
from core.data.pairs import PairedFolders
from core.data.pictures import Framed, Pictures
from core.data.tables import PictureTable
from core.data.tar_shards import TarShards
from core.images import ImageError, from_pil
from tests import sources

N = 12
SOURCES: dict[str, Callable[[Path], Pictures]] = {
    "jsonl": lambda root: PictureTable(sources.table(root, N)),
    "csv": lambda root: PictureTable(sources.table(root, N, "csv")),
    "parquet": lambda root: ArrowPictures(sources.parquet(root / "d", N), root / "cache"),
    "saved": lambda root: ArrowPictures(sources.saved(root / "d", N), root / "cache"),
    "tar": lambda root: TarShards(sources.shards(root / "d", N)),
    "masks": lambda root: PairedFolders(*sources.pairs(root, N), "mask"),
    "maps": lambda root: PairedFolders(*sources.pairs(root, N, "map"), "segmentation"),
    "coco": lambda root: CocoObjects(*sources.coco(root, N)),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_gives_all_pictures_with_what_belongs_to_them(kind: str, tmp_path: Path) -> None:
    made = SOURCES[kind](tmp_path)
    assert len(made) == N
    order = range(N) if kind != "coco" else reversed(range(N))  # by id
    records = [made.record(i) for i in range(N)]
    for place, i in enumerate(order):
        record = records[place]
        assert made.size(place) == record["size"] == sources.shape(i)
        assert torch.equal(from_pil(record["image"]), from_pil(sources.picture(i)))
        if kind != "coco":
            assert record["caption"] == [sources.caption(i)]
        if kind in ("jsonl", "csv", "parquet", "saved", "tar"):
            assert record["label"] == sources.label(i)
            assert float(record["weight"]) == i % 3
        if kind == "masks":
            assert ((np.asarray(record["mask"]) > 127) == sources.marked(i)).all()
        if kind == "maps":
            assert (record["segmentation"] == sources.marked(i) * (sources.label(i) + 1)).all()
        if kind == "coco":
            x, y, w, h = sources.box(i)
            width, height = sources.shape(i)
            assert record["box_labels"].tolist() == [sources.label(i)]
            assert record["boxes"][0] * [width, height, width, height] == pytest.approx([x, y, x + w, y + h])
    assert len({made.name(i) for i in range(N)}) == N
    if kind in ("jsonl", "csv", "parquet", "saved", "coco"):
        assert made.classes == sources.CLASSES
    if kind in ("jsonl", "csv", "parquet", "saved", "tar"):
        assert list(made.column("label") or []) == [sources.label(i) for i in range(N)]
        assert [float(value) for value in made.column("weight") or []] == [i % 3 for i in range(N)]
        assert made.column("nothing") is None


@pytest.mark.parametrize("kind", SOURCES)
def test_its_batches_are_the_same_from_workers(kind: str, tmp_path: Path) -> None:
    data = Framed(SOURCES[kind](tmp_path), Frame(16, 16, random_crop=True, flip=True))
    again = pickle.loads(pickle.dumps(data))
    one, other = Batches(data, 4, seed=1).batch(5), Batches(again, 4, seed=1).batch(5)
    assert one["images"].shape == (4, 3, 16, 16)
    for name, value in one.items():
        assert torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]


def test_pictures_of_different_sizes_make_no_batch_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    data = Framed(PictureTable(sources.table(tmp_path, N)))
    assert data[1]["image"].shape == (3, *sources.shape(1)[::-1])
    with pytest.raises(ValueError, match="'image' differ in shape"):
        take(data, [0, 1])


class TestTables:
    def write(self, folder: Path, *rows: Any) -> Path:
        sources.table(folder, 2)
        file = folder / "t.jsonl"
        file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return file

    @pytest.mark.parametrize(
        ("rows", "match"),
        [
            ([{"file_name": "p/000.png"}, {"file_name": "p/999.png"}], r"t\.jsonl, line 2: there is no file .*999"),
            ([{"file_name": "p/000.png"}, {"image": "p/001.png"}], "line 2: it has no 'file_name'"),
            ([{"text": "a"}], "no column for the picture"),
            ([], "it has no rows"),
            ([{"file_name": "../x.png"}], "no path of a file in the table's folder"),
            ([{"file_name": "/etc/passwd"}], "no path of a file"),
            ([{"file_name": "https://a.b/c.png"}], "no path of a file"),
            ([{"file_name": 3}], "no path of a file"),
            (["{"], "line 1: not JSON"),
        ],
    )
    def test_what_is_wrong_is_told_with_its_line(self, rows: list[Any], match: str, tmp_path: Path) -> None:
        with pytest.raises((ValueError, FileNotFoundError), match=match):
            PictureTable(self.write(tmp_path, *rows))

    def test_a_picture_that_cannot_be_decoded_is_told_with_its_line(self, tmp_path: Path) -> None:
        table = PictureTable(self.write(tmp_path, {"file_name": "p/000.png"}, {"file_name": "p/001.png"}))
        (tmp_path / "p" / "001.png").write_bytes(sources.encoded(1)[:-30])
        with pytest.raises(ImageError, match=r"t\.jsonl, line 2"):
            table.record(1)

    def test_columns_of_other_kinds(self, tmp_path: Path) -> None:
        sources.pairs(tmp_path, 2)
        objects = {"bbox": [[4, 8, 12, 16], [40, 0, 99, 8]], "categories": [3, 1]}
        row = {
            "image": "images/000.png",
            "mask": "others/000.png",
            "objects": objects,
            "prompt": ["a", "b"],
            "score": 2,
        }
        record = PictureTable(self.write(tmp_path, row)).record(0)
        assert record["caption"] == ["a", "b"]
        assert record["score"] == 2
        assert record["box_labels"].tolist() == [3, 1]
        assert record["boxes"][1].tolist() == pytest.approx([40 / 48, 0, 1, 8 / 32])
        assert record["mask"].size == (48, 32)
        row["objects"] = {"bbox": [[1, 2, 3, 4]], "categories": []}
        with pytest.raises(ValueError, match=r"line 1: its objects have 1 boxes and 0 categories"):
            PictureTable(self.write(tmp_path, row)).record(0)

    def test_columns_that_differ_from_row_to_row_or_have_a_batchs_names(self, tmp_path: Path) -> None:
        rows = [{"file_name": f"p/00{i}.png", "score": score, "images": 3} for i, score in enumerate((1, None))]
        made = Framed(PictureTable(self.write(tmp_path, *rows)), Frame(8, 8))
        assert take(made, [0, 1])["score"] == [1, None]
        assert take(made, [0, 1])["images"].shape == (2, 3, 8, 8)
        sources.table(tmp_path, 3)
        labelled = [{"file_name": "p/000.png", "label": "b"}, {"file_name": "p/001.png", "label": None}]
        table = PictureTable(self.write(tmp_path, *labelled))
        assert table.classes == ("b",)
        with pytest.raises(ValueError, match=r"line 2: its label None"):
            table.record(1)


class TestPairs:
    def test_images_without_a_partner_are_named_and_left_out(self, tmp_path: Path) -> None:
        images, masks = sources.pairs(tmp_path, 4)
        (masks / "002.png").unlink()
        made = PairedFolders(images, masks, "mask")
        assert len(made) == 3
        assert made.remarks == ["without a mask, left out: 002.png"]

    def test_colours_are_classes_by_the_palette(self, tmp_path: Path) -> None:
        images, maps = sources.pairs(tmp_path, 3, "map")
        for file in maps.iterdir():
            Image.open(file).convert("RGB").save(file)
        with pytest.raises(ImageError, match=r"000\.png.*give the palette"):
            PairedFolders(images, maps, "segmentation").record(0)
        palette = [(0, 0, 0), *sources.COLOURS.values()]
        made = PairedFolders(images, maps, "segmentation", palette)
        for i in range(3):
            assert (made.record(i)["segmentation"] == sources.marked(i) * (sources.label(i) + 1)).all()
        with pytest.raises(ImageError, match=r"002\.png.*#dc1e14 is not in the palette"):
            PairedFolders(images, maps, "segmentation", palette[:-1]).record(2)
        ignored = PairedFolders(images, maps, "segmentation", palette[:-1], ignore=255).record(2)["segmentation"]
        assert set(np.unique(ignored)) == {0, 255}

    def test_partners_of_another_shape_or_of_one_name_are_refused(self, tmp_path: Path) -> None:
        images, masks = sources.pairs(tmp_path, 2)
        Image.new("L", (10, 10)).save(masks / "000.png")
        with pytest.raises(ValueError, match=r"000\.png: 10 × 10 pixels are of another shape"):
            PairedFolders(images, masks, "mask").record(0)
        Image.new("L", (10, 10)).save(masks / "000.bmp")
        with pytest.raises(ValueError, match="have one name"):
            PairedFolders(images, masks, "mask")
        with pytest.raises(ValueError, match="none of its 2 images"):
            PairedFolders(images, tmp_path / "others2", "mask")


class TestCoco:
    def changed(self, folder: Path, change: Callable[[dict[str, Any]], None]) -> CocoObjects:
        file, images = sources.coco(folder, 4)
        document = json.loads(file.read_text())
        change(document)
        file.write_text(json.dumps(document))
        return CocoObjects(file, images)

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda d: d.pop("categories"), "no 'categories'"),
            (lambda d: d["annotations"][0].update(category_id=5), "there is no 5"),
            (lambda d: d["annotations"][0].update(bbox=[1, "x", 2, 3]), "no x, y, width, height|instances"),
            (lambda d: d["images"][0].update(file_name="../../x"), "no path of a file"),
            (lambda d: d["images"][0].update(file_name="gone.png"), "image 100: there is no file"),
            (lambda d: d["images"][0].update(width=0), "image 100: its size is 0 × 32"),
            (lambda d: d.update(images={}), "not COCO's instances|no image"),
        ],
    )
    def test_what_is_wrong_is_told(self, change: Any, match: str, tmp_path: Path) -> None:
        with pytest.raises((ValueError, FileNotFoundError), match=match):
            self.changed(tmp_path, change)

    def test_small_objects_and_crowded_images_are_left_out(self, tmp_path: Path) -> None:
        file, images = sources.coco(tmp_path, 4)
        assert [len(CocoObjects(file, images, min_area=0.08).record(i)["box_labels"]) for i in range(4)] == [1, 1, 0, 0]
        assert len(CocoObjects(file, images, min_area=0.08, max_objects=1)) == 2


class TestArrow:
    def test_the_parquet_of_a_split_is_found_by_its_name(self, tmp_path: Path) -> None:
        for name in ("train-00000-of-00001", "test-00000-of-00001", "other/validation/a"):
            (tmp_path / f"{name}.parquet").parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / f"{name}.parquet").touch()
        assert list(parquet_of(tmp_path, "train")) == ["train-00000-of-00001.parquet"]
        assert list(parquet_of(tmp_path, "validation")) == ["other/validation/a.parquet"]
        with pytest.raises(ValueError, match="no Parquet of a split 'mine'"):
            parquet_of(tmp_path, "mine")

    def test_a_changed_file_is_read_anew(self, tmp_path: Path) -> None:
        root = sources.parquet(tmp_path / "d", 4, 1)
        assert len(ArrowPictures(root, tmp_path / "cache")) == 4
        sources.parquet(root, 6, 1)
        assert len(ArrowPictures(root, tmp_path / "cache")) == 6

    def test_objects_keep_the_names_of_their_classes_and_other_pictures_stay_in_their_rows(
        self, tmp_path: Path
    ) -> None:
        datasets = pytest.importorskip("datasets")
        box = {"bbox": datasets.List(datasets.Value("float32")), "category": datasets.ClassLabel(names=["cat", "dog"])}
        features = datasets.Features(
            {"image": datasets.Image(), "control": datasets.Image(), "objects": datasets.List(box)}
        )
        cell = {"bytes": sources.encoded(0), "path": "first.png"}
        found = [{"bbox": [4, 8, 12, 16], "category": 1}, {"bbox": [0, 0, 48, 32], "category": 0}]
        content = {"image": [cell, cell], "control": [cell, cell], "objects": [found, []]}
        data = datasets.Dataset.from_dict(content, features=features).with_format("torch")
        data.save_to_disk(tmp_path / "d")
        made = ArrowPictures(tmp_path / "d", tmp_path / "cache")
        assert made.classes == ("cat", "dog")
        assert made.name(0) == "first.png"
        record = made.record(0)
        assert record.keys() == {"image", "size", "boxes", "box_labels"}
        assert record["box_labels"].tolist() == [1, 0]
        assert record["boxes"][0].tolist() == pytest.approx([4 / 48, 8 / 32, 16 / 48, 24 / 32])
        assert made.record(1)["boxes"].shape == (0, 4)
        assert take(Framed(made, Frame(8, 8)), [0, 1])["box_labels"].tolist() == [[1, 0], [-1, -1]]

    def test_rows_are_named_with_their_file(self, tmp_path: Path) -> None:
        made = ArrowPictures(sources.parquet(tmp_path / "d", 6), tmp_path / "cache")
        assert made.name(4) == "train-00001-of-00002.parquet, row 1"

    def test_nothing_outside_of_the_rows_is_read(self, tmp_path: Path) -> None:
        datasets = pytest.importorskip("datasets")
        secret = tmp_path / "secret.png"
        sources.picture(0).save(secret)
        features = datasets.Features({"image": datasets.Image()})
        data = datasets.Dataset.from_dict({"image": [{"bytes": None, "path": str(secret)}]}, features=features)
        data.cast_column("image", datasets.Image(decode=False)).to_parquet(tmp_path / "a.parquet")
        rows = ArrowPictures(tmp_path / "a.parquet", tmp_path / "cache")
        with pytest.raises(ValueError, match=r"a\.parquet, row 0: its picture is not in the row"):
            rows.record(0)
        with pytest.raises(ValueError, match="bytes of one are wanted"):
            picture_of("x.png")

    def test_damage_and_missing_columns_are_told_with_the_file(self, tmp_path: Path) -> None:
        root = sources.parquet(tmp_path / "d", 4, 1)
        with pytest.raises(ValueError, match="no column 'words'; there are image, text, label, weight"):
            ArrowPictures(root, tmp_path / "cache", columns={"caption": "words"})
        [file] = root.glob("*.parquet")
        file.write_bytes(file.read_bytes()[:-40])
        with pytest.raises(ValueError, match=r"d: not readable as a data set"):
            ArrowPictures(root, tmp_path / "cache")
        with pytest.raises(ValueError, match="no split 'mine'"):
            ArrowPictures(sources.saved(tmp_path / "s", 3), tmp_path / "cache", "mine")


class TestTar:
    def one(self, folder: Path, content: dict[str, bytes]) -> TarShards:
        with tarfile.open(folder / "a.tar", "w") as tar:
            for name, raw in content.items():
                sources.add(tar, name, raw)
        return TarShards(folder)

    def test_json_mask_and_map_are_fields_and_nothing_is_unpickled(self, tmp_path: Path) -> None:
        mask = sources.picture(0).convert("L").point(lambda value: 255 * (value > 200))
        mask.save(tmp_path / "m.png")
        raw = (tmp_path / "m.png").read_bytes()
        content = {
            "a/1.jpg": sources.encoded(0, "JPEG"),
            "a/1.json": b'{"caption": ["x", "y"], "label": 4, "score": 0.5}',
            "a/1.mask.png": raw,
            "a/1.seg.png": raw,
            "a/1.pyd": b"cos\nsystem\n(S'touch /tmp/never'\ntR.",
        }
        made = self.one(tmp_path, content)
        record = made.record(0)
        assert made.name(0) == "a/1"
        assert (record["caption"], record["label"], record["score"]) == (["x", "y"], 4, 0.5)
        assert record["mask"].size == record["segmentation"].shape[::-1] == (48, 32)
        assert "pyd" not in record

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            ({"1.txt": b"a"}, r"a\.tar, 1: no column for the picture"),
            ({"1.png": b"no picture"}, r"a\.tar, 1: not a readable image"),
            ({"1.png": sources.encoded(0), "1.cls": b"cat"}, r"a\.tar, 1: its label 'cat'"),
            ({"1.png": sources.encoded(0), "1.json": b"{"}, r"a\.tar, 1\.json: not JSON"),
            ({"1.json": b'{"image": "/etc/passwd"}'}, "no file of the shard"),
        ],
    )
    def test_what_is_wrong_is_told_with_shard_and_key(
        self, content: dict[str, bytes], match: str, tmp_path: Path
    ) -> None:
        made = self.one(tmp_path, content)
        with pytest.raises(ValueError, match=match):
            made.record(0)

    def test_damaged_shards_are_told(self, tmp_path: Path) -> None:
        root = sources.shards(tmp_path, 4, 1)
        [file] = root.glob("*.tar")
        whole = file.read_bytes()
        with pytest.raises(ValueError, match="no samples"):
            TarShards(self.empty(tmp_path))
        file.write_bytes(b"x" * 2000)
        with pytest.raises(ValueError, match=r"data-00000\.tar: not a readable shard"):
            TarShards(file)
        file.write_bytes(whole)
        made = TarShards(file)
        file.write_bytes(whole[: made._samples[-1].fields["json"][0]])
        with pytest.raises(ValueError, match=r"data-00000\.tar, 000003\.json: the shard ends in the middle"):
            made.record(3)

    def empty(self, folder: Path) -> Path:
        (folder / "e").mkdir()
        with tarfile.open(folder / "e" / "a.tar", "w") as tar:
            sources.add(tar, "__meta__/x.png", b"")
        return folder / "e"
