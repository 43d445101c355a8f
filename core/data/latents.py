"""Latents encoded once and kept: the first stage does not change while the diffusion model trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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


class Encoding:
    """The batches of a data set, in its own order, with latents in place of images.

    encode: images (b, 3, H, W) → latents (b, c, h, w), or (mean, std) of their posteriors; on any device.
    epochs: passes over the data, to keep each image in several augmentations.
    leave_out: fields not to keep (segmentation maps take more room than latents).
    """

    def __init__(
        self,
        data: MapData | BatchData,
        encode: Encode,
        batch_size: int = 64,
        epochs: int = 1,
        seed: int = 0,
        leave_out: Sequence[str] = (),
        workers: int = 0,
    ) -> None:
        self._batches = Batches(data, batch_size, seed, shuffle=False, drop_last=False, workers=workers)
        self._encode, self._epochs, self._left_out = encode, epochs, ("index", *leave_out)
        self.classes = tuple(getattr(data, "classes", ()))

    def __len__(self) -> int:
        """Batches in all epochs."""
        return self._epochs * len(self._batches)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches start … stop − 1: `latents`, `std` where posteriors are kept, and the data's other fields; on the CPU."""
        for batch in self._batches.iterate(start, stop):
            with torch.no_grad():
                encoded = self._encode(batch.pop("images"))
            mean, std = encoded if isinstance(encoded, tuple) else (encoded, None)
            kept = {name: values for name, values in batch.items() if name not in self._left_out}
            yield {"latents": mean.cpu()} | ({} if std is None else {"std": std.cpu()}) | kept


def drawn(mean: Tensor, std: Tensor, random: KeyedRandom) -> Tensor:
    """Latents (b, c, h, w) drawn from the posteriors of these means and standard deviations."""
    noise = torch.from_numpy(random.normal(*mean.shape[1:])).to(mean.dtype)
    return torch.addcmul(mean, std, noise)


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
            batch["latents"] = drawn(batch["latents"], self.std[rows], random)
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
        """Encode a data set's images and keep all else that it holds (see `Encoding`)."""
        return cls.of(Encoding(data, encode, batch_size, epochs, seed, leave_out, workers), progress)

    @classmethod
    def of(cls, encoding: Encoding, progress: Callable[[int, int], None] | None = None) -> LatentData:
        """All that an encoding gives, in memory.

        progress: called with (batches done, batches in all).
        Raises FloatingPointError for latents that are no numbers.
        """
        parts: list[Batch] = []
        for part in encoding.batches(0, len(encoding)):
            parts.append(part)
            if progress is not None:
                progress(len(parts), len(encoding))
        fields = concatenate(parts)
        finite(fields["latents"], "the encoded latents")
        std = fields.pop("std", None)
        return cls(fields, std, encoding.classes)

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


class LatentOutline:
    """What a data set looks like: `size` samples, whose tensors have the shapes of a batch's and no contents. For a dry run.

    some: a batch of it. Its texts stand for all, over and over: of captions the words are looked at, and one has too few.
    """

    def __init__(self, some: Batch, size: int, classes: Sequence[str] = ()) -> None:
        self.some = {
            name: values.new_empty(0, *values.shape[1:]) if isinstance(values, Tensor) else list(values)
            for name, values in some.items()
        }
        self.size, self.classes = size, tuple(classes)

    @property
    def num_classes(self) -> int:
        """How many classes the labels count; 0 where there are none."""
        return len(self.classes)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> dict[str, Any]:
        return sample_of(self.get_batch([i]))

    def get_batch(self, indices: Sequence[int] | NDArray[np.int64], random: KeyedRandom | None = None) -> Batch:  # noqa: ARG002
        """As many samples as there are indices."""
        return {
            name: values.new_empty(len(indices), *values.shape[1:])
            if isinstance(values, Tensor)
            else [values[int(i) % len(values)] for i in indices]
            for name, values in self.some.items()
        }
