"""Selections: splits that additions do not move, rare classes more often, several sets as one, buckets of all of these."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.data.buckets import SDXL, bucket_sizes, bucketed, described, nearest
from core.data.folder import ImageFolder
from core.data.frames import Frame
from core.data.joined import Joined
from core.data.loader import Batches, take
from core.data.pictures import Framed, pictures_of
from core.data.sampling import class_balanced, held_out, repeated, split, weighted
from core.data.shapes import CLASSES, Shapes
from core.data.tables import PictureTable
from core.data.views import View, column_of
from tests import sources
from tests.effort import cases

N = 24


class Named:
    """Samples that know their names alone."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"name": self.names[i]}

    def name(self, i: int) -> str:
        return self.names[i]


class Captioned:
    """Samples that are captions alone."""

    def __init__(self, *captions: str) -> None:
        self.captions = captions

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"caption": self.captions[i]}


@pytest.fixture
def table(tmp_path: Path) -> PictureTable:
    return PictureTable(sources.table(tmp_path, N))


class TestSplit:
    @settings(deadline=None, max_examples=30)
    @given(
        names=st.sets(st.text(max_size=6), min_size=40, max_size=80), share=st.floats(0.2, 0.8), seed=st.integers(0, 9)
    )
    def test_samples_that_come_or_go_move_no_other(self, names: set[str], share: float, seed: int) -> None:
        ordered = sorted(names)

        def held(part: Sequence[str]) -> set[str]:
            made = split(Named(part), share, seed)
            both = [{view.name(i) for i in range(len(view))} for view in made]
            assert both[0] | both[1] == set(part)
            assert not both[0] & both[1]
            return both[1]

        whole = held(ordered)
        for part in (ordered[:20], ordered[::-2]):
            with suppress(ValueError):  # one of the sides is empty
                assert held(part) == whole & set(part)

    def test_the_share_is_about_what_was_asked_for_and_seeds_differ(self) -> None:
        data = Named([f"{i}.png" for i in range(4000)])
        parts = split(data, 0.1)
        assert len(parts.validation) == pytest.approx(400, abs=100)
        assert list(split(data, 0.1, seed=1).validation.indices) != list(parts.validation.indices)
        assert set(parts.validation.indices) <= set(split(data, 0.2).validation.indices), "a larger share takes more"

    def test_an_empty_part_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="none of 2 samples falls into validation"):
            split(Named(["a", "b"]), 1e-9)

    def test_parts_are_framed_and_bucketed_like_the_whole(self, table: PictureTable) -> None:
        parts = split(Framed(table), 0.3)
        made = Framed(pictures_of(parts.training), Frame(8, 8))
        assert len(made) == len(parts.training)
        assert made[0]["caption"] == sources.caption(int(parts.training.indices[0]))
        buckets = bucketed(pictures_of(parts.validation), bucket_sizes(32, 8), Frame())
        assert len(pickle.loads(pickle.dumps(buckets))) == len(parts.validation)


