"""Frames: picture, mask, map and boxes show the same part, and what is said of it is so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.data.batch import collate
from core.data.frames import Frame

GREEN, PAINTED = (0, 255, 0), 3


def record(width: int, height: int, box: tuple[int, int, int, int]) -> dict[str, Any]:
    """A black picture with a green box, which is also the mask, the third class, and the object."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    left, upper, right, lower = box
    pixels[upper:lower, left:right] = GREEN
    return {
        "image": Image.fromarray(pixels),
        "size": (width, height),
        "mask": Image.fromarray(pixels[..., 1]),
        "segmentation": (pixels[..., 1] > 0).astype(np.int64) * PAINTED,
        "boxes": np.array([box], dtype=np.float32) / [width, height, width, height],
        "box_labels": np.array([7]),
        "caption": ["one", "two"],
        "label": 4,
    }


def green_box(image: torch.Tensor) -> tuple[float, float, float, float] | None:
    """The box of what is green, in [0, 1]."""
    ys, xs = np.nonzero(image[1].numpy() > 0)
    if not len(ys):
        return None
    _, height, width = image.shape
    return xs.min() / width, ys.min() / height, (xs.max() + 1) / width, (ys.max() + 1) / height


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(24, 90), st.integers(24, 90)),
    target=st.tuples(st.integers(16, 64), st.integers(16, 64)),
    fit=st.sampled_from(["crop", "pad", "stretch"]),
    draw=st.lists(st.floats(0, 0.96875), min_size=5, max_size=5),
    random_crop=st.booleans(),
)
def test_picture_mask_map_and_boxes_show_the_same_part(
    size: tuple[int, int], target: tuple[int, int], fit: Any, draw: list[float], random_crop: bool
) -> None:
    width, height = size
    frame = Frame(*target, fit=fit, random_crop=random_crop, scale=(0.5, 1), flip=True)
    made = frame.sample(
        record(width, height, (width // 4, height // 3, width // 4 + 10, height // 3 + 12)),
        np.array(draw, dtype=np.float32),
    )
    assert made["image"].shape == (3, *target)
    assert made["mask"].shape == (1, *target)
    assert made["segmentation"].shape == target
    # Antialiasing blurs an edge by a pixel of the smaller of the two pictures.
    pixel = 1.5 * max(1 / target[1], 1 / target[0])
    shown = green_box(made["image"])
    for other in (made["mask"].repeat(3, 1, 1), (made["segmentation"] == PAINTED).float().repeat(3, 1, 1)):
        told = green_box(other - 0.5)
        if shown is not None and told is not None:
            assert np.abs(np.array(shown) - told).max() <= 2 * pixel
    if len(made["boxes"]):
        assert ((made["boxes"] >= 0) & (made["boxes"] <= 1)).all()
        if shown is not None:
            assert np.abs(made["boxes"][0] - np.array(shown)).max() <= 2 * pixel
    else:
        assert shown is None or (shown[2] - shown[0]) * (shown[3] - shown[1]) <= 0.2
    assert made["caption"] == ("one" if draw[4] < 0.5 else "two")
    assert made["original_size"].tolist() == [height, width]
    assert made["target_size"].tolist() == list(target)


def test_the_crop_that_is_told_is_the_crop_that_is_shown() -> None:
    """Each pixel of a ramp says where it was: in the resized picture, counted from the corner as it is shown."""
    width, height = 200, 100
    ramp = np.tile(np.linspace(0, 255, width).round().astype(np.uint8), (height, 1))
    source = {"image": Image.fromarray(np.dstack([ramp] * 3)), "size": (width, height)}
    frame = Frame(50, 50, random_crop=True, flip=True)
    for coin, x in ((0.9, 0.0), (0.9, 1.0), (0.9, 0.25), (0.1, 0.25), (0.1, 1.0)):
        made = frame.sample(source, np.array([0.5, x, 0, coin, 0], dtype=np.float32))
        top, left = made["crop_top_left"].tolist()
        assert top == 0
        shade = float((made["image"][0, 0, 0] + 1) / 2)
        place = shade if coin >= 0.5 else 1 - shade
        assert place * 100 == pytest.approx(left, abs=1.0)
        assert made["original_size"].tolist() == [100, 200]
        assert made["target_size"].tolist() == [50, 50]


def test_without_draws_the_middle_is_shown_and_nothing_is_mirrored() -> None:
    source = record(60, 30, (0, 0, 15, 30))
    frame = Frame(30, 30, random_crop=True, scale=(0.5, 0.5), flip=True)
    made = frame.sample(source, None)
    assert made["crop_top_left"].tolist() == [0, 15]
    assert len(made["boxes"]) == 0, "the object lies outside of the middle"
    assert (made["segmentation"] == 0).all()


def test_a_frame_of_no_size_leaves_a_picture_as_it_is() -> None:
    source = record(31, 17, (3, 4, 13, 14))
    made = Frame().sample(source, None)
    assert made["image"].shape == (3, 17, 31)
    assert (made["segmentation"].numpy() == source["segmentation"]).all()
    assert made["boxes"] == pytest.approx(source["boxes"])
    assert made["crop_top_left"].tolist() == [0, 0]


def test_bars_are_black_unmarked_and_of_class_0() -> None:
    made = Frame(20, 20, "pad").sample(record(40, 20, (0, 0, 40, 20)), None)
    assert (made["image"][:, :5] == -1).all()
    assert (made["image"][:, -5:] == -1).all()
    assert made["mask"][0, 5:15].all()
    assert not made["mask"][0, :5].any()
    assert (made["segmentation"][5:15] == PAINTED).all()
    assert (made["segmentation"][:5] == 0).all()
    assert made["boxes"][0].tolist() == [0, 0.25, 1, 0.75]


def test_a_picture_decoded_smaller_than_stored_shows_the_same_part() -> None:
    whole = record(80, 40, (40, 0, 80, 40))
    small = whole | {"image": whole["image"].resize((40, 20))}
    frame = Frame(10, 10, random_crop=True)
    draw = np.array([0, 0.8, 0, 1, 0], dtype=np.float32)
    a, b = frame.sample(whole, draw), frame.sample(small, draw)
    assert (a["image"] - b["image"]).abs().mean() < 0.05
    assert torch.equal(a["crop_top_left"], b["crop_top_left"])


def test_a_batch_of_objects_is_padded_also_where_none_is_left() -> None:
    frame = Frame(10, 10)
    gone, there = record(60, 30, (0, 0, 10, 30)), record(60, 30, (20, 0, 30, 30))
    batch = collate([frame.sample(gone, None), frame.sample(there, None)])
    assert batch["boxes"].shape == (2, 1, 4)
    assert batch["box_labels"].tolist() == [[-1], [7]]
    assert batch["masks"].shape == (2, 1, 10, 10)
    assert collate([frame.sample(gone, None)])["boxes"].shape == (1, 0, 4)


@pytest.mark.parametrize("wrong", [{"height": 5}, {"height": -1, "width": -1}, {"scale": (0, 1)}, {"scale": (1, 0.5)}])
def test_frames_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="frame"):
        Frame(**wrong)
