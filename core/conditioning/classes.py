"""Class labels as one cross-attention token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from core.models.registry import model


@model
class ClassEmbedder(nn.Module):
    """A learned vector per class, read by cross-attention as a sequence of one token.

    Source: CompVis ldm/modules/encoders/modules.py `ClassEmbedder`, with its key `embedding.weight`. There the null
    class of classifier-free guidance is counted as a class (cin256-v2: 1001); here `n_classes` counts the real ones
    and the null class is one more row, the last. The files agree.

    n_classes: number of real classes.
    embed_dim: width of the token, the UNet's context_dim.
    null_class: False for models trained without one (cin256); such a model cannot be guided.
    """

    config: dict[str, Any]

    def __init__(self, n_classes: int, embed_dim: int, null_class: bool = True) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.embedding = nn.Embedding(n_classes + null_class, embed_dim)

    def forward(self, classes: Tensor) -> Tensor:
        """(b,) class indices, the null class among them, to a (b, 1, embed_dim) context."""
        embedded: Tensor = self.embedding(classes)
        return embedded[:, None]

    @property
    def null_class(self) -> int:
        """The index that stands for "no class". Raises ValueError where the model was trained without one."""
        if not self.config["null_class"]:
            raise ValueError("This class embedder has no null class; sample without guidance, or train with one.")
        return self.n_classes

    def indices(self, classes: Sequence[int]) -> Tensor:
        """(b,) indices from plain integers, checked; no classes at all give the null class.

        Raises ValueError naming the first class out of range.
        """
        for index in classes:
            if not 0 <= index < self.embedding.num_embeddings:
                raise ValueError(f"Class {index} does not exist: the model knows 0 to {self.n_classes - 1}.")
        return torch.tensor(classes or [self.null_class], device=self.embedding.weight.device)
