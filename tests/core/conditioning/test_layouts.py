"""Layout tokens in the published model's order and arithmetic."""

from __future__ import annotations

import pytest
import torch

from core.conditioning.layouts import LayoutTokenizer


def test_published_length_and_a_worked_example() -> None:
    tokenizer = LayoutTokenizer()
    assert (tokenizer.length, tokenizer.sections, tokenizer.pad_id) == (92, 90, 8191)
    (ids,) = tokenizer(torch.tensor([[7]]), torch.tensor([[[0.0, 0.5, 1.0, 1.0]]]))
    # .5 · 89 = 44.5, which Python rounds to the even 44; (class, top-left, bottom-right), row · 90 + column
    assert ids[:3].tolist() == [7, 44 * 90 + 0, 89 * 90 + 89]
    assert ids[3:90].tolist() == [8191] * 87
    assert ids[90:].tolist() == [0, 8099]


def test_positions_round_as_the_originals_formula_does() -> None:
    tokenizer = LayoutTokenizer(max_objects=200, with_crop=False)
    boxes = torch.rand(200, 4, generator=torch.Generator().manual_seed(0))
    ids = tokenizer(torch.zeros(1, 200, dtype=torch.long), boxes[None]).view(-1, 3)
    for (_, first, second), (x0, y0, x1, y1) in zip(ids.tolist(), boxes.tolist(), strict=True):
        assert first == round(y0 * 89) * 90 + round(x0 * 89)
        assert second == round(y1 * 89) * 90 + round(x1 * 89)


def test_null_is_padding_with_the_full_crop() -> None:
    assert LayoutTokenizer().null().tolist() == [[8191] * 90 + [0, 8099]]
    assert LayoutTokenizer(max_objects=2, with_crop=False).null().tolist() == [[8191] * 6]


def test_objects_come_back_to_the_grids_precision() -> None:
    tokenizer = LayoutTokenizer()
    boxes = torch.tensor([[0.1, 0.2, 0.5, 0.9], [-0.5, 0.0, 0.3, 1.5]])
    labels, found = tokenizer.objects(tokenizer(torch.tensor([[3, 5]]), boxes[None])[0])
    assert labels.tolist() == [3, 5]
    assert (found - boxes.clamp(0, 1)).abs().max() <= 0.5 / 89 + 1e-6


def test_shuffling_keeps_objects_whole_and_fills_at_most_the_maximum() -> None:
    tokenizer = LayoutTokenizer(max_objects=3)
    labels, boxes = torch.arange(8), torch.linspace(0, 1, 8)[:, None].expand(8, 4)
    order = torch.tensor([[0.6, 0.2, 0.9, 0.5, 0.1, 0.8, 0.3, 0.7]])
    (ids,) = tokenizer(labels[None], boxes[None], order=order)
    kept, found = tokenizer.objects(ids)
    assert kept.tolist() == [4, 1, 6]
    assert torch.allclose(found[:, 0], kept / 7, atol=0.5 / 89 + 1e-6)
    assert tokenizer.objects(tokenizer(labels[None], boxes[None])[0])[0].tolist() == [0, 1, 2]


def test_padded_objects_are_left_out_and_a_crop_is_written() -> None:
    labels, boxes = torch.tensor([[4, -1], [5, 6]]), torch.rand(2, 2, 4, generator=torch.Generator().manual_seed(0))
    crop = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
    ids = LayoutTokenizer(max_objects=2)(labels, boxes, crop)
    assert ids[0, 3:].tolist() == [8191, 8191, 8191, 0, 8099]
    assert ids[1, [0, 3]].tolist() == [5, 6]
    assert ids[1, -2:].tolist() == [0, 89 * 90]


def test_bad_layouts_are_named() -> None:
    with pytest.raises(ValueError, match=r"got \(1, 2\) and \(1, 4\)"):
        LayoutTokenizer()(torch.tensor([[1, 2]]), torch.zeros(1, 4))
    with pytest.raises(ValueError, match=r"must lie in 0…8190; got 8191"):
        LayoutTokenizer()(torch.tensor([[8191]]), torch.zeros(1, 1, 4))
