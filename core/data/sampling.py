"""Which samples of a data set are trained on, and how often: a part held out, rare classes more often, weights, repeats."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.data.views import Data, View, column_of, name_of


class Split(NamedTuple):
    """Two parts of a data set without a sample in common."""

    training: View
    validation: View


def split(data: Data, validation: float, seed: int = 0) -> Split:
    """Share samples out by a hash of their names, so that samples that come or go move no other.

    validation: about this share of the samples. Raises ValueError where either part is empty.
    """
    salt = seed.to_bytes(8, "little")

    def place(name: str) -> float:
        digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8, salt=salt).digest()
        return int.from_bytes(digest, "little") / 2**64

    held = np.array([place(name_of(data, i)) < validation for i in range(len(data))], dtype=bool)
    parts = Split(View(data, np.flatnonzero(~held)), View(data, np.flatnonzero(held)))
    for name, part in parts._asdict().items():
        if not len(part):
            raise ValueError(
                f"none of {len(data)} samples falls into {name} with a share of {validation:g} for validation; "
                "choose another share or seed, or add data"
            )
    return parts


def held_out(data: Data, combinations: Sequence[str]) -> Split:
    """Keep what shows certain combinations out of training: validation has the samples of all of them, training the rest.

    combinations: each some phrases between commas ("red circle, blue square"). A sample shows one whose caption has all of
        its phrases, as whole words, in any order and letter case.
    Raises ValueError for no combination, for one without a phrase, for a phrase that no caption has (a slip of the pen would hold
    nothing out), and where either part is empty.
    """
    if not combinations:
        raise ValueError("there is no combination to hold out; give one, such as 'red circle, blue square'")
    captions = [str(caption).lower() for caption in column_of(data, "caption")]
    has: dict[str, NDArray[np.bool_]] = {}
    held = np.zeros(len(captions), dtype=bool)
    for combination in combinations:
        phrases = [phrase for part in combination.lower().split(",") if (phrase := part.strip())]
        if not phrases:
            raise ValueError(f"{combination!r} names nothing to hold out; give phrases with commas between them")
        for phrase in phrases:
            if phrase not in has:
                whole = re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)")
                has[phrase] = np.array([whole.search(caption) is not None for caption in captions], dtype=bool)
                if not has[phrase].any():
                    raise ValueError(
                        f"none of {len(captions)} captions has {phrase!r} ({combination!r}), so it holds nothing out; "
                        f"captions are like {captions[0]!r}"
                    )
        held |= np.logical_and.reduce([has[phrase] for phrase in phrases])
    if held.all() or not held.any():
        raise ValueError(
            f"{'all' if held.all() else 'none'} of {len(captions)} samples show one of the combinations, which leaves "
            f"{'training' if held.all() else 'validation'} empty; choose others, or add data"
        )
    return Split(View(data, np.flatnonzero(~held)), View(data, np.flatnonzero(held)))


def repeated(data: Data, times: int) -> View:
    """Each sample so many times in an epoch, augmented anew each time."""
    return View(data, np.tile(np.arange(len(data)), times))


def class_balanced(data: Data, power: float = 1.0, chosen: Mapping[str, float] | None = None) -> View:
    """Samples drawn so that rare classes are seen more often.

    power: 1 shows all classes equally often, 0 as often as they are in the data; between them, weights ∝ count^(−power).
    chosen: factors of classes by name (or by number, as text), besides. Raises ValueError for a class that there is not.
    """
    labels = [int(label) for label in column_of(data, "label")]
    counts = Counter(labels)
    names = tuple(getattr(data, "classes", ()))
    factors = dict.fromkeys(counts, 1.0)
    for name, factor in (chosen or {}).items():
        number = names.index(name) if name in names else int(name) if name.isdecimal() else -1
        if number not in factors:
            known = ", ".join(names[i] if i < len(names) else str(i) for i in sorted(counts))
            raise ValueError(f"there is no class {name!r} in the data; there are {known}")
        factors[number] = factor
    return View(data, weights=np.array([factors[label] * counts[label] ** -power for label in labels]))


def weighted(data: Data, field: str) -> View:
    """Samples drawn as often as a field of theirs says, relative to the others. Raises ValueError where that is no number."""
    values = column_of(data, field)
    weights = np.empty(len(values))
    for i, value in enumerate(values):
        try:
            weights[i] = float(value)
        except (TypeError, ValueError):
            weights[i] = np.nan
        if not np.isfinite(weights[i]) or weights[i] < 0:
            raise ValueError(f"{name_of(data, i)}: its {field} is {value!r}, and a number from 0 on is wanted")
    if not weights.sum() > 0:
        raise ValueError(f"the {field} of every sample is 0: none would ever be drawn")
    return View(data, weights=weights)
