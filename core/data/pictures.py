"""Pictures as they lie in their files, of any size, and the data set that shows each of them in a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.data.batch import Batch, collate, sample_of
from core.data.frames import DRAWS, Frame
from core.data.keyed import KeyedRandom


class Pictures(Protocol):
    """A source of pictures that can be indexed. Picklable, for workers.

    A record is what is known of a picture, with the names of a sample: `image`, a PIL picture, RGB and upright, and `size`, its
    width and height in the file; and as the source has them `caption`, a list of texts, `label`, `mask`, a grey PIL picture,
    `segmentation`, an array (h, w) of classes, `boxes`, an array (n, 4) as x0, y0, x1, y1 in [0, 1], with `box_labels` (n,), and
    any other fields. All records of one source have the same.
    """

    classes: tuple[str, ...]
    """Names of the labels, where there are any."""

    def __len__(self) -> int: ...

    def name(self, i: int, /) -> str:
        """What the sample is called, the same whatever else there is: a path, a key. Splits go by it."""
        ...

    def size(self, i: int, /) -> tuple[int, int]:
        """Width and height of the picture, upright, in pixels, without decoding it."""
        ...

    def record(self, i: int, /, at_least: int | None = None) -> dict[str, Any]:
        """All of sample i. at_least: the picture may be decoded smaller than stored, its shorter side not below this.

        Raises ValueError that names the file and the row where it cannot be read.
        """
        ...

    def column(self, name: str, /) -> Sequence[Any] | None:
        """A field of all samples that needs no decoding (`label`, `weight`, …); None where there is none."""
        ...


class Framed:
    """A source's pictures as a data set of tensors.

    frames: one for all pictures, or several; None shows each at its own size.
    groups: (n,) the frame of each picture, where there are several. Batches are of one frame then.
    """

    def __init__(
        self,
        pictures: Pictures,
        frames: Frame | Sequence[Frame] | None = None,
        groups: NDArray[np.int64] | None = None,
    ) -> None:
        self.pictures, self.frames, self.groups = pictures, frames or Frame(), groups
        self.classes = tuple(pictures.classes)
        self.weights: NDArray[np.float64] | None = getattr(pictures, "weights", None)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return sample_of(self.get_batch([i]))

    def get_batch(self, indices: Sequence[int] | NDArray[np.int64], random: KeyedRandom | None = None) -> Batch:
        """The pictures at `indices` in their frames; with `random`, cropped and flipped at random as the frames say.

        Raises ValueError that names the file where a picture cannot be read, or where sizes differ.
        """
        draws = [None] * len(indices) if random is None else random.uniform(DRAWS)
        return collate([self._sample(int(i), draw) for i, draw in zip(indices, draws, strict=True)])

    def _sample(self, i: int, draw: NDArray[np.float32] | None) -> dict[str, Any]:
        frame = self.frame(i)
        return frame.sample(self.pictures.record(i, frame.at_least), draw)

    def frame(self, i: int) -> Frame:
        """How picture i is shown."""
        if isinstance(self.frames, Frame):
            return self.frames
        return self.frames[0 if self.groups is None else int(self.groups[i])]

    def name(self, i: int) -> str:
        """What the sample is called."""
        return self.pictures.name(i)

    def column(self, name: str) -> Sequence[Any] | None:
        """A field of all samples that needs no decoding."""
        return self.pictures.column(name)


def pictures_of(data: Any) -> Pictures:
    """The pictures of a data set as they lie in their files. Raises ValueError where they are of one size already."""
    found: Pictures | None = getattr(data, "pictures", None)
    if found is None:
        raise ValueError(
            f"a {type(data).__name__} has no pictures of their own size; wire a data set that reads files, "
            "or one made of it by splitting, repeating or weighting"
        )
    return found
