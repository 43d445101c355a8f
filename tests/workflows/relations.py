"""Whether a picture shows what a caption of two shapes and their relation asks for: which shapes, in which colours, and where.

Objects are the two largest patches of vivid pixels; colour is that of most of a patch's pixels, shape what a classifier of real
shapes sees in its box, and the relation follows from the boxes' middles. Nothing here has seen a generated picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from core.data.shapes import CLASSES, COLOURS
from tests.workflows.judging import colours
from tests.workflows.oracle import cut_out

SMALLEST = 12
"""Pixels of a patch that counts as an object; the smallest shape of two in 32 × 32 pixels has 40."""
_FIRST_AT = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
"""Of each relation its axis (0: x, 1: y) and the sign of where the first object lies."""


class Found(NamedTuple):
    """An object of a picture: its class's number, and its middle in [0, 1], x and y downwards."""

    label: int
    middle: tuple[float, float]


@torch.no_grad()
def objects_of(images: Tensor, classifier: nn.Module) -> list[list[Found]]:
    """The objects of images (b, 3, h, w), two at most each, largest first."""
    patches: list[tuple[int, int, tuple[float, float, float, float]]] = []
    side = images.shape[-1]
    for place, pixels in enumerate(colours(images).numpy()):
        # Per colour: two shapes whose edges meet are two patches all the same.
        found = []
        for kind in range(1, len(COLOURS) + 1):
            numbered, _ = ndimage.label(pixels == kind, structure=np.ones((3, 3)))
            for number, where in enumerate(ndimage.find_objects(numbered), 1):
                size = int((numbered[where] == number).sum())
                if size >= SMALLEST:
                    y, x = where
                    found.append((size, kind - 1, (x.start / side, y.start / side, x.stop / side, y.stop / side)))
        patches += [(place, kind, box) for _, kind, box in sorted(found, reverse=True)[:2]]
    objects: list[list[Found]] = [[] for _ in images]
    if patches:
        places = torch.tensor([place for place, _, _ in patches])
        boxes = torch.tensor([box for _, _, box in patches])[:, None]
        shapes = classifier(cut_out(images[places].clamp(-1, 1), boxes)).argmax(1) // len(COLOURS)
        for (place, kind, (x0, y0, x1, y1)), shape in zip(patches, shapes.tolist(), strict=True):
            objects[place].append(Found(shape * len(COLOURS) + kind, ((x0 + x1) / 2, (y0 + y1) / 2)))
    return objects


def asked(caption: str) -> tuple[int, int, int, int]:
    """The two classes of "a red circle left of a blue square", the relation's axis, and the sign of where the first lies."""
    for words, (axis, sign) in _FIRST_AT.items():
        first, between, second = caption.partition(f" {words} ")
        if between:
            return CLASSES.index(first.removeprefix("a ")), CLASSES.index(second.removeprefix("a ")), axis, sign
    raise ValueError(f"{caption!r} is no caption of two shapes and a relation ({', '.join(_FIRST_AT)})")


def captions_of(pairs: Sequence[str], count: int, held_out: bool = True, seed: int = 0) -> list[str]:
    """`count` captions of two shapes, of those pairs ("red circle, blue square") or of all others, relations and orders alike often."""
    held = {frozenset(pair.split(", ")) for pair in pairs}
    whole = [
        f"a {first} {relation} a {second}"
        for first, second in permutations(CLASSES, 2)
        if (frozenset((first, second)) in held) == held_out
        for relation in _FIRST_AT
    ]
    return Random(seed).sample(whole, count)


def judged(found: list[list[Found]], captions: list[str]) -> dict[str, float]:
    """The shares of pictures that are right: both `colours`, both `shapes`, both `objects` (each shape in its colour), wherever
    they lie; the `relation` by colours alone; and `all`: the objects in the asked relation."""
    right: Counter[str] = Counter()
    n = len(COLOURS)
    for objects, caption in zip(found, captions, strict=True):
        first, second, axis, sign = asked(caption)
        labels = [each.label for each in objects]
        right["colours"] += sorted(label % n for label in labels) == sorted((first % n, second % n))
        right["shapes"] += sorted(label // n for label in labels) == sorted((first // n, second // n))
        right["objects"] += sorted(labels) == sorted((first, second))
        if len(objects) < 2:
            continue
        away = [a - b for a, b in zip(objects[0].middle, objects[1].middle, strict=True)]
        if abs(away[axis]) <= abs(away[1 - axis]):
            continue
        placed = labels if away[axis] * sign > 0 else labels[::-1]
        right["relation"] += [label % n for label in placed] == [first % n, second % n]
        right["all"] += placed == [first, second]
    return {name: right[name] / len(captions) for name in ("colours", "shapes", "objects", "relation", "all")}


def shuffled(captions: list[str]) -> list[str]:
    """Each picture's caption exchanged for that of another one, one that differs: the control."""
    for step in range(1, len(captions)):
        moved = captions[step:] + captions[:step]
        if all(a != b for a, b in zip(captions, moved, strict=True)):
            return moved
    raise ValueError("the captions are too alike to be exchanged; judge more of them")
