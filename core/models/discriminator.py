"""The patch discriminator that keeps reconstructions sharp (pix2pix, Isola et al. 2017; VQGAN, Esser et al. 2021)."""

from typing import Any

from torch import Tensor, nn

from core.models.global_batch import GlobalBatchNorm2d
from core.models.registry import model


@model
class NLayerDiscriminator(nn.Module):
    """PatchGAN: images (b, in_channels, h, w) → logits (b, 1, h', w'), each for one patch; positive means real.

    Names and weight initialisation follow CompVis/taming-transformers, taming/modules/discriminator/model.py.
    `num_layers` convolutions halve the size, two more cost a pixel each, so the smaller side must be at least 3 ·
    2^num_layers: 24 for the published 3 layers, 12 for 2. It normalises over the batch, of all processes that train
    together: training and evaluation mode differ.
    """

    config: dict[str, Any]

    def __init__(self, in_channels: int = 3, base_channels: int = 64, num_layers: int = 3) -> None:
        super().__init__()
        if not 1 <= num_layers <= 8:
            raise ValueError(f"num_layers is 1 to 8, not {num_layers}")
        self.smallest_side = 3 * 2**num_layers
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, base_channels, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, True),
        ]
        width = base_channels
        for i in range(1, num_layers + 1):
            previous, width = width, base_channels * min(2**i, 8)
            stride = 2 if i < num_layers else 1
            layers += [
                nn.Conv2d(previous, width, 4, stride=stride, padding=1, bias=False),
                GlobalBatchNorm2d(width),
                nn.LeakyReLU(0.2, True),
            ]
        layers.append(nn.Conv2d(width, 1, 4, padding=1))
        self.main = nn.Sequential(*layers)
        for layer in self.main:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1.0, 0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (b, 1, h', w'). Raises ValueError for images that are smaller than a patch."""
        if min(images.shape[2:]) < self.smallest_side:
            raise ValueError(
                f"images of {images.shape[2]}×{images.shape[3]} are too small for this discriminator: "
                f"give it sides of at least {self.smallest_side}, or fewer num_layers"
            )
        logits: Tensor = self.main(images)
        return logits
