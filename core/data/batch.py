"""What a batch is: a dictionary of stacked tensors and of lists of strings, with fixed names.

Names used throughout: `images` (b, 3, h, w) in [-1, 1], `labels` (b,), `captions` list of b strings, `boxes` (b, n, 4)
as x0, y0, x1, y1 in [0, 1] with `box_labels` (b, n), `segmentation` (b, h, w) class indices, `masks` (b, 1, h, w) in {0, 1},
`latents` (b, c, h, w), `context` (b, n, d), what a text encoder made of the captions, and `index` (b,), the samples' places in the
data set. Images that show fewer than n objects are padded: boxes with 0, box labels with −1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Batch = dict[str, Any]

# A single sample's field is called by the singular, a batch's by the plural; all other names are the same.
PLURAL = {"image": "images", "label": "labels", "caption": "captions", "latent": "latents", "mask": "masks"}
SINGULAR = {plural: singular for singular, plural in PLURAL.items()}
PADDED = {"boxes": 0, "box_labels": -1}


def collate(samples: Sequence[dict[str, Any]]) -> Batch:
    """Stack samples into a batch: arrays and numbers to tensors, boxes padded to the longest, all else to lists.

    Raises ValueError where the samples' fields or shapes differ, with the field's name.
    """
    names = samples[0].keys()
    for sample in samples:
        if sample.keys() != names:
            raise ValueError(f"Samples of one batch have different fields: {sorted(names)} and {sorted(sample)}.")
    return {PLURAL.get(name, name): _stack(name, [sample[name] for sample in samples]) for name in names}


def sample_of(batch: Batch, place: int = 0) -> dict[str, Any]:
    """One sample of a batch, with the singular names."""
    return {SINGULAR.get(name, name): values[place] for name, values in batch.items()}


def concatenate(batches: Sequence[Batch]) -> Batch:
    """One batch of all the samples of several, in order; boxes padded to the longest."""
    joined: Batch = {}
    for name, first in batches[0].items():
        parts = [batch[name] for batch in batches]
        if not isinstance(first, Tensor):
            joined[name] = [value for part in parts for value in part]
        elif name in PADDED:
            joined[name] = _pad(name, [row for part in parts for row in part])
        else:
            joined[name] = torch.cat(parts)
    return joined


def _pad(name: str, rows: list[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PADDED[name])


def _stack(name: str, values: list[Any]) -> Tensor | list[Any]:
    if not all(isinstance(value, Tensor | np.ndarray | np.generic | int | float) for value in values):
        return values
    tensors = [torch.as_tensor(value) for value in values]
    if name in PADDED:
        return _pad(name, tensors)
    if any(tensor.shape != tensors[0].shape for tensor in tensors):
        shapes = sorted({tuple(tensor.shape) for tensor in tensors})
        raise ValueError(f"The samples' {name!r} differ in shape {shapes}: bring them to one size first.")
    return torch.stack(tensors)
