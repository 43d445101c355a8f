"""A data set seen through a first stage: what its reconstructions lose is what its features' distance measures (rFID)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.batch import Batch, sample_of
from core.data.keyed import KeyedRandom
from core.data.loader import BatchData, MapData, take
from core.models.first_stage import FirstStage


class Reconstructions:
    """The images of `data` after encoding (to the mode, where there is a posterior) and decoding; other fields as they are.

    Batches are computed when asked for, on the autoencoder's device, and come back to the CPU: nothing is kept, so a
    data set of any size can be measured.
    """

    def __init__(self, autoencoder: FirstStage, data: MapData | BatchData) -> None:
        self.autoencoder, self.data = autoencoder, data
        self.classes = getattr(data, "classes", ())

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> dict[str, Any]:
        """Sample i, reconstructed."""
        return sample_of(self.get_batch(np.array([i])))

    @torch.no_grad()
    def get_batch(self, indices: NDArray[np.int64], random: KeyedRandom | None = None) -> Batch:
        """The samples at `indices` as a batch, their images reconstructed."""
        batch = take(self.data, indices, random)
        images = batch["images"].to(self.autoencoder.scale_factor.device)
        return batch | {"images": self.autoencoder.decode(self.autoencoder.encode(images)).cpu()}
