"""Latents encoded once and kept: the first stage does not change while the diffusion model trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.checkpoints.descriptions import read_description, write_description
from core.checkpoints.files import atomic_folder
from core.checkpoints.weights import read_weights, write_weights
from core.data.batch import Batch, concatenate, sample_of
from core.data.keyed import KeyedRandom
from core.data.loader import BatchData, Batches, MapData
from core.numbers import finite

Encode = Callable[[Tensor], Tensor | tuple[Tensor, Tensor]]

_TENSORS, _TEXTS = "tensors.safetensors", "texts.json"


class LatentData:
    """A data set in memory: `latents` (n, c, h, w) in the diffusion model's space, with what belongs to them.

    fields: tensors (n, …) and lists of n texts under a batch's names: `latents`, `labels`, `captions`, `boxes`, ….
    std: (n, c, h, w), where the latents are the means of posteriors. Then each epoch draws its latents from them, as
        LDM does (CompVis ldm/models/diffusion/ddpm.py, `get_first_stage_encoding`), keyed by seed, epoch and sample;
        unaugmented, they are the means.
    classes: names of the labels.
    """

    def __init__(self, fields: Batch, std: Tensor | None = None, classes: Sequence[str] = ()) -> None:
        sizes = {name: len(values) for name, values in fields.items()}
        if "latents" not in fields or len(set(sizes.values())) != 1:
            raise ValueError(f"LatentData: 'latents' and all fields beside them must be equally many, not {sizes}.")
        if std is not None and std.shape != fields["latents"].shape:
            raise ValueError(
                f"LatentData: std {tuple(std.shape)} and latents {tuple(fields['latents'].shape)} differ in shape."
            )
        self.fields, self.std, self.classes = dict(fields), std, tuple(classes)

    @property
    def num_classes(self) -> int:
        """How many classes the labels count; 0 where there are none."""
        return len(self.classes)

    def __len__(self) -> int:
        return len(self.fields["latents"])

    def __getitem__(self, i: int) -> dict[str, Any]:
        return sample_of(self.get_batch([i]))

    def get_batch(self, indices: Sequence[int] | NDArray[np.int64], random: KeyedRandom | None = None) -> Batch:
        """The samples at `indices`; with `random`, latents drawn from their posteriors where those are kept."""
        rows = torch.as_tensor(np.asarray(indices, dtype=np.int64))
        batch: Batch = {
            name: values[rows] if isinstance(values, Tensor) else [values[i] for i in rows.tolist()]
            for name, values in self.fields.items()
        }
        if self.std is not None and random is not None:
            mean = batch["latents"]
            noise = torch.from_numpy(random.normal(*mean.shape[1:])).to(mean.dtype)
            batch["latents"] = torch.addcmul(mean, self.std[rows], noise)
        return batch

    @classmethod
    def encode(
        cls,
        data: MapData | BatchData,
        encode: Encode,
        batch_size: int = 64,
        epochs: int = 1,
        seed: int = 0,
        leave_out: Sequence[str] = (),
        workers: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> LatentData:
        """Encode a data set's images, in its own order, and keep all else that it holds.

        encode: images (b, 3, H, W) → latents (b, c, h, w), or (mean, std) of their posteriors; on any device.
        epochs: passes over the data, to keep each image in several augmentations.
        leave_out: fields not to keep (segmentation maps take more room than latents).
        progress: called with (batches done, batches in all).
        Raises FloatingPointError for latents that are no numbers.
        """
        batches = Batches(data, batch_size, seed, shuffle=False, drop_last=False, workers=workers)
        parts: list[Batch] = []
        total = epochs * len(batches)
        for done, batch in enumerate(batches.iterate(0, total), start=1):
            with torch.no_grad():
                encoded = encode(batch.pop("images"))
            mean, std = encoded if isinstance(encoded, tuple) else (encoded, None)
            kept = {name: values for name, values in batch.items() if name not in ("index", *leave_out)}
            parts.append({"latents": mean.cpu()} | ({} if std is None else {"std": std.cpu()}) | kept)
            if progress is not None:
                progress(done, total)
        fields = concatenate(parts)
        finite(fields["latents"], "the encoded latents")
        std = fields.pop("std", None)
        return cls(fields, std, getattr(data, "classes", ()))

    def save(self, folder: str | Path) -> None:
        """Write as a folder of safetensors and JSON, which is either whole or not there."""
        tensors = {name: values for name, values in self.fields.items() if isinstance(values, Tensor)}
        texts = {name: values for name, values in self.fields.items() if not isinstance(values, Tensor)}
        with atomic_folder(folder) as temporary:
            write_weights(tensors | ({} if self.std is None else {"std": self.std}), temporary / _TENSORS)
            write_description(temporary / _TEXTS, {"classes": self.classes, "fields": texts})

    @classmethod
    def load(cls, folder: str | Path) -> LatentData:
        """Read what `save` wrote. Raises ValueError, naming the folder, where it is incomplete or damaged."""
        try:
            texts = read_description(Path(folder) / _TEXTS)
            tensors = read_weights(Path(folder) / _TENSORS)
            std = tensors.pop("std", None)
            return cls({**tensors, **texts["fields"]}, std, texts["classes"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{folder}: not a complete set of encoded latents ({error}); encode it again.") from error