class TestHeldOut:
    PAIRS = ("red circle, blue square", "cyan cross, green triangle")

    @pytest.mark.parametrize("seed", range(cases(4, 40)))
    def test_no_combination_is_ever_trained_on(self, seed: int) -> None:
        """Read off the pictures' boxes, not off the captions by which they were chosen."""
        data = Shapes(resolution=8, size=4000, seed=seed, objects=2)
        parts = held_out(data, self.PAIRS)
        forbidden = [{CLASSES.index(phrase) for phrase in pair.split(", ")} for pair in self.PAIRS]
        for part, expected in ((parts.training, False), (parts.validation, True)):
            shown = take(part, range(len(part)))["box_labels"].tolist()
            assert {set(row) in forbidden for row in shown} == {expected}
        assert not set(parts.training.indices) & set(parts.validation.indices)
        assert len(parts.training) + len(parts.validation) == len(data)
        everything = {label for row in take(parts.training, range(2000))["box_labels"].tolist() for label in row}
        assert everything == set(range(len(CLASSES))), "each shape by itself is still trained on"

    def test_phrases_are_whole_words_in_any_case_and_order(self) -> None:
        data = Captioned("A red car", "the redder car", "a car, red", "a blue car", "car")
        assert held_out(data, ["RED,car"]).validation.indices.tolist() == [0, 2]
        assert held_out(data, ["blue", "redder"]).validation.indices.tolist() == [1, 3]

    @pytest.mark.parametrize(
        ("combinations", "message"),
        [
            ([], "no combination to hold out"),
            (["red", " , "], "' , ' names nothing to hold out"),
            (["red, sqare"], r"none of 2 captions has 'sqare' \('red, sqare'\).*like 'a red circle'"),
            (["red, blue"], "none of 2 samples show one of the combinations, which leaves validation empty"),
            (["a"], "all of 2 samples show one of the combinations, which leaves training empty"),
        ],
    )
    def test_what_holds_nothing_or_all_is_an_error(self, combinations: list[str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            held_out(Captioned("a red circle", "a blue square"), combinations)

    def test_data_without_captions_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="no 'caption'; they have name"):
            held_out(Named(["a", "b"]), ["red"])


class TestWeights:
    def test_classes_are_shown_equally_often(self, table: PictureTable) -> None:
        few = View(Framed(table, Frame(8, 8)), np.array([i for i in range(N) if sources.label(i) != 1 or i < 4]))
        counts = Counter(column_of(few, "label"))
        assert counts[1] < counts[0]
        seen = Counter(self.labels(class_balanced(few), 30))
        assert max(seen.values()) - min(seen.values()) <= 16
        assert Counter(self.labels(class_balanced(few, power=0), 30))[1] < seen[1] / 2
        favoured = Counter(self.labels(class_balanced(few, factors := 1.0, {"green": 2, "red": 0}), 30))
        assert favoured[2] == 0
        assert favoured[1] == pytest.approx(2 * favoured[0], abs=16)
        assert factors == 1.0
        with pytest.raises(ValueError, match="no class 'yellow' in the data; there are blue, green, red"):
            class_balanced(few, 1, {"yellow": 1})

    def labels(self, data: Any, n: int) -> list[int]:
        batches = Batches(data, 8, seed=2)
        return [label for i in range(n) for label in batches.batch(i)["labels"].tolist()]

    def test_a_field_says_how_often(self, table: PictureTable) -> None:
        seen = self.labels(weighted(Framed(table, Frame(8, 8)), "weight"), 60)
        counts = Counter(seen)
        assert counts[0] == 0
        assert counts[2] == pytest.approx(2 * counts[1], rel=0.05)

    def test_buckets_and_weights_go_together_in_either_order(self, table: PictureTable) -> None:
        sizes, data = bucket_sizes(32, 8), Framed(table)
        for made in (
            bucketed(pictures_of(weighted(data, "weight")), sizes, Frame()),
            weighted(bucketed(table, sizes, Frame()), "weight"),
        ):
            batches = Batches(made, 4, seed=0)
            seen = Counter(label for n in range(90) for label in batches.batch(n)["labels"].tolist())
            assert seen[0] == 0
            assert seen[2] == pytest.approx(2 * seen[1], rel=0.1)

    def test_data_that_must_be_read_for_its_labels_is_read(self) -> None:
        data = Shapes(8, 300)
        assert column_of(data, "label") == data.get_batch(range(300))["labels"].tolist()
        with pytest.raises(ValueError, match="have no 'weight'; they have box_labels"):
            weighted(data, "weight")

    def test_what_is_no_weight_is_told_by_name(self, table: PictureTable) -> None:
        table._rows[3]["weight"] = "often"
        with pytest.raises(ValueError, match=r"p/003\.png: its weight is 'often'"):
            weighted(Framed(table), "weight")
        for row in table._rows:
            row["weight"] = 0
        with pytest.raises(ValueError, match="every sample is 0"):
            weighted(Framed(table), "weight")


class TestJoined:
    def test_classes_of_one_name_are_one(self, tmp_path: Path, table: PictureTable) -> None:
        for name in ("red", "yellow"):
            (tmp_path / "f" / name).mkdir(parents=True)
            Image.new("RGB", (20, 30), name).save(tmp_path / "f" / name / "a.png")
            (tmp_path / "f" / name / "a.txt").write_text(name)
        folder = ImageFolder(tmp_path / "f")
        both = Joined([View(Framed(table), np.arange(3)), repeated(folder, 2)])
        assert both.classes == ("blue", "green", "red", "yellow")
        assert both.column("label") == [0, 1, 2, 2, 3, 2, 3]
        framed = Framed(pictures_of(both), Frame(8, 8))  # type: ignore[arg-type]
        batch = take(framed, range(7))
        assert batch["labels"].tolist() == [0, 1, 2, 2, 3, 2, 3]
        assert batch["captions"][-2:] == ["red", "yellow"]
        assert "weight" not in batch

    def test_batches_of_parts_keep_their_order_and_their_augmentation(self) -> None:
        parts = [Shapes(8, 5, seed=1), Shapes(8, 7, seed=2)]
        joined = Joined(parts)
        batch = joined.get_batch([6, 0, 11, 4])
        assert torch.equal(batch["images"][1], parts[0][0]["image"])
        assert torch.equal(batch["images"][0], parts[1][1]["image"])
        assert torch.equal(Batches(joined, 6, seed=3).batch(9)["images"], Batches(joined, 6, seed=3).batch(9)["images"])
        assert joined.weights is None

    def test_weights_of_parts_count_within_them(self) -> None:
        heavy = View(Shapes(8, 4), weights=np.array([0.0, 100, 100, 200]))
        joined = Joined([heavy, Shapes(8, 2)])
        assert joined.weights is not None
        assert joined.weights.tolist() == [0, 1, 1, 2, 1, 1]

    def test_what_cannot_be_joined_is_told(self, table: PictureTable) -> None:
        with pytest.raises(ValueError, match="at least one"):
            Joined([])
        with pytest.raises(ValueError, match="join first, then make buckets"):
            Joined([bucketed(table, bucket_sizes(32, 8), Frame())])
        with pytest.raises(ValueError, match="named classes"):
            Joined([Shapes(8, 4), Named(["a"])])


class TestBuckets:
    def test_the_sizes_are_the_papers(self) -> None:
        assert bucket_sizes() == list(SDXL)
        assert len(set(SDXL)) == 40
        assert all(h % 64 == w % 64 == 0 and 0.9 * 1024**2 <= h * w <= 1024**2 for h, w in SDXL)

    @given(st.integers(1, 64), st.sampled_from([8, 16, 32, 64]))
    def test_smaller_ones_are_scaled(self, times: int, multiple: int) -> None:
        sizes = bucket_sizes(times * multiple, multiple)
        assert (times * multiple,) * 2 in sizes
        assert len(set(sizes)) == len(sizes)
        assert all(h % multiple == w % multiple == 0 and min(h, w) > 0 for h, w in sizes)

    def test_a_resolution_that_is_no_multiple_is_refused(self) -> None:
        with pytest.raises(ValueError, match="500 must be a multiple of 64"):
            bucket_sizes(500)

    @given(st.integers(1, 10_000), st.integers(1, 10_000))
    def test_a_turned_picture_goes_to_the_bucket_of_the_nearest_shape(self, width: int, height: int) -> None:
        chosen = SDXL[nearest((width, height), SDXL)]
        best = min(abs(np.log(width / height) - np.log(w / h)) for h, w in SDXL)
        assert abs(np.log(width / height) - np.log(chosen[1] / chosen[0])) == pytest.approx(best)

    def test_batches_are_of_one_size_and_every_picture_is_shown(self, table: PictureTable) -> None:
        data = bucketed(table, bucket_sizes(32, 8), Frame(random_crop=True, flip=True))
        assert sorted(described(data).split(", ")) == ["24 × 40: 6", "24 × 48: 6", "32 × 32: 6", "40 × 24: 6"]
        batches = Batches(data, 4, seed=1)
        seen = Counter[int]()
        for n in range(4 * len(batches)):
            batch = batches.batch(n)
            assert {tuple(size) for size in batch["target_size"].tolist()} == {tuple(batch["images"].shape[2:])}
            seen.update(batch["index"].tolist())
        assert set(seen.values()) == {4}

    def test_a_file_without_a_size_is_told(self, table: PictureTable, tmp_path: Path) -> None:
        (tmp_path / "p" / "005.png").write_bytes(b"")
        with pytest.raises(ValueError, match="line 6: not a readable image"):
            bucketed(table, bucket_sizes(32, 8), Frame())

    def test_turned_pictures_are_measured_upright(self, tmp_path: Path) -> None:
        image = Image.new("RGB", (60, 30))
        exif = image.getexif()
        exif[0x0112] = 6
        for name in ("a.jpg", "b.png", "c.webp"):
            (tmp_path / "f").mkdir(exist_ok=True)
            image.save(tmp_path / "f" / name, exif=exif)
        folder = ImageFolder(tmp_path / "f", 16)
        for i in range(3):
            assert folder.size(i) == (30, 60) == folder.record(i)["size"]
            assert folder.record(i, at_least=8)["size"] == (30, 60)


def test_data_of_one_size_cannot_be_framed_again() -> None:
    for data in (Shapes(8, 4), View(Shapes(8, 4)), Joined([Shapes(8, 4)])):
        with pytest.raises(ValueError, match="a Shapes has no pictures of their own size"):
            pictures_of(data)
