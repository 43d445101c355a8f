"""Edges as ControlNets for them were trained on."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from core.conditioning import edges
from graph_runner.contract import node
from nodes.wires import Image

Threshold = Annotated[float, Field(ge=0, le=6)]


def _dry(images: Image, **_: Any) -> Image:
    """How often edges grow depends on the picture."""
    return images.clone()


@node(category="control", dry=_dry, words=("edge detection", "outlines", "preprocessor", "kornia"))
def canny_edges(images: Image, low: Threshold = 0.4, high: Threshold = 0.8) -> Image:
    """The thin edges of pictures, white on black (Canny 1986), which many ControlNets and T2I-Adapters were trained on.

    images: any pictures.
    low: the gradient from which on what hangs together with an edge is one.
    high: the gradient from which on there is an edge.
    """
    return edges.canny(images, low, high)
