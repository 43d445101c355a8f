"""Several data sets as one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.batch import Batch, collate, sample_of
from core.data.keyed import KeyedRandom
from core.data.loader import take
from core.data.pictures import pictures_of
from core.data.views import name_of


class Joined:
    """Several data sets as one, one after the other, with the fields that all have. Labels count the classes of all; equal names
    are one class.

    Weights of the parts are kept relative to the other samples of the same part: a part is drawn as often as it is long.
    Raises ValueError for no part, for parts with buckets, and where some have named classes and others have not.
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        if not parts:
            raise ValueError("there is no data set to join; wire at least one")
        if any(getattr(part, "groups", None) is not None for part in parts):
            raise ValueError("one of the data sets has buckets already; join first, then make buckets of all")
        named = [tuple(getattr(part, "classes", ())) for part in parts]
        if any(named) and not all(named):
            raise ValueError(
                "some of the data sets have named classes and others have not: their labels cannot be told apart"
            )
        self.parts = list(parts)
        self.classes = tuple(dict.fromkeys(name for names in named for name in names))
        self._starts = np.cumsum([0, *map(len, parts)])
        self._numbers = [[self.classes.index(name) for name in names] for names in named]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, i: int) -> dict[str, Any]:
        return sample_of(self.get_batch([i]))

    def get_batch(self, indices: Sequence[int] | NDArray[np.int64], random: KeyedRandom | None = None) -> Batch:
        """The samples at `indices`. Raises ValueError where parts differ in their fields or sizes."""
        index = np.asarray(indices, dtype=np.int64)
        keys = None if random is None else random.bits()
        owner = np.searchsorted(self._starts, index, side="right") - 1
        samples: dict[int, dict[str, Any]] = {}
        for part in np.unique(owner).tolist():
            rows = np.flatnonzero(owner == part)
            drawn = None if keys is None else KeyedRandom("joined", keys[rows])
            batch = take(self.parts[part], (index[rows] - self._starts[part]).tolist(), drawn)
            if "labels" in batch and self.classes:
                batch["labels"] = torch.tensor([self._numbers[part][int(label)] for label in batch["labels"]])
            samples |= {int(row): sample_of(batch, place) for place, row in enumerate(rows)}
        shared = self._fields
        return collate(
            [{name: value for name, value in samples[row].items() if name in shared} for row in range(len(index))]
        )

    @property
    def left_out(self) -> list[str]:
        """The fields of some parts that others lack."""
        return sorted(set[str]().union(*(part[0] for part in self.parts)) - self._fields)

    @cached_property
    def _fields(self) -> set[str]:
        return set.intersection(*(set(part[0]) for part in self.parts))

    @cached_property
    def _record_fields(self) -> set[str]:
        return set.intersection(*(set(part.record(0)) for part in self.parts))

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """How often each sample is drawn, where any part draws some more often than others."""
        found = [getattr(part, "weights", None) for part in self.parts]
        if all(weights is None for weights in found):
            return None
        whole = [np.ones(len(part)) if w is None else w / w.mean() for part, w in zip(self.parts, found, strict=True)]
        return np.concatenate(whole)

    @property
    def pictures(self) -> Joined:
        """The pictures of all as they lie in their files, where all have them."""
        return Joined([pictures_of(part) for part in self.parts])

    def name(self, i: int) -> str:
        """What the sample is called, behind the number of its part."""
        part, place = self._place(i)
        return f"{part}/{name_of(self.parts[part], place)}"

    def size(self, i: int) -> tuple[int, int]:
        """Of pictures: `core.data.pictures.Pictures.size`."""
        part, place = self._place(i)
        size: tuple[int, int] = self.parts[part].size(place)
        return size

    def record(self, i: int, at_least: int | None = None) -> dict[str, Any]:
        """Of pictures: `core.data.pictures.Pictures.record`."""
        part, place = self._place(i)
        record: dict[str, Any] = dict(self.parts[part].record(place, at_least))
        if "label" in record and self.classes:
            record["label"] = self._numbers[part][record["label"]]
        return {name: value for name, value in record.items() if name in self._record_fields}

    def column(self, name: str) -> list[Any] | None:
        """A field of all samples that needs no decoding; None where a part has none."""
        known = [part.column(name) if hasattr(part, "column") else None for part in self.parts]
        if any(values is None for values in known):
            return None
        if name == "label" and self.classes:
            known = [[self._numbers[part][i] for i in values or ()] for part, values in enumerate(known)]
        return [value for values in known for value in values or ()]

    def _place(self, i: int) -> tuple[int, int]:
        part = int(np.searchsorted(self._starts, i, side="right")) - 1
        return part, i - int(self._starts[part])
