"""CLIP's image encoder, which says what is seen in a picture: what an IP-Adapter reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from core.checkpoints.pretrained import load_pretrained
from core.vision import PATCHES, as_clip_sees


class ImageEncoder(nn.Module):
    """Pictures (b, 3, h, w) in [-1, 1] to CLIP's embedding of each, (b, projection_dim), or to its tokens (b, n, hidden_size).

    size: of the pictures that it was trained on, in pixels, to which others are brought (`as_clip_sees`).
    """

    kept_float32 = (PATCHES,)

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.network, self.size = network, size
        self.embedding_dim: int = cast(Any, network).config.projection_dim
        self.eval().requires_grad_(False)

    def forward(self, pictures: Tensor, tokens: bool = False, nothing: bool = False) -> Tensor:
        """What is seen. tokens: those before the last layer, instead of the embedding. nothing: of no picture, as diffusers has it for the
        negative side of guidance: a zero embedding, or the tokens of a picture of CLIP's mean colour. Without gradients."""
        dtype, count = next(self.network.parameters()).dtype, len(pictures)
        pixels = as_clip_sees(pictures, self.size).to(dtype)
        if nothing and not tokens:
            return pixels.new_zeros(count, self.embedding_dim)
        with torch.no_grad():
            if tokens:
                seen = self.network(torch.zeros_like(pixels[:1]) if nothing else pixels, output_hidden_states=True)
                return cast(Tensor, seen.hidden_states[-2]).expand(count, -1, -1)
            embeddings: Tensor = self.network(pixels).image_embeds
            return embeddings

    @classmethod
    def load(cls, folder: str | Path, dtype: torch.dtype | None = torch.float32) -> ImageEncoder:
        """Read a folder of a CLIPVisionModelWithProjection, such as h94's models/image_encoder.

        dtype: see `load_pretrained`. Raises CheckpointError, naming the folder, where it is something else.
        """
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection  # seconds to import

        config, network = load_pretrained(
            Path(folder), "clip_vision_model", CLIPVisionConfig, cast(Any, CLIPVisionModelWithProjection), dtype
        )
        return cls(network, config.image_size)
