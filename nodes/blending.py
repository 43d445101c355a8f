"""Models of one build mixed weight by weight: merged checkpoints, as web interfaces have them."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import Field
from torch import nn

from core.models.blending import combined
from graph_runner.contract import node
from nodes.optimizers import Patterns

M = TypeVar("M", bound=nn.Module)

Part = Annotated[float, Field(ge=-10, le=10)]


@node(category="models", words=("checkpoint merger", "weighted sum", "model merge simple", "model soup", "interpolate"))
def blend_models(a: M, b: M, weight: Part = 0.5, layers: Patterns = ["*"]) -> M:  # noqa: B006
    """(1 − weight) · a + weight · b of all weights: two fine-tuned models of one base mixed.

    For a weight of its own for each block, one node after the other: each gives other layers another part of b.

    a: a model of any kind.
    b: another one of the same build.
    weight: 0 is a, 1 is b.
    layers: name patterns of the weights that are mixed, such as *output_blocks*; the others are a's.
    """
    return combined([a, b], [1 - weight, weight], layers)


@node(category="models", words=("checkpoint merger", "add difference", "model merge subtract", "task arithmetic"))
def add_difference(a: M, b: M, c: M, weight: Part = 1.0, layers: Patterns = ["*"]) -> M:  # noqa: B006
    """a + weight · (b − c) of all weights: what training made of c to get b, done to a.

    a: the model that is changed.
    b: a model that was trained.
    c: the model that it was trained from; all three of one build.
    weight: how much of the difference.
    layers: name patterns of the weights that are changed; the others are a's.
    """
    return combined([a, b, c], [1.0, weight, -weight], layers)
