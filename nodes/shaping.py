"""What shapes a data set and its batches: sizes and crops, buckets, a part held out, which samples come how often."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from core.conditioning.conditioning import Conditioning as _Conditioning
from core.conditioning.parts import Vector
from core.conditioning.sizes import size_vector
from core.data import sampling
from core.data.buckets import bucket_sizes, bucketed, described
from core.data.frames import Frame
from core.data.joined import Joined
from core.data.pictures import Framed, pictures_of
from core.data.views import View
from graph_runner.context import Device, Progress, Tell
from graph_runner.contract import Neutral, Seed, node
from nodes.data import field
from nodes.wires import Batch, Conditioning, Dataset, Mask

Side = Annotated[int, Field(ge=8, le=8192)]
Scale = Annotated[float, Field(gt=0, le=1)]
Pair = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
Dim = Annotated[int, Field(ge=2, le=4096)]


@node(category="data shaping")
def frame_pictures(
    data: Dataset,
    height: Side = 256,
    width: Side = 256,
    fit: Literal["crop", "pad", "stretch"] = "crop",
    crop: Literal["center", "random"] = "center",
    smallest: Scale = 1.0,
    flip: bool = False,
) -> Dataset:
    """Pictures at one size, with their masks, maps and boxes; batches say how each was cropped (original_size, crop_top_left, target_size).

    data: pictures of their own size, from a source that reads files.
    height: in pixels.
    width: in pixels.
    fit: cut off what sticks out, show all with black bars, or distort.
    crop: where fit is crop: the middle, or another part in each epoch.
    smallest: the smallest side of a random crop, relative to the largest that fits.
    flip: mirror left and right, at random.
    """
    return Framed(pictures_of(data), Frame(height, width, fit, crop == "random", (smallest, 1.0), flip))


@node(category="data shaping")
def bucket_pictures(
    data: Dataset,
    progress: Progress,
    tell: Tell,
    resolution: Annotated[int, Field(ge=8, le=4096)] = 1024,
    multiple: Annotated[int, Field(ge=1, le=512)] = 64,
    crop: Literal["center", "random"] = "center",
    flip: bool = False,
) -> Dataset:
    """Aspect-ratio buckets: each picture at that one of SDXL's sizes whose shape is nearest to its own; a batch is of one size.

    Batches say how each picture was cropped (original_size, crop_top_left, target_size). No picture is left out: a bucket with fewer
    than a batch fills one from two rounds.

    data: pictures of their own size, from a source that reads files.
    resolution: height and width of the square bucket; all have about as many pixels.
    multiple: sides are multiples of it; a latent diffusion model needs f times what its UNet halves.
    crop: what sticks out is cut off evenly, or at random.
    flip: mirror left and right, at random.
    """
    frame = Frame(random_crop=crop == "random", flip=flip)
    made = bucketed(pictures_of(data), bucket_sizes(resolution, multiple), frame, progress)
    tell(f"buckets: {described(made)}", "info")
    return made


class Split(NamedTuple):
    """Two parts without a sample in common."""

    training: Dataset
    validation: Dataset


@node(category="data shaping")
def split_dataset(data: Dataset, validation: Annotated[float, Field(gt=0, lt=1)] = 0.05, seed: Seed = 0) -> Split:
    """Hold a part of a data set out. It goes by a hash of each sample's name, so that files which are added move no other.

    data: any data set.
    validation: the share held out, about.
    seed: another seed, another choice.
    """
    return Split(*sampling.split(data, validation, seed))


def _both_whole(data: Dataset, **_: Any) -> Split:
    """The captions of a dry run say nothing: each part is taken for the whole, which it is at most."""
    return Split(View(data), View(data))


@node(
    category="data shaping",
    dry=_both_whole,
    words=("unseen combinations", "compositional generalisation", "zero-shot split", "filter captions"),
)
def hold_out(data: Dataset, combinations: Annotated[list[str], Field(min_length=1)], tell: Tell) -> Split:
    """Keep combinations out of training: validation has the samples whose captions show one of them, training all others.

    What is trained on the one and asked for the other shows whether a model composes what it knows.

    data: with captions; encoded or not.
    combinations: each some phrases between commas: "red circle, blue square" holds out what shows both, in any order and relation.
    """
    parts = Split(*sampling.held_out(data, combinations))
    tell(f"held out: {len(parts.validation)} of {len(data)} samples", "info")
    return parts


@node(category="data shaping")
def balance_classes(
    data: Dataset,
    power: Annotated[float, Field(ge=0, le=1)] = 1.0,
    factors: dict[str, Annotated[float, Field(ge=0)]] = {},  # noqa: B006
) -> Dataset:
    """Rare classes more often: an epoch is as long as before, and shows the classes equally often.

    data: with labels.
    power: 1 for equally often, 0 for as often as they are; between them, weights of count^(−power).
    factors: of single classes besides, by name: {"cats": 2}; 0 leaves one out.
    """
    return sampling.class_balanced(data, power, factors)


@node(category="data shaping")
def weight_samples(data: Dataset, field: str = "weight") -> Dataset:
    """Samples as often as a field of theirs says, relative to the others; 0 for never.

    data: with that field: a column of a table, an entry of a sample's JSON.
    field: its name.
    """
    return sampling.weighted(data, field)


@node(category="data shaping")
def repeat_dataset(data: Dataset, times: Annotated[int, Field(ge=1, le=100_000)] = 10) -> Dataset:
    """Each sample several times in an epoch, augmented anew each time: a few pictures beside many, joined with them.

    data: any data set.
    times: how often.
    """
    return sampling.repeated(data, times)


@node(category="data shaping")
def join_datasets(data: list[Dataset], tell: Tell) -> Dataset:
    """Several data sets as one, with the fields that all have. Labels count the classes of all; classes of one name are one.

    data: where they are not framed afterwards, of one size.
    """
    joined = Joined(data)
    if joined.left_out:
        tell(f"left out, as not all of the data sets have them: {', '.join(joined.left_out)}")
    return joined


@node(category="data shaping")
def batch_masks(batch: Batch) -> Mask:
    """The masks of a batch."""
    return field(batch, "masks")


@node(category="data shaping")
def batch_sizes(batch: Batch, dim: Dim = 256) -> Conditioning:
    """How the pictures of a batch were cropped, as a vector for the time embedding (SDXL's size and crop conditioning).

    The denoiser takes it where its vector_dim is 6 · dim.

    batch: of frame_pictures or bucket_pictures.
    dim: width of each of the six numbers' embedding.
    """
    return _sizes(field(batch, "original_size"), field(batch, "crop_top_left"), field(batch, "target_size"), dim)


@node(category="conditioning")
def size_condition(
    device: Device,
    original: Pair = (1024, 1024),
    crop_top_left: Pair = (0, 0),
    target: Pair = (1024, 1024),
    dim: Dim = 256,
    aesthetic_score: Annotated[float | None, Field(ge=0, le=10), Neutral(None)] = None,
) -> Conditioning:
    """Sizes to sample at, as a vector for the time embedding (SDXL's size and crop conditioning); no crop is the best picture.

    Combined with a prompt it follows the prompt's own vector, as SDXL's UNets want it.

    original: height and width that the picture pretends to have been stored in.
    crop_top_left: pixels cut off above and at the left.
    target: height and width that are sampled.
    dim: as in training.
    aesthetic_score: in place of the target, how beautiful the picture is: for SDXL's refiner, 6 with the prompt, 2.5 with the negative one.
    """
    pairs = torch.tensor([original, crop_top_left, target], device=device)
    last = pairs[2:] if aesthetic_score is None else torch.tensor([[aesthetic_score]], device=device)
    return _sizes(pairs[:1], pairs[1:2], last, dim)


def _sizes(original: Tensor, corner: Tensor, target: Tensor, dim: int) -> _Conditioning:
    return _Conditioning(parts=[Vector(size_vector(original, corner, target, dim))])
