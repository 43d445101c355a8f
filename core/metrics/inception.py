"""The Inception-v3 network that FID is measured with, for the user's weight file.

Structure: Szegedy et al. 2015 (arXiv 1512.00567), under the names of `pt_inception-2015-12-05-6726825d.pth`, the weights
of TensorFlow's FID network (mseitzer/pytorch-fid; toshas/torch-fidelity has the same). Three things differ there from
torchvision's network of that name: average pools do not count their padding, the last block pools by maximum, and there
are 1008 outputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.checkpoints.files import CheckpointError
from core.checkpoints.weights import read_weights, refuse_spoilt
from core.precision import in_float32

Resizing = Literal["tensorflow", "clean"]
"""How images are brought to 299 × 299: as TensorFlow 1 and torch-fidelity do, or as clean-fid does."""
Place = Literal["pool", "spatial"]
"""Where features are read: after the last average pool (FID), or on the 17 × 17 grid (sFID)."""
FEATURES: dict[Place, int] = {"pool": 2048, "spatial": 7 * 17 * 17}

Side = int | tuple[int, int]
Pool = Literal["average", "max", "reduce"]
Chain = list[tuple[int, Side]]  # of convolutions: channels out and kernel

_FORK: Side = (0, 0)  # in place of a kernel: a 1 × 3 and a 3 × 1 convolution side by side
_HALVE: Side = -3  # a 3 × 3 convolution with stride 2


class _Convolution(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, kernel: Side, stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if padded else 0
        self.conv = nn.Conv2d(in_channels, out_channels, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = F.relu(self.bn(self.conv(x)))
        return out


class _Mixed(nn.Module):
    """Chains of convolutions side by side, then the pooled input, concatenated.

    chains: by name; the convolutions of a chain of several are numbered from 1.
    pool: 3 × 3 average or maximum, followed by a convolution to pool_channels; or "reduce", a maximum that halves
        the size, as it is.
    """

    def __init__(self, in_channels: int, chains: dict[str, Chain], pool: Pool, pool_channels: int = 0) -> None:
        super().__init__()
        self.pool = pool
        self.chains: list[list[list[str]]] = []  # a chain's steps, and each step's modules, by name
        for name, chain in chains.items():
            steps = []
            channels = in_channels
            for number, (out_channels, kernel) in enumerate(chain, start=1):
                step = name if len(chain) == 1 else f"{name}_{number}"
                if kernel == _FORK:
                    self.add_module(step + "a", _Convolution(channels, out_channels, (1, 3)))
                    self.add_module(step + "b", _Convolution(channels, out_channels, (3, 1)))
                elif kernel == _HALVE:
                    self.add_module(step, _Convolution(channels, out_channels, 3, stride=2, padded=False))
                else:
                    self.add_module(step, _Convolution(channels, out_channels, kernel))
                steps.append([step + "a", step + "b"] if kernel == _FORK else [step])
                channels = out_channels
            self.chains.append(steps)
        if pool != "reduce":
            self.branch_pool = _Convolution(in_channels, pool_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for steps in self.chains:
            y = x
            for names in steps:
                y = torch.cat([self.get_submodule(name)(y) for name in names], dim=1)
            outputs.append(y)
        if self.pool == "reduce":
            outputs.append(F.max_pool2d(x, 3, stride=2))
        elif self.pool == "max":
            outputs.append(self.branch_pool(F.max_pool2d(x, 3, stride=1, padding=1)))
        else:
            outputs.append(self.branch_pool(F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)))
        return torch.cat(outputs, dim=1)


def _grid35(in_channels: int, pool_channels: int) -> _Mixed:
    chains: dict[str, Chain] = {
        "branch1x1": [(64, 1)],
        "branch5x5": [(48, 1), (64, 5)],
        "branch3x3dbl": [(64, 1), (96, 3), (96, 3)],
    }
    return _Mixed(in_channels, chains, "average", pool_channels)


def _grid17(channels: int) -> _Mixed:
    c = channels
    chains: dict[str, Chain] = {
        "branch1x1": [(192, 1)],
        "branch7x7": [(c, 1), (c, (1, 7)), (192, (7, 1))],
        "branch7x7dbl": [(c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))],
    }
    return _Mixed(768, chains, "average", 192)


def _grid8(in_channels: int, pool: Pool) -> _Mixed:
    chains: dict[str, Chain] = {
        "branch1x1": [(320, 1)],
        "branch3x3": [(384, 1), (384, _FORK)],
        "branch3x3dbl": [(448, 1), (384, 3), (384, _FORK)],
    }
    return _Mixed(in_channels, chains, pool, 192)


def _resampling(before: int, after: int) -> Tensor:
    """(after, before) weights of bilinear resampling that aligns the first pixels' corners, not the pixels' centres."""
    positions = torch.arange(after) * (before / after)
    lower = positions.floor().long()
    weights = torch.zeros(after, before)
    places = torch.arange(after)
    weights[places, lower] = 1 - (positions - lower)
    weights[places, (lower + 1).clamp(max=before - 1)] += positions - lower
    return weights


class InceptionV3(nn.Module):
    """Images (b, 3, h, w) in [-1, 1] of any size to the 2048 features of the last average pool, (b, 2048).

    Images are rounded to 8 bits, as if read from files, and brought to 299 × 299. It is made in eval mode.

    resizing: "tensorflow" is TensorFlow 1's bilinear resampling, as in torch-fidelity, which Rombach et al. 2022 measured
        with. "clean" is Pillow's bicubic filter without rounding, as clean-fid's `mode="clean"` (Parmar et al. 2022, "On
        aliased resizing"): figures of one are not to be compared with those of the other.
    place: "spatial" for the features of sFID (Nash et al. 2021), (b, 2023): the first 7 channels of the 17 × 17 grid in
        `Mixed_6d.branch1x1`, TensorFlow's mixed_6/conv, as guided-diffusion's evaluator reads them.
    """

    kept_float32 = ("",)  # it measures

    def __init__(self, resizing: Resizing = "tensorflow", place: Place = "pool") -> None:
        super().__init__()
        self.resizing, self.place = resizing, place
        self.num_features = FEATURES[place]
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, stride=2, padded=False)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = _Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3, padded=False)
        self.Mixed_5b = _grid35(192, 32)
        self.Mixed_5c = _grid35(256, 64)
        self.Mixed_5d = _grid35(288, 64)
        self.Mixed_6a = _Mixed(
            288, {"branch3x3": [(384, _HALVE)], "branch3x3dbl": [(64, 1), (96, 3), (96, _HALVE)]}, "reduce"
        )
        self.Mixed_6b = _grid17(128)
        self.Mixed_6c = _grid17(160)
        self.Mixed_6d = _grid17(160)
        self.Mixed_6e = _grid17(192)
        seven: Chain = [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, _HALVE)]
        self.Mixed_7a = _Mixed(768, {"branch3x3": [(192, 1), (320, _HALVE)], "branch7x7x3": seven}, "reduce")
        self.Mixed_7b = _grid8(1280, "average")
        self.Mixed_7c = _grid8(2048, "max")
        self.fc = nn.Linear(2048, 1008)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Features (b, num_features)."""
        x = ((images.to(self.fc.weight.dtype).clamp(-1, 1) + 1) * 127.5).round()
        if self.resizing == "clean":
            x = F.interpolate(x, (299, 299), mode="bicubic", antialias=True).clamp(0, 255)
        else:
            rows, columns = _resampling(x.shape[2], 299).to(x), _resampling(x.shape[3], 299).to(x)
            x = rows @ x @ columns.T
        x = (x - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = F.max_pool2d(x, 3, stride=2)
        for name, block in self.named_children():
            if name == "Mixed_6d" and self.place == "spatial":
                grid: Tensor = block.get_submodule("branch1x1")(x)[:, :7]
                return grid.flatten(1)
            if name.startswith("Mixed"):
                x = block(x)
        return x.mean((2, 3))

    @in_float32
    def logits(self, features: Tensor) -> Tensor:
        """(b, 1008) class scores for the Inception score, from features; without bias, as its authors' program."""
        return features @ self.fc.weight.T

    @classmethod
    def load(cls, path: str | Path, resizing: Resizing = "tensorflow", place: Place = "pool") -> InceptionV3:
        """Read `pt_inception-2015-12-05-6726825d.pth`, or the same tensors as safetensors.

        Raises CheckpointError where the file is something else, and says what.
        """
        state = read_weights(path)
        with torch.device("meta"):
            network = cls(resizing, place)
        kept = {}
        for name, wanted in network.state_dict().items():
            if name.endswith("num_batches_tracked"):  # a counter that only training reads, and older files lack
                kept[name] = torch.tensor(0)
                continue
            if name not in state or state[name].shape != wanted.shape:
                found = f"of shape {tuple(state[name].shape)}" if name in state else "missing"
                raise CheckpointError(
                    f"{path} is not the Inception-v3 of FID: {name} is {found}, not {tuple(wanted.shape)}. The file wanted "
                    "is pt_inception-2015-12-05-6726825d.pth; ImageNet's classifiers would give other figures."
                )
            kept[name] = state[name].float()
        refuse_spoilt(kept, path)
        network.load_state_dict(kept, assign=True)
        return network.eval().requires_grad_(False)
