"""Aspect-ratio buckets: pictures are shown at one of a few sizes, the one whose shape is nearest to theirs.

Source: SDXL (Podell et al. 2023, section 2.3 and appendix I): "pixel counts as close to 1024² as possible", sides in multiples of 64,
and each batch of one bucket.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from core.data.frames import Frame
from core.data.pictures import Framed, Pictures

Size = tuple[int, int]
"""Height and width in pixels."""

_LANDSCAPE_AND_SQUARE = (  # height and width; the table's other half is not their mirror image in one row
    *((512, 2048), (512, 1984), (512, 1920), (512, 1856), (576, 1792), (576, 1728), (576, 1664), (640, 1600)),
    *((640, 1536), (704, 1472), (704, 1408), (704, 1344), (768, 1344), (768, 1280), (832, 1216), (832, 1152)),
    *((896, 1152), (896, 1088), (960, 1088), (960, 1024), (1024, 1024)),
)
_PORTRAIT = tuple((width, height) for height, width in _LANDSCAPE_AND_SQUARE if (height, width) != (704, 1344))
SDXL: tuple[Size, ...] = (*_LANDSCAPE_AND_SQUARE, *reversed(_PORTRAIT[:-1]))
"""The 40 sizes of the paper's table, from the widest to the tallest."""

_CHUNK = 256


def bucket_sizes(resolution: int = 1024, multiple: int = 64) -> list[Size]:
    """SDXL's sizes, scaled so that the square one has sides of `resolution`, each side a multiple of `multiple` pixels.

    Sizes that rounding makes equal are one. At 1024 and 64 they are the paper's own.
    Raises ValueError where the resolution is no multiple.
    """
    if multiple < 1 or resolution < 1 or resolution % multiple:
        raise ValueError(f"The buckets' resolution {resolution} must be a multiple of {multiple}.")
    scale = resolution / (1024 * multiple)
    sizes = [(max(1, round(h * scale)) * multiple, max(1, round(w * scale)) * multiple) for h, w in SDXL]
    return list(dict.fromkeys(sizes))


def nearest(size: tuple[int, int], sizes: Sequence[Size]) -> int:
    """Which of the buckets fits a picture of this width and height: the ratio of the aspects is nearest to 1.

    Of equal shapes, the first.
    """
    wanted = math.log(size[0] / size[1])
    return min(range(len(sizes)), key=lambda i: abs(wanted - math.log(sizes[i][1] / sizes[i][0])))


def bucketed(
    pictures: Pictures, sizes: Sequence[Size], frame: Frame, progress: Callable[[int, int], None] | None = None
) -> Framed:
    """Pictures in the buckets of their shape; what the frame says besides its size holds for all of them.

    progress: called with (headers read, headers to read).
    Raises ValueError that names the file where a picture's size cannot be read.
    """
    whole = len(pictures)
    groups = np.empty(whole, dtype=np.int64)
    with ThreadPoolExecutor() as pool:
        for start in range(0, whole, _CHUNK):
            part = range(start, min(start + _CHUNK, whole))
            groups[part] = [nearest(size, sizes) for size in pool.map(pictures.size, part)]
            if progress is not None:
                progress(part.stop, whole)
    return Framed(pictures, [replace(frame, height=height, width=width) for height, width in sizes], groups)


def described(data: Framed) -> str:
    """How many pictures each bucket has, the fullest first: "64 × 96: 12, 96 × 64: 3" (height × width)."""
    assert data.groups is not None
    counts = Counter(data.groups.tolist())
    frames = {group: data.frame(int(np.flatnonzero(data.groups == group)[0])) for group in counts}
    return ", ".join(f"{frames[group].height} × {frames[group].width}: {n}" for group, n in counts.most_common())
