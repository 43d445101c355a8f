"""Values as pictures: latents in the colours of the images that they stand for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graph_runner.contract import PortType, Wire
from ui.pictures import Projections

IMAGE = PortType("image", wire=Wire("image", "b 3 h w"))
LATENT = PortType("latent", wire=Wire("latent", "b c h w"))
MASK = PortType("mask", wire=Wire("mask", "b 1 h w"))


def pair(seed: int) -> tuple[Tensor, Tensor]:
    """Latents, and images of four times their size that are an affine map of them, nearly."""
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(6, 4, 8, 8, generator=draw)
    colours = torch.tensor([[0.3, 0, 0, 0.1], [0, 0.3, 0, 0], [0, 0, 0.3, -0.1]])
    image = torch.einsum("kc,bchw->bkhw", colours, z) + 0.1
    return z, (image + 0.02 * torch.randn(image.shape, generator=draw)).repeat_interleave(4, 2).repeat_interleave(4, 3)


def test_the_map_is_fitted_to_the_pair_that_belongs_together() -> None:
    projections = Projections()
    z, image = pair(0)
    for value in (torch.randn(6, 4, 8, 8), z, torch.randn(6, 4, 8, 8)):
        projections.see(LATENT, value)
    projections.see(IMAGE, image)
    projections.see(LATENT, torch.randn(6, 4, 8, 8))  # noise after the image spoils nothing
    other, wanted = pair(1)
    error = (projections.colours(other) - torch.nn.functional.avg_pool2d(wanted, 4).clamp(-1, 1)).abs().mean()
    assert error < 0.02  # the noise of the images, averaged over a latent's pixel


def test_without_a_pair_colours_are_the_principal_components() -> None:
    projections = Projections()
    z = torch.randn(2, 4, 8, 8) * torch.tensor([0.01, 3, 0.01, 0.01]).reshape(1, 4, 1, 1)
    projections.see(IMAGE, torch.randn(2, 3, 32, 32))  # belongs to nothing
    projections.see(LATENT, z)
    first = projections.colours(z)[:, 0].flatten()
    assert torch.corrcoef(torch.stack([first, z[:, 1].flatten()])).abs()[0, 1] > 0.9
    assert projections.colours(torch.zeros(1, 2, 4, 4)).shape == (1, 3, 4, 4)


def test_batches_are_tiled_and_what_has_no_looks_is_not_drawn() -> None:
    projections = Projections()
    images = torch.stack([torch.full((3, 2, 5), value) for value in (-1.0, 0.0, 1.0)])
    picture = projections.picture(IMAGE, images)
    assert picture is not None
    assert picture.size == (10, 4)
    assert np.asarray(picture)[[0, 0, 2, 2], [0, 5, 0, 5], 0].tolist() == [0, 128, 255, 0]
    mask = projections.picture(MASK, torch.ones(1, 1, 3, 3))
    assert mask is not None
    assert np.asarray(mask).min() == 255
    assert projections.picture(LATENT, torch.full((1, 4, 2, 2), torch.nan)) is not None
    assert projections.picture(LATENT, torch.zeros(0, 4, 2, 2)) is None
    assert projections.picture(PortType("int"), 3) is None
