"""Mean and covariance of a set's features: all that a Fréchet distance needs of the real images, in the files that people share.

A file is a numpy archive (.npz) with `mu` (d,) and `sigma` (d, d), as clean-fid, pytorch-fid and guided-diffusion publish for their
data sets; guided-diffusion's also hold `mu_s` and `sigma_s`, those of sFID.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.files import atomic_file
from core.metrics.inception import Place
from core.numbers import finite

NAMES: dict[Place, tuple[str, str]] = {"pool": ("mu", "sigma"), "spatial": ("mu_s", "sigma_s")}


@dataclass(frozen=True)
class Statistics:
    """The Gaussian fitted to the features of a set of images. mean: (d,), covariance: (d, d), both float64."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Statistics:
        """Of features (n, d), n at least 2; the covariance divides by n − 1, as the published ones do."""
        if features.ndim != 2 or len(features) < 2:
            raise ValueError(f"statistics are of features (n, d) of at least 2 images, not of {tuple(features.shape)}")
        known = finite(features, "the features").cpu().double()
        return cls(known.mean(0), torch.cov(known.T).reshape(known.shape[1], -1))

    def sums(self, rows: int) -> tuple[Tensor, Tensor]:
        """The sum of so many features, (d,), and of their outer products, (d, d), that have these statistics."""
        return rows * self.mean, (rows - 1) * self.covariance + rows * torch.outer(self.mean, self.mean)

    def save(self, path: str | Path, place: Place = "pool") -> None:
        """Write an .npz file, whole or not at all."""
        values = (self.mean.numpy(), self.covariance.numpy())
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **dict(zip(NAMES[place], values, strict=True)))

    @classmethod
    def load(cls, path: str | Path, place: Place = "pool") -> Statistics:
        """Read an .npz file of ours or a published one; nothing in it is executed. Raises ValueError naming the file."""
        mean, covariance = (_read(Path(path), name) for name in NAMES[place])
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise ValueError(
                f"{path} holds a mean {mean.shape} and a covariance {covariance.shape}; statistics are (d,) and (d, d)"
            )
        found = cls(torch.from_numpy(mean), torch.from_numpy(covariance))
        finite(found.mean, f"the mean in {path}")
        finite(found.covariance, f"the covariance in {path}")
        return found


def _read(path: Path, name: str) -> NDArray[np.float64]:
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is one array, not an archive of several")
        with archive:
            if name not in archive:
                raise ValueError(f"it has no {name}, but {', '.join(archive.files)[:200] or 'nothing'}")
            return np.asarray(archive[name], dtype=np.float64)
    except FileNotFoundError:
        raise
    except Exception as error:  # of the archive, its compression, or numpy's headers
        raise ValueError(f"{path} holds no statistics of features (.npz): {error}") from error
