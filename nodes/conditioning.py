"""Conditions: what the denoiser is told."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from core.conditioning.average import average
from core.conditioning.conditioning import Conditioning as _Conditioning
from core.conditioning.dropout import drop
from core.conditioning.parts import Vector
from graph_runner.context import Device, Rng
from graph_runner.contract import node
from nodes.wires import Conditioning, Embedder, Labels

Class = Annotated[int, Field(ge=0, lt=2**31)]


@node(category="conditioning", words=("label", "class conditioning"))
def class_context(embedder: Embedder, classes: list[Class] = []) -> Conditioning:  # noqa: B006
    """Classes as a condition; none at all is the null condition that guidance needs.

    embedder: a trained class embedder.
    classes: one number for each sample.
    """
    return _Conditioning(context=embedder(embedder.indices(classes)))


@node(category="conditioning")
def embed_classes(embedder: Embedder, labels: Labels) -> Conditioning:
    """The labels of a batch as a condition."""
    return _Conditioning(context=embedder(labels))


@node(category="conditioning")
def class_y(device: Device, classes: Annotated[list[Class], Field(min_length=1)] = [0]) -> Conditioning:  # noqa: B006
    """Classes for a denoiser that adds them to its time embedding (a UNet's num_classes), instead of a token for cross-attention.

    The null class is one of the denoiser's own, by custom the last.

    classes: one number for each sample, or one for all.
    """
    return _Conditioning(y=torch.tensor(classes, device=device))


@node(category="conditioning")
def labels_y(labels: Labels) -> Conditioning:
    """The labels of a batch for a denoiser that adds them to its time embedding (a UNet's num_classes)."""
    return _Conditioning(y=labels)


@node(category="conditioning")
def vector_condition(
    device: Device,
    vectors: Annotated[list[list[float]], Field(min_length=1)] = [[0.0]],  # noqa: B006
) -> Conditioning:
    """Pooled vectors for a denoiser that adds them to its time embedding (CompVis' adm).

    vectors: one for each sample, or one for all; as long as the denoiser wants them.
    """
    if len({len(vector) for vector in vectors}) > 1 or not vectors[0]:
        raise ValueError(
            f"the vectors have lengths {', '.join(str(len(v)) for v in vectors)}; give vectors of one length"
        )
    return _Conditioning(parts=[Vector(torch.tensor(vectors, device=device))])


@node(category="conditioning", version=2, draws_when=lambda given: given["probability"] > 0)
def drop_labels(
    labels: Labels, embedder: Embedder, rng: Rng, probability: Annotated[float, Field(ge=0, le=1)] = 0.1
) -> Labels:
    """Replace labels by the null class at random: the training half of classifier-free guidance (Ho & Salimans 2021).

    labels: of a batch.
    embedder: which knows the null class.
    probability: of each label's being dropped.
    """
    return drop(labels, embedder.null_class, rng.rand(len(labels)), probability)


@node(category="conditioning", words=("conditioning average", "blend prompts", "mix prompts", "interpolate"))
def average_conditions(
    a: Conditioning, b: Conditioning, weight: Annotated[float, Field(ge=-10, le=10)] = 0.5
) -> Conditioning:
    """A condition between two: (1 − weight) · a + weight · b of their tokens and vectors.

    a: whose number of tokens the result has.
    b: whose tokens are cut to that, or filled up with zeros.
    weight: 0 is a, 1 is b.
    """
    return average(a, b, weight)
