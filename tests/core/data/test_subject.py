"""The subject's pictures: pure functions of their numbers, and none of the shapes."""

from __future__ import annotations

import pytest
import torch

from core.data.subject import Subject


def test_pictures_of_one_thing() -> None:
    data = Subject(32, 6, seed=1)
    batch = data.get_batch(range(6))
    images = batch["images"]
    assert images.shape == (6, 3, 32, 32)
    assert images.dtype == torch.float32
    assert images.min() >= -1 and images.max() <= 1  # noqa: PT018
    assert torch.equal(data[3]["image"], images[3])
    orange = torch.tensor([1.0, -0.1, -0.9])[:, None, None]
    assert ((images - orange).abs().amax(1) < 0.05).flatten(1).sum(1).min() > 20, "each shows the ring"
    assert not torch.equal(Subject(32, 6, seed=2)[0]["image"], images[0])
    with pytest.raises(IndexError):
        data.get_batch([6])
    with pytest.raises(ValueError, match="at least 8 pixels"):
        Subject(4)
