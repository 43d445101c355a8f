"""Networks of the transformers library that measure images: DINOv2's features, and how well CLIP thinks a text goes with a picture.

Their weights are folders that a user has, as transformers writes them (config.json beside model.safetensors). Nothing is
downloaded, and no code of a folder is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.checkpoints.pretrained import load_pretrained
from core.conditioning.tokenizer import TextTokenizer
from core.precision import in_float32
from core.vision import IMAGENET, as_clip_sees, normed, resized, rounded


class DINOv2(nn.Module):
    """Images (b, 3, h, w) in [-1, 1] to the class token of DINOv2 (Oquab et al. 2023) after its last norm, (b, num_features).

    As Stein et al. 2023 ("Exposing flaws of generative model evaluation metrics") measure FD-DINOv2, with ViT-L/14: the whole
    picture, rounded to 8 bits, is brought to 224 × 224 by Pillow's bicubic filter.
    """

    kept_float32 = ("",)  # it measures
    SIZE = 224

    def __init__(self, network: nn.Module, num_features: int) -> None:
        super().__init__()
        self.network, self.num_features = network, num_features
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Features (b, num_features)."""
        pixels = resized(rounded(images), (self.SIZE, self.SIZE))
        states: Tensor = self.network(normed(pixels, IMAGENET)).last_hidden_state
        return states[:, 0]

    @classmethod
    def load(cls, folder: str | Path) -> DINOv2:
        """Read a folder such as facebook/dinov2-large. Raises CheckpointError, naming it, where it is something else."""
        from transformers import Dinov2Config, Dinov2Model  # seconds to import

        config, network = load_pretrained(Path(folder), "dinov2", Dinov2Config, Dinov2Model)
        return cls(network, config.hidden_size)


class CLIPScore(nn.Module):
    """How well CLIP thinks texts go with images: 100 · max(cos, 0) of their embeddings (Hessel et al. 2021; torchmetrics' scale)."""

    kept_float32 = ("",)  # it measures

    def __init__(self, network: nn.Module, tokenizer: TextTokenizer, size: int) -> None:
        super().__init__()
        self.network, self.tokenizer, self.size = network, tokenizer, size
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor, texts: Sequence[str]) -> Tensor:
        """Scores (b,) of images (b, 3, h, w) in [-1, 1] and as many texts, or one for all. Without gradients.

        The shorter side is brought to the network's size by Pillow's bicubic filter, and the middle is cut out.
        """
        if len(texts) not in (1, len(images)):
            raise ValueError(f"{len(texts)} texts for {len(images)} images; give one for each, or one for all")

        @in_float32
        def scores(images: Tensor) -> Tensor:
            pixels = as_clip_sees(images, self.size)
            seen = self.network.get_submodule("vision_model")(pixels).pooler_output
            read = self.network.get_submodule("text_model")(self.tokenizer(texts).to(images.device)).pooler_output
            seen = self.network.get_submodule("visual_projection")(seen)
            read = self.network.get_submodule("text_projection")(read)
            return 100 * F.cosine_similarity(seen, read).clamp(min=0)

        with torch.no_grad():
            return scores(images)

    @classmethod
    def load(cls, folder: str | Path) -> CLIPScore:
        """Read a folder such as openai/clip-vit-base-patch16, tokenizer included. Raises CheckpointError or ValueError, naming it."""
        from transformers import CLIPConfig, CLIPModel  # seconds to import

        config, network = load_pretrained(Path(folder), "clip", CLIPConfig, CLIPModel)
        tokenizer = TextTokenizer.load(folder, config.text_config.max_position_embeddings)
        return cls(network, tokenizer, config.vision_config.image_size)
