"""Pictures taken for latents, so that a denoiser can be trained without a first stage."""

from __future__ import annotations

from graph_runner.contract import node
from nodes.wires import Image, Latent


@node(category="toys")
def as_latent(x: Image) -> Latent:
    """The picture itself."""
    return x
