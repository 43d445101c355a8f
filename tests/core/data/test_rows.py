"""Which column is what, and labels that are words or numbers."""

from __future__ import annotations

import numpy as np
import pytest

from core.data.rows import Columns, corners, texts


def test_columns_are_found_by_their_usual_names_or_by_those_given() -> None:
    found = Columns.find(["Image", "prompt", "text", "extra"], "t")
    assert found.names == {"image": "Image", "caption": "text"}
    chosen = Columns.find(["image", "prompt", "text"], "t", {"caption": "prompt", "label": ""})
    assert chosen.names["caption"] == "prompt"
    with pytest.raises(ValueError, match="t: there is no column 'Text'; there are image, text"):
        Columns.find(["image", "text"], "t", {"caption": "Text"})


@pytest.mark.parametrize(
    ("labels", "classes"),
    [([0, 2, "1"], ()), (["b", "a", "b"], ("a", "b")), (["a", None, " "], ("a",)), (["1", "a"], ("1", "a"))],
)
def test_words_are_classes_and_numbers_are_themselves(labels: list[object], classes: tuple[str, ...]) -> None:
    assert Columns({"image": "i"}).with_classes(labels).classes == classes


@pytest.mark.parametrize("value", [-1, "", None, 1.5, "c", 2])
def test_what_is_no_label_is_refused(value: object) -> None:
    columns = Columns({"image": "i"}, ("a", "b"))
    assert [columns.label(each, "t") for each in ("a", "b ", 1, "0")] == [0, 1, 1, 0]
    with pytest.raises(ValueError, match="row 3: its label"):
        columns.label(value, "row 3")


def test_captions_are_texts_without_the_empty_ones() -> None:
    assert texts(None) == texts("  ") == texts([]) == []
    assert texts(["a ", "", None, 3]) == ["a", "3"]


def test_boxes_are_cut_at_the_picture() -> None:
    made = corners(np.array([[-5, 10, 20, 100]], dtype=np.float32), (20, 40))
    assert made.tolist() == [[0, 0.25, 0.75, 1]]
