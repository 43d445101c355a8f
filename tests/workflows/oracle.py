"""A classifier of the shapes that never saw a generated image: it says whether a sample shows what was asked for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.data.loader import Batches
from core.data.shapes import Shapes

SIDE = 32


def oracle(steps: int = 500, objects: int = 1) -> nn.Module:
    """Train the classifier on real shapes; at least 98 % right on held-out ones, else AssertionError.

    objects: shapes in each picture. With more than one it is trained on what `cut_out` makes of their boxes.
    """
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    classifier = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 24))
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for batch in Batches(Shapes(SIDE, steps * 64, seed=1234, objects=objects), 64).iterate(0, steps):
        images, labels = _examples(batch, objects)
        optimizer.zero_grad()
        F.cross_entropy(classifier(images), labels).backward()
        optimizer.step()
        schedule.step()
    classifier.eval()
    unseen = Shapes(SIDE, 4096, seed=99, objects=objects).get_batch(list(range(4096)))
    assert accuracy(classifier, *_examples(unseen, objects)) >= 0.98
    return classifier


def _examples(batch: dict[str, Tensor], objects: int) -> tuple[Tensor, Tensor]:
    if objects == 1:
        return batch["images"], batch["labels"]
    return cut_out(batch["images"], batch["boxes"]), batch["box_labels"].flatten()


def cut_out(images: Tensor, boxes: Tensor, margin: float = 0.25) -> Tensor:
    """What images (b, 3, h, w) show in boxes (b, n, 4), as (b · n, 3, 32, 32), one image's boxes after the other's.

    Of each box, the square around it, and `margin` of its side more.
    """
    low, high = boxes.flatten(0, 1)[:, :2], boxes.flatten(0, 1)[:, 2:]
    half = (high - low).amax(1) * (0.5 + margin / 2)
    place = torch.zeros(len(low), 2, 3)
    place[:, 0, 0] = place[:, 1, 1] = 2 * half
    place[:, :, 2] = low + high - 1
    grid = F.affine_grid(place, [len(low), 3, SIDE, SIDE], align_corners=False)
    images = images.repeat_interleave(boxes.shape[1], dim=0)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


@torch.no_grad()
def accuracy(classifier: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images in which the classifier finds the class asked for."""
    return float((classifier(images.clamp(-1, 1)).argmax(1) == labels).float().mean())
