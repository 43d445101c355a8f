"""Encoded latents: everything that the data held, once, and again from disk."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.data.latents import LatentData
from core.data.loader import Batches
from core.data.shapes import Shapes


def shrink(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, 4)


def shrink_unsure(images: Tensor) -> tuple[Tensor, Tensor]:
    return shrink(images), torch.full_like(shrink(images), 0.1)


def test_encoding_keeps_order_and_annotations_and_the_disk_keeps_all(tmp_path: Path) -> None:
    shapes = Shapes(resolution=16, size=10, objects=(1, 2))
    told: list[tuple[int, int]] = []
    data = LatentData.encode(
        shapes, shrink, batch_size=4, leave_out=["segmentation"], progress=lambda *done: told.append(done)
    )
    whole = shapes.get_batch(range(10))
    assert told == [(1, 3), (2, 3), (3, 3)]
    data.save(tmp_path / "latents")
    data.save(tmp_path / "latents")
    for kept in (data, LatentData.load(tmp_path / "latents")):
        batch = kept.get_batch([7, 2, 2])
        assert set(batch) == {"latents", "labels", "captions", "boxes", "box_labels"}
        assert torch.equal(batch["latents"], shrink(whole["images"])[[7, 2, 2]])
        assert torch.equal(batch["boxes"], whole["boxes"][[7, 2, 2]])
        assert batch["captions"] == [whole["captions"][i] for i in (7, 2, 2)]
        assert kept.classes == Shapes.classes
        assert kept[3]["caption"] == whole["captions"][3]
        assert len(kept) == 10


def test_posteriors_are_sampled_anew_each_epoch_but_reproducibly(tmp_path: Path) -> None:
    LatentData.encode(Shapes(resolution=16, size=64), shrink_unsure).save(tmp_path / "latents")
    data = LatentData.load(tmp_path / "latents")
    assert set(data.fields) == {"latents", "labels", "captions", "boxes", "box_labels", "segmentation"}
    batches = Batches(data, 64, seed=1, shuffle=False)
    first, second = batches.batch(0)["latents"], batches.batch(1)["latents"]
    assert torch.equal(first, Batches(data, 64, seed=1, shuffle=False).batch(0)["latents"])
    assert not torch.equal(first, second)
    deviation = (first - data.get_batch(range(64))["latents"]) / 0.1
    # 3,072 standard normal numbers: five standard errors.
    assert abs(deviation.mean()) < 0.09
    assert abs(deviation.std() - 1) < 0.07


def test_several_epochs_keep_several_augmentations() -> None:
    class Noisy(Shapes):
        def get_batch(self, indices, random=None):  # type: ignore[no-untyped-def]
            batch = super().get_batch(indices)
            batch["images"] += torch.from_numpy(random.uniform())[:, None, None, None]
            return batch

    latents = LatentData.encode(Noisy(resolution=16, size=5), shrink, epochs=2).fields["latents"]
    assert latents.shape == (10, 3, 4, 4)
    assert not torch.equal(latents[:5], latents[5:])


def test_what_does_not_fit_or_is_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'labels': 3"):
        LatentData({"latents": torch.zeros(4, 1, 2, 2), "labels": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"std \(4, 1, 2, 1\)"):
        LatentData({"latents": torch.zeros(4, 1, 2, 2)}, std=torch.zeros(4, 1, 2, 1))
    with pytest.raises(ValueError, match="nowhere: not a complete set"):
        LatentData.load(tmp_path / "nowhere")
    LatentData({"latents": torch.zeros(4, 1, 2, 2)}).save(tmp_path / "cut")
    tensors = tmp_path / "cut" / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-20])
    with pytest.raises(ValueError, match="cut: not a complete set"):
        LatentData.load(tmp_path / "cut")


def test_boxes_of_all_batches_are_padded_alike() -> None:
    class Boxed:
        def __len__(self) -> int:
            return 4

        def __getitem__(self, i: int) -> dict[str, Tensor]:
            return {"image": torch.zeros(3, 4, 4), "boxes": torch.ones(i, 4), "box_labels": torch.arange(i)}

    data = LatentData.encode(Boxed(), shrink, batch_size=2)
    assert data.fields["boxes"].sum((1, 2)).tolist() == [0, 4, 8, 12]
    assert data.fields["box_labels"].tolist() == [[-1, -1, -1], [0, -1, -1], [0, 1, -1], [0, 1, 2]]
