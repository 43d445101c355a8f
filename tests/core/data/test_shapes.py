"""The procedural data: what its annotations say is what its pixels show."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from core.data.keyed import KeyedRandom
from core.data.shapes import _PALETTE, CLASSES, COLOURS, Shapes


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(-(2**40), 2**70),
    wanted=st.lists(st.integers(0, 299), min_size=1, max_size=9),
    objects=st.sampled_from([1, 2, (1, 5)]),
)
def test_an_image_depends_only_on_seed_and_index(seed: int, wanted: list[int], objects: int | tuple[int, int]) -> None:
    shapes = Shapes(size=300, seed=seed, objects=objects)
    batch = shapes.get_batch(wanted)
    for place, i in enumerate(wanted):
        alone = shapes[i]
        assert torch.equal(alone["image"], batch["images"][place])
        assert torch.equal(alone["segmentation"], batch["segmentation"][place])
        assert torch.equal(alone["boxes"], batch["boxes"][place])
        assert (alone["label"], alone["caption"]) == (batch["labels"][place], batch["captions"][place])


def test_different_seeds_give_different_images() -> None:
    assert not torch.equal(Shapes(seed=1)[0]["image"], Shapes(seed=2)[0]["image"])


def test_boxes_segmentation_and_colours_agree_with_the_pixels() -> None:
    batch = Shapes(resolution=128, size=40, objects=(1, 4)).get_batch(range(40))
    assert batch["images"].shape == (40, 3, 128, 128)
    assert batch["images"].abs().max() <= 1
    counts = set()
    for image, boxes, labels, segmentation in zip(
        batch["images"], batch["boxes"], batch["box_labels"], batch["segmentation"], strict=True
    ):
        shown = labels[labels >= 0]
        counts.add(len(shown))
        assert set(segmentation.unique().tolist()) == {0, *(shown + 1).tolist()}
        assert (boxes[labels < 0] == 0).all()
        for box, label in zip(boxes, shown, strict=False):
            rows, columns = torch.nonzero(segmentation == label + 1, as_tuple=True)
            drawn = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 128
            # Within two pixels of 128: a triangle's sharp corners cover less than half of their last pixel.
            assert (drawn - box).abs().max() <= 2 / 128
            middle = image[:, rows.float().mean().round().long(), columns.float().mean().round().long()]
            assert torch.allclose(middle, torch.from_numpy(_PALETTE[label % len(COLOURS)]))
    assert counts == {1, 2, 3, 4}


def test_captions_name_objects_and_their_relation() -> None:
    batch = Shapes(size=200, objects=2).get_batch(range(200))
    relations = set()
    for caption, boxes, labels in zip(batch["captions"], batch["boxes"], batch["box_labels"], strict=True):
        first, second = (CLASSES[label] for label in labels)
        relation = caption.removeprefix(f"a {first} ").removesuffix(f" a {second}")
        relations.add(relation)
        dx, dy = ((boxes[1, :2] + boxes[1, 2:]) - (boxes[0, :2] + boxes[0, 2:])) / 2
        along, across = {"left of": (dx, dy), "right of": (-dx, dy), "above": (dy, dx), "below": (-dy, dx)}[relation]
        assert along > abs(across)
        assert first != second
    assert relations == {"left of", "right of", "above", "below"}
    assert Shapes()[0]["caption"] == f"a {CLASSES[Shapes()[0]['label']]}"
    assert Shapes(objects=3)[0]["caption"].count(" a ") == 2
    assert " and a " in Shapes(objects=3)[0]["caption"]


def test_the_scene_does_not_depend_on_the_resolution() -> None:
    coarse = Shapes(resolution=32, size=64).get_batch(range(64))["images"]
    fine = Shapes(resolution=128, size=64).get_batch(range(64))["images"]
    # Anti-aliasing: averaging 4 × 4 fine pixels gives the coarse image; .35 of the range 2 is for sharp corners.
    difference = (nn.functional.avg_pool2d(fine, 4) - coarse).abs()
    assert difference.mean() < 0.005
    assert difference.max() < 0.35


def test_a_small_classifier_tells_all_classes_apart() -> None:
    torch.manual_seed(0)
    data = Shapes(resolution=16, size=6_000, seed=1).get_batch(range(6_000))
    layers = [nn.Conv2d(3, 24, 3, 1, 1), nn.ReLU(), nn.Conv2d(24, 48, 3, 2, 1), nn.BatchNorm2d(48), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Conv2d(48, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten())
    model.append(nn.Linear(64 * 16, len(CLASSES)))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for i in range(300):
        rows = torch.arange(i * 64, (i + 1) * 64) % 6_000
        loss = nn.functional.cross_entropy(model(data["images"][rows]), data["labels"][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    held_out = Shapes(resolution=16, size=1_000, seed=2).get_batch(range(1_000))
    with torch.no_grad():
        accuracy = (model.eval()(held_out["images"]).argmax(1) == held_out["labels"]).float().mean()
    assert accuracy >= 0.98
    assert np.bincount(data["labels"], minlength=len(CLASSES)).min() > 150


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"resolution": 4}, "resolution"),
        ({"size": 0}, "size"),
        ({"objects": (3, 2)}, "objects"),
        ({"radius": (0, 2)}, "radius"),
    ],
)
def test_wrong_parameters_are_named(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Shapes(**wrong)  # type: ignore[arg-type]
    with pytest.raises(IndexError, match="asked for 5"):
        Shapes(size=5)[5]


def test_keyed_numbers_do_not_depend_on_neighbours_and_look_random() -> None:
    index = np.arange(20_000)
    together = KeyedRandom("test", 3, index)
    alone = KeyedRandom("test", 3, 77)
    for _ in range(2):
        assert (together.normal(2)[77] == alone.normal(2)[0]).all()
        assert (together.integers(10)[77] == alone.integers(10)[0]).all()
    uniform, normal = together.uniform(5, low=-1, high=3), together.normal(5)
    # Tolerances: five standard errors of 100,000 draws.
    assert abs(uniform.mean() - 1) < 0.02
    assert uniform.min() >= -1
    assert uniform.max() < 3
    assert abs(normal.mean()) < 0.016
    assert abs(normal.std() - 1) < 0.012
    assert abs(np.corrcoef(uniform[:-1, 0], uniform[1:, 0])[0, 1]) < 0.036
    assert (KeyedRandom("other", 3, 77).bits() != KeyedRandom("test", 3, 77).bits()).all()
    assert [g.integers(9, size=4).tolist() for g in KeyedRandom(5).generators()] == [
        KeyedRandom(5).generators()[0].integers(9, size=4).tolist()
    ]
