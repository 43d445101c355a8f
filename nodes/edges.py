"""Edges as ControlNets for them were trained on, and how far pictures keep to them."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import Field

from core.conditioning import edges
from core.metrics import edges as metric
from graph_runner.context import Processes
from graph_runner.contract import Axes, node
from nodes.wires import Image, Scalar

Threshold = Annotated[float, Field(ge=0, le=6)]
Edges = Annotated[Image, Axes("b c h w")]
"""Edges that are compared, white on black."""


class Agreement(NamedTuple):
    """Of pictures with their own edges, and with those of the next picture: what chance gives."""

    agreement: Scalar
    chance: Scalar


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


@node(category="metrics", version=2, words=("f1", "iou", "boundary f1", "controlnet"))
def edge_agreement(
    found: Edges, asked: Edges, processes: Processes, tolerance: Annotated[int, Field(ge=0, le=64)] = 1
) -> Agreement:
    """How far pictures keep to the edges that they were asked to: F1 of precision and recall, the mean over pictures; 1 is all.

    Beside it what chance gives: each picture's agreement with the edges of the next. It says nothing of a batch that was asked for the
    same edges throughout: there it is the agreement itself. Where several processes share a batch, the next is one of the own share.

    found: edges of what was drawn, of two pictures at least.
    asked: edges that were shown, in the same order.
    tolerance: how many pixels an edge may lie beside another.
    """
    if len(asked) * processes.world < 2:
        raise ValueError(
            "what chance gives is measured at the next picture's edges, and there is one; give at least two pictures"
        )
    agreement = metric.edge_agreement(found, asked, tolerance).mean()
    return Agreement(agreement, metric.edge_agreement(found, asked.roll(-1, 0), tolerance).mean())
