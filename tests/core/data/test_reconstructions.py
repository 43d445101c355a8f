"""A data set seen through a first stage."""

from __future__ import annotations

import numpy as np
import torch

from core.data.keyed import KeyedRandom
from core.data.reconstructions import Reconstructions
from core.data.shapes import Shapes
from core.models.autoencoder import KLAutoencoder


def small() -> KLAutoencoder:
    torch.manual_seed(0)
    return KLAutoencoder(model_channels=8, channel_mult=[1, 2], num_res_blocks=1, norm_groups=4).eval()


def test_images_are_what_the_first_stage_gives_back_and_all_else_is_as_it_was() -> None:
    model, data = small(), Shapes(resolution=16, size=6)
    seen = Reconstructions(model, data)
    batch, original = seen.get_batch(np.array([4, 1])), data.get_batch([4, 1])
    with torch.no_grad():
        expected = model.decode(model.encode(original["images"]))
    assert torch.equal(batch["images"], expected)
    assert torch.equal(batch["labels"], original["labels"])
    assert batch["captions"] == original["captions"]
    assert (len(seen), seen.classes) == (6, data.classes)


def test_a_sample_is_the_row_of_its_batch_and_carries_no_gradients() -> None:
    seen = Reconstructions(small(), Shapes(resolution=16, size=6))
    sample = seen[3]
    torch.testing.assert_close(sample["image"], seen.get_batch(np.array([3, 0]))["images"][0])
    assert not sample["image"].requires_grad


def test_augmentation_comes_before_the_first_stage() -> None:
    class Brightened(Shapes):
        def get_batch(self, indices, random=None):  # type: ignore[no-untyped-def]
            batch = super().get_batch(indices)
            if random is not None:
                batch["images"] = batch["images"] + torch.from_numpy(random.uniform())[:, None, None, None]
            return batch

    seen = Reconstructions(small(), Brightened(resolution=16, size=4))
    index = np.array([0, 1])
    assert not torch.equal(
        seen.get_batch(index)["images"], seen.get_batch(index, KeyedRandom("augment", index))["images"]
    )
