"""A classifier of the shapes that never saw a generated image: it says whether a sample shows what was asked for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.data.loader import Batches
from core.data.shapes import Shapes


def oracle(steps: int = 500) -> nn.Module:
    """Train the classifier on real shapes; at least 98 % right on held-out ones, else AssertionError."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    classifier = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 24))
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for batch in Batches(Shapes(32, steps * 64, seed=1234), 64).iterate(0, steps):
        optimizer.zero_grad()
        F.cross_entropy(classifier(batch["images"]), batch["labels"]).backward()
        optimizer.step()
        schedule.step()
    classifier.eval()
    unseen = Shapes(32, 4096, seed=99).get_batch(list(range(4096)))
    assert accuracy(classifier, unseen["images"], unseen["labels"]) >= 0.98
    return classifier


@torch.no_grad()
def accuracy(classifier: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images in which the classifier finds the class asked for."""
    return float((classifier(images.clamp(-1, 1)).argmax(1) == labels).float().mean())
