"""Captions in any script: letters are drawn as themselves, inside their strip, and long ones wrapped."""

import numpy as np
import pytest
import torch
from PIL import Image

from core.images import grid
from core.lettering import strips

SCRIPTS = [
    "ein Häuschen, weiß",
    "красный круг",
    "κόκκινος κύκλος",
    "赤い円",
    "红色圆圈",
    "빨간 원",
    "دائرة حمراء",
    "עיגול אדום",
    "लाल वृत्त",
    "วงกลมสีแดง",
    "წითელი წრე",
    "→ ∇ ½ 🎨",
]


def ink(strip: Image.Image) -> np.ndarray:
    return np.asarray(strip.convert("L")) < 128


@pytest.mark.parametrize("text", SCRIPTS)
def test_every_letter_is_drawn_as_itself(text: str) -> None:
    letters = sorted({letter for letter in text if letter.isalpha() or ord(letter) > 0x2000})
    drawn = {ink(strip).tobytes() for strip in strips([f"{letter}\uffff" for letter in letters], 64)}
    lacking = ink(strips(["\uffff\uffff"], 64)[0]).tobytes()
    assert lacking not in drawn  # a box stands for what a font lacks
    assert len(drawn) == len(letters)


@pytest.mark.parametrize("text", [*SCRIPTS, "x" * 60, "", "a red circle left of a blue square"])
def test_nothing_leaves_the_strip(text: str) -> None:
    [strip] = strips([text], 96)
    assert strip.width == 96
    marks = ink(strip)
    assert marks.any() == bool(text)
    assert not marks[-1].any()
    [wide] = strips([text], 2000)
    assert marks.sum() >= 0.95 * ink(wide).sum()  # wrapped, and nothing cut off


def test_a_grid_takes_captions_of_several_scripts() -> None:
    tiled = grid(
        torch.zeros(3, 3, 32, 32), captions=["a red circle", "赤い円", "красный круг слева от синего квадрата"]
    )
    assert tiled.shape[0] == 3
