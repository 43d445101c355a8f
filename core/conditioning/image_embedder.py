"""What a picture shows as one vector, by CLIP: the condition of Stable Diffusion unCLIP (Ramesh et al. 2022, section 2).

The transformer is the transformers library's own. The vector is noised as a latent is, among others so that a picture may be followed
closely or loosely, and the UNet is told by how much. Source: Stability-AI/stablediffusion ldm/modules/encoders/modules.py
`CLIPEmbeddingNoiseAugmentation`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from core.diffusion.schedule import NoiseSchedule
from core.models.blocks import timestep_embedding
from core.models.registry import model
from core.precision import in_float32
from core.vision import PATCHES, as_clip_sees

NOISE = NoiseSchedule.cosine(1000)
"""Which noise a vector gets at a level of 0 to 999."""


@model
class ImageEmbedder(nn.Module):
    """Pictures to CLIP's vectors of them.

    The defaults are those of OpenCLIP's ViT-H/14, by which Stable Diffusion 2.1 unCLIP was trained; its other one has OpenAI's
    ViT-L/14: hidden_size 1024, intermediate_size 4096, 24 layers, projection_dim 768, hidden_act "quick_gelu".
    `mean` and `std`, (1, projection_dim), are those of the training's vectors, which are noised with them taken off.
    """

    config: dict[str, Any]
    kept_float32 = (PATCHES,)
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        hidden_size: int = 1280,
        intermediate_size: int = 5120,
        num_hidden_layers: int = 32,
        num_attention_heads: int = 16,
        image_size: int = 224,
        patch_size: int = 14,
        projection_dim: int = 1024,
        hidden_act: str = "gelu",
        layer_norm_eps: float = 1e-5,
    ) -> None:
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection  # seconds to import

        super().__init__()
        shape: dict[str, Any] = {
            "hidden_size": hidden_size,
            "intermediate_size": intermediate_size,
            "num_hidden_layers": num_hidden_layers,
            "num_attention_heads": num_attention_heads,
            "image_size": image_size,
            "patch_size": patch_size,
            "projection_dim": projection_dim,
            "hidden_act": hidden_act,
            "layer_norm_eps": layer_norm_eps,
        }
        self.image_size = image_size
        self.network = CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(shape))
        self.register_buffer("mean", torch.zeros(1, projection_dim))
        self.register_buffer("std", torch.ones(1, projection_dim))

    def forward(self, images: Tensor) -> Tensor:
        """Images (b, 3, h, w) in [-1, 1] to vectors (b, projection_dim). The middle square is seen, at the network's size."""
        dtype = next(self.network.parameters()).dtype
        embedding: Tensor = self.network(as_clip_sees(images, self.image_size).to(dtype)).image_embeds
        return embedding

    @in_float32
    def noised(self, embedding: Tensor, noise: Tensor, level: int) -> Tensor:
        """The vector that the UNet takes, (b, 2 · projection_dim): the noised embedding, and behind it the level's own.

        embedding, noise: (b, projection_dim). level: 0 to 999.
        """
        t = torch.full((len(embedding),), level, device=embedding.device)
        plain = (embedding - self.mean) / self.std
        noisy = NOISE.add_noise(plain, noise, t) * self.std + self.mean
        return torch.cat([noisy, timestep_embedding(t, embedding.shape[1]).to(noisy.dtype)], dim=1)
