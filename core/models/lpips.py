"""LPIPS, the learned perceptual distance (Zhang et al. 2018), on the user's own VGG-16 and LPIPS weight files."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from core.precision import in_float32

VGG_SLICES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Numbers of VGG-16's convolutions, as torchvision counts its layers, up to each of the five feature maps."""
VGG_WIDTHS = (64, 128, 256, 512, 512)
SMALLEST_SIDE = 16


class VGG16Features(nn.Module):
    """VGG-16 up to relu5_3: images → the five feature maps relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        for number, (layers, width) in enumerate(zip(VGG_SLICES, VGG_WIDTHS, strict=True), start=1):
            part = nn.Sequential()
            if number > 1:
                part.add_module(str(layers[0] - 1), nn.MaxPool2d(2))
            for layer in layers:
                part.add_module(str(layer), nn.Conv2d(channels, width, 3, padding=1))
                part.add_module(str(layer + 1), nn.ReLU(inplace=True))
                channels = width
            self.add_module(f"slice{number}", part)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(b, 3, h, w) → five maps of 64, 128, 256, 512 and 512 channels, each half the size of the one before."""
        maps = []
        for part in self.children():
            x = part(x)
            maps.append(x)
        return maps


class LPIPS(nn.Module):
    """Perceptual distance of images in [−1, 1]: 0 for equal images, about 1 for unrelated ones.

    Names follow CompVis/taming-transformers, taming/modules/losses/lpips.py, and so the files that people have. The
    weights are frozen, and the heads' dropout, which there stays active in training by oversight, is left out. A new
    one has random weights: build it with `LPIPS.from_weights`.
    """

    shift: Tensor
    scale: Tensor
    kept_float32 = ("",)  # it measures

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[:, None, None], persistent=False)
        self.net = VGG16Features()
        for number, width in enumerate(VGG_WIDTHS):
            head = nn.Module()
            head.model = nn.Sequential(nn.Identity(), nn.Conv2d(width, 1, 1, bias=False))
            self.add_module(f"lin{number}", head)
        self.requires_grad_(False).eval()

    @classmethod
    def from_weights(cls, *states: Mapping[str, Tensor]) -> "LPIPS":
        """Build it from the state dicts of the user's files, in any order.

        Either two of them, torchvision's VGG-16 (`features.0.weight`, …) and the LPIPS heads (`lin0.model.1.weight`,
        …), or one that holds both under LPIPS' own names. Raises ValueError that says which of the two is missing.
        """
        weights: dict[str, Tensor] = {}
        slices = {str(layer): number for number, layers in enumerate(VGG_SLICES, start=1) for layer in layers}
        for state in states:
            for key, tensor in state.items():
                module, _, rest = key.partition(".")
                layer, _, parameter = rest.partition(".")
                if module == "features" and layer in slices:
                    weights[f"net.slice{slices[layer]}.{layer}.{parameter}"] = tensor
                elif module == "net" or module.startswith("lin"):
                    weights[key] = tensor
        model = cls()
        for part, file in (("net.", "VGG-16 (torchvision's vgg16-397923af.pth)"), ("lin", "the LPIPS heads (vgg.pth)")):
            wanted = {key: tensor.shape for key, tensor in model.state_dict().items() if key.startswith(part)}
            if wanted != {key: tensor.shape for key, tensor in weights.items() if key.startswith(part)}:
                raise ValueError(f"LPIPS: the weights of {file} are missing or of another network; give that file too")
        model.load_state_dict(weights)
        return model

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Distance of each image (b, 3, h, w) to the other at its place, (b,); gradients flow to both."""
        if min(images.shape[2:]) < SMALLEST_SIDE:
            raise ValueError(f"LPIPS needs images of at least {SMALLEST_SIDE} pixels a side, got {tuple(images.shape)}")
        maps = zip(*(self.net((x - self.shift) / self.scale) for x in (images, others)), strict=True)
        distances = []
        for number, (ours, theirs) in enumerate(maps):
            distances.append(_compare(ours, theirs, self.get_submodule(f"lin{number}.model")))
        return torch.stack(distances).sum(dim=0)


@in_float32
def _compare(ours: Tensor, theirs: Tensor, head: nn.Module) -> Tensor:
    """The weighted distance of two feature maps (b, c, h, w), as directions, (b,)."""
    distance: Tensor = head((_unit(ours.float()) - _unit(theirs.float())).square()).mean(dim=(1, 2, 3))
    return distance


def _unit(features: Tensor) -> Tensor:
    """Each position's features scaled to length one."""
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
