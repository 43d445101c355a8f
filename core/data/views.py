"""Some samples of a data set, each as often as it is named, with all that the data set knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.batch import PLURAL, Batch, sample_of
from core.data.keyed import KeyedRandom
from core.data.loader import BatchData, MapData, take
from core.data.pictures import pictures_of

Data = MapData | BatchData

_CHUNK = 256


class View:
    """The samples of `data` at `indices`, each as often as it is named, with all that `data` knows of them.

    weights: (n,) how often each is drawn, relative to the others; multiplied with those that `data` has.
    """

    def __init__(
        self, data: Data, indices: NDArray[np.int64] | None = None, weights: NDArray[np.float64] | None = None
    ) -> None:
        self.data, self.indices = data, np.arange(len(data)) if indices is None else indices
        self.classes: tuple[str, ...] = tuple(getattr(data, "classes", ()))
        self._weights = weights

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return sample_of(self.get_batch([i]))

    def get_batch(self, indices: Sequence[int] | NDArray[np.int64], random: KeyedRandom | None = None) -> Batch:
        """The samples at `indices`, as `data` gives them."""
        return take(self.data, self.indices[np.asarray(indices, dtype=np.int64)].tolist(), random)

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """The group of each sample, where `data` has groups."""
        groups = getattr(self.data, "groups", None)
        return None if groups is None else groups[self.indices]

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """How often each sample is drawn, where any is drawn more often than others."""
        inner: NDArray[np.float64] | None = getattr(self.data, "weights", None)
        if inner is None:
            return self._weights
        return inner[self.indices] * (1.0 if self._weights is None else self._weights)

    @property
    def pictures(self) -> View:
        """The same choice of the pictures as they lie in their files, where `data` has them."""
        return View(pictures_of(self.data), self.indices, self._weights)  # type: ignore[arg-type] # they are no samples yet

    def name(self, i: int) -> str:
        """What the sample is called."""
        return name_of(self.data, int(self.indices[i]))

    def size(self, i: int) -> tuple[int, int]:
        """Of pictures: `core.data.pictures.Pictures.size`."""
        size: tuple[int, int] = self.data.size(int(self.indices[i]))  # type: ignore[union-attr]
        return size

    def record(self, i: int, at_least: int | None = None) -> dict[str, Any]:
        """Of pictures: `core.data.pictures.Pictures.record`."""
        record: dict[str, Any] = self.data.record(int(self.indices[i]), at_least)  # type: ignore[union-attr]
        return record

    def column(self, name: str) -> Sequence[Any] | None:
        """A field of all samples that needs no decoding."""
        known = getattr(self.data, "column", None)
        values = None if known is None else known(name)
        return None if values is None else [values[i] for i in self.indices.tolist()]


def name_of(data: Data, i: int) -> str:
    """What sample i is called; of data without names, its number."""
    name = getattr(data, "name", None)
    return str(i) if name is None else str(name(i))


def column_of(data: Data, name: str) -> list[Any]:
    """A field of all samples, by the name that it has in a sample. What the data does not know at once is read, all of it.

    Raises ValueError where the samples have no such field.
    """
    known = getattr(data, "column", None)
    values = None if known is None else known(name)
    if values is not None:
        return list(values)
    if len(data) and PLURAL.get(name, name) not in (some := take(data, [0])):
        raise ValueError(f"the samples have no {name!r}; they have {', '.join(sorted(some))}")
    parts = [take(data, range(start, min(start + _CHUNK, len(data)))) for start in range(0, len(data), _CHUNK)]
    return [
        value.item() if isinstance(value, torch.Tensor) and value.ndim == 0 else value
        for part in parts
        for value in part[PLURAL.get(name, name)]
    ]
