"""The judge of captions with relations: right on real pictures, low on exchanged captions, and blind to nothing that it reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.tasks import beside
from core.data.shapes import CLASSES, COLOURS, Shapes
from tests.effort import cases
from tests.workflows.oracle import oracle
from tests.workflows.relations import asked, captions_of, judged, objects_of, shuffled

HELD_OUT = json.loads((Path(__file__).parents[2] / "workflows/text_relations.json").read_text(encoding="utf-8"))[
    "nodes"
]["parts"]["params"]["combinations"]


@pytest.fixture(scope="module")
def classifier() -> nn.Module:
    return oracle(objects=2)


def real(seed: int, count: int = 300) -> tuple[Tensor, list[str]]:
    batch = Shapes(32, count, seed=seed, objects=2).get_batch(range(count))
    return batch["images"], batch["captions"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(cases(3, 20)))
def test_real_pictures_are_right_and_exchanged_captions_wrong(seed: int, classifier: nn.Module) -> None:
    images, captions = real(700 + seed)
    found = objects_of(images, classifier)
    right, control = judged(found, captions), judged(found, shuffled(captions))
    assert min(right.values()) >= 0.95, right
    assert control["all"] <= 0.02, control
    assert max(control.values()) <= 0.25, control


@pytest.mark.slow
def test_each_aspect_falls_by_what_is_wrong_and_by_nothing_else(classifier: nn.Module) -> None:
    """Pictures with their channels exchanged have other colours, mirrored ones another relation, empty ones nothing."""
    images, captions = real(800)
    two = [len({label % len(COLOURS) for label in asked(caption)[:2]}) == 2 for caption in captions]
    sideways = [i for i, caption in enumerate(captions) if " of a" in caption and two[i]]
    captions = [captions[i] for i in sideways]
    mirrored = judged(objects_of(images[sideways].flip(3), classifier), captions)
    assert min(mirrored[each] for each in ("colours", "shapes", "objects")) >= 0.95
    assert mirrored["relation"] <= 0.05
    assert mirrored["all"] == 0
    recoloured = judged(objects_of(images[sideways].roll(1, 1), classifier), captions)
    assert recoloured["colours"] <= 0.05
    assert recoloured["all"] == 0
    empty = judged(objects_of(torch.zeros(8, 3, 32, 32), classifier), captions[:8])
    assert set(empty.values()) == {0}


def test_a_caption_is_read_as_it_is_written() -> None:
    circle, square = CLASSES.index("red circle"), CLASSES.index("blue square")
    assert asked("a red circle left of a blue square") == (circle, square, 0, -1)
    assert asked("a blue square below a red circle") == (square, circle, 1, 1)
    with pytest.raises(ValueError, match="'a red circle' is no caption of two shapes"):
        asked("a red circle")


def test_the_asked_captions_are_those_of_held_out_pairs_or_of_none() -> None:
    """Two of twenty-four classes in four relations and both orders: 192 captions are held out, 2016 are not."""
    held, trained = captions_of(HELD_OUT, 192), captions_of(HELD_OUT, 2016, held_out=False)
    assert len(set(held)) == 192
    assert len(set(held) | set(trained)) == 24 * 23 * 4
    assert "a red circle left of a blue square" in held
    assert all(a != b for a, b in zip(held, shuffled(held), strict=True))


def test_the_control_asks_each_picture_for_another_ones_condition(capsys: pytest.CaptureFixture[str]) -> None:
    """Both conditions of a picture come from the same other picture, and never from itself."""
    own = torch.arange(50)

    def figures(images: Tensor, first: Tensor, second: Tensor) -> dict[str, float]:
        return {"own": float((images == first).float().mean()), "together": float((first == second).float().mean())}

    beside("samples", figures, own, own, own)
    told = capsys.readouterr().out.splitlines()
    assert "own 1.000" in told[0]
    assert "own 0.000" in told[1]
    assert all("together 1.000" in line for line in told)
