"""A GAN on points, without batch statistics: what several processes can compute exactly as one does."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.data.batch import Batch as BatchOf
from core.data.keyed import KeyedRandom
from graph_runner.context import Rng
from graph_runner.contract import Wire, node
from nodes.wires import Batch, Dataset, Loss


class Net(nn.Module):
    """A small multi-layer perceptron with dropout."""

    def __init__(self, width: int = 8, out: int = 2) -> None:
        super().__init__()
        self.config = {"width": width, "out": out}
        self.layers = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, out))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class NetCodec:
    def save(self, net: Net) -> dict[str, Any]:
        return {"config": net.config, "state": dict(net.state_dict())}

    def load(self, tree: dict[str, Any]) -> Net:
        net = Net(**tree["config"])
        net.load_state_dict(tree["state"])
        return net


class Points:
    """Points on a circle, moved a little anew each epoch."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"points": self.get_batch(np.array([i]))["points"][0]}

    def get_batch(self, indices: NDArray[np.int64], random: KeyedRandom | None = None) -> BatchOf:
        angle = torch.as_tensor(indices) * (2 * torch.pi / 64)
        points = torch.stack([angle.cos(), angle.sin()], 1)
        return {"points": points if random is None else points + 0.1 * torch.from_numpy(random.normal(2))}


Network = Annotated[Net, Wire("network", codec=NetCodec())]
Points2 = Annotated[Tensor, Wire("points", "b 2")]


@node(category="toy")
def circle() -> Dataset:
    """Points on a circle."""
    return Points()


@node(category="toy")
def network(rng: Rng, out: int = 2) -> Network:
    """A small network, untrained."""
    return Net(out=out)


@node(category="toy")
def batch_points(batch: Batch) -> Points2:
    """The points of a batch."""
    return batch["points"]


@node(category="toy")
def points_like(points: Points2, rng: Rng) -> Points2:
    """Noise for the generator."""
    return rng.randn_like(points)


@node(category="toy")
def through(net: Network, x: Points2) -> Points2:
    """The network's output."""
    return net(x)


@node(category="toy")
def fool(fake: Points2) -> Loss:
    """The generator's loss."""
    return -fake.mean()


@node(category="toy")
def catch(real: Points2, fake: Points2) -> Loss:
    """The discriminator's loss."""
    return nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()
