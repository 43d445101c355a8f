"""To teach a model one thing: pictures of a subject, and rows of what the model drew before (DreamBooth, Ruiz et al. 2023)."""

from __future__ import annotations

from typing import Annotated, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from core.data.subject import Subject
from graph_runner.context import Rng
from graph_runner.contract import Seed, node
from nodes.wires import Dataset

X = TypeVar("X", bound=Tensor)
Y = TypeVar("Y", bound=Tensor)


@node(category="data", words=("toy data", "dreambooth", "textual inversion", "synthetic"))
def subject_dataset(
    size: Annotated[int, Field(ge=1, le=10_000)] = 6,
    resolution: Annotated[int, Field(ge=8, le=1024)] = 32,
    seed: Seed = 0,
) -> Dataset:
    """A few pictures of one thing that shapes_dataset does not draw, a target of three rings: to teach a model that knows shapes.

    size: how many pictures.
    resolution: height and width in pixels.
    seed: another seed, other places and backgrounds.
    """
    return Subject(resolution, size, seed)


@node(category="arithmetic", words=("shuffle", "choose", "dreambooth", "class images", "prior preservation"))
def random_rows(x: X, like: Y, rng: Rng) -> X:
    """Rows of a tensor drawn at random, with replacement, anew in each step: of pictures that lie ready, as many as a batch has.

    x: the rows to choose from.
    like: as many rows as it has.
    """
    chosen = (rng.rand(len(like)) * len(x)).long().clamp(max=len(x) - 1)
    return torch.index_select(x, 0, chosen)  # type: ignore[return-value]
