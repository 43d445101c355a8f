"""Data sets, and the fields of a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field
from torch import Tensor
from torch.utils.data import Subset

from core.data.folder import ImageFolder
from core.data.latents import Encoding, LatentData, LatentOutline
from core.data.loader import take
from core.data.picture_files import image_files
from core.data.shapes import Shapes
from core.data.shard_writer import ShardWriter
from core.data.shards import ShardedData
from core.data.stream_batches import ShuffledStream
from core.models.autoencoder import KLAutoencoder
from graph_runner.context import Device, Progress, Tell, Workspace, derive
from graph_runner.contract import Inject, Neutral, PathTo, Seed, Unkeyed, node
from nodes.wires import Autoencoder, Batch, Dataset, Image, Labels, Latent, LatentDataset, Stream


@node(category="data", words=("toy data", "synthetic"))
def shapes_dataset(
    size: Annotated[int, Field(ge=1)] = 20_000,
    resolution: Annotated[int, Field(ge=8, le=1024)] = 32,
    objects: Annotated[int, Field(ge=1, le=9)] = 1,
    seed: Seed = 0,
) -> Dataset:
    """Coloured shapes on random gradients: images with class, caption, boxes and semantic map, drawn when asked for.

    4 shapes × 6 colours are the 24 classes. Image i is the same at any resolution.

    size: how many images.
    resolution: height and width in pixels.
    objects: shapes in each image.
    seed: another seed, other images.
    """
    return Shapes(resolution, size, seed, objects)


@node(category="data", version=2, words=("own photos", "load images", "dreambooth", "fine-tune"))
def image_folder(
    path: Annotated[str, PathTo("folder", image_files)],
    workspace: Workspace,
    progress: Progress,
    tell: Tell,
    resolution: Annotated[int, Field(ge=8, le=4096)] = 256,
    crop: Literal["center", "random"] = "center",
    flip: bool = False,
) -> Dataset:
    """Your own pictures, from a folder and its sub-folders (.png, .jpg, .webp, .avif, .gif, .tif, .bmp).

    The first sub-folder is the class. A caption is in a text file of the same name (.txt, .caption), or in a table
    (metadata.jsonl, metadata.csv). What cannot be read is named and left out; how many captions there are is told.

    path: the folder.
    resolution: height and width that each crop is resized to, antialiased.
    crop: the largest square in the middle, or a random one anew each epoch.
    flip: mirror left and right, at random.
    """
    index = workspace / "cache" / "folders" / f"{derive(path):016x}.json"
    folder = ImageFolder(path, resolution, crop, flip=flip, index_file=index, progress=progress)
    tell(folder.summary(), "info")
    for remark in folder.remarks:
        tell(remark)
    return folder


@node(category="data")
def shuffle_stream(
    stream: Stream,
    buffer: Annotated[int, Field(ge=1, le=2**24)] = 4096,
    parts: Annotated[int, Field(ge=0, le=2**16)] = 0,
) -> Stream:
    """Say how a stream is shuffled when a training draws from it: among so many samples at a time.

    A stream that is wired into a training without this is shuffled by the defaults.

    stream: samples in the order of their files.
    buffer: samples that are held, undecoded, and shuffled among each other.
    parts: into how many parts the files are dealt, of which each batch holds equally many samples. It divides the batch size, and
        is a multiple of the processes that train together. 0 takes up to 16, as the files allow.
    """
    data = stream.data if isinstance(stream, ShuffledStream) else stream
    return ShuffledStream(data, buffer, parts)


@node(category="data")
def class_names(data: Dataset, classes: list[Annotated[int, Field(ge=0)]]) -> list[str]:
    """The names of classes, as captions.

    data: a data set with named classes.
    classes: class numbers.
    """
    names = getattr(data, "classes", ())
    return [names[i] if i < len(names) else f"class {i}" for i in classes]


@node(category="data")
def take_images(
    data: Dataset,
    device: Device,
    count: Annotated[int, Field(ge=1)] = 8,
    start: Annotated[int, Field(ge=0)] = 0,
) -> Image:
    """Some images of a data set, as they are.

    data: a data set of images.
    count: how many.
    start: the first one's number.
    """
    return take(data, range(start, min(start + count, len(data))))["images"].to(device)


@node(category="data")
def take_batch(
    data: Dataset,
    device: Device,
    count: Annotated[int, Field(ge=1)] = 8,
    start: Annotated[int, Field(ge=0)] = 0,
) -> Batch:
    """Some samples of a data set with all their fields, unaugmented: to condition on, and to compare with.

    data: any data set.
    count: how many.
    start: the first one's number.
    """
    batch = take(data, range(start, min(start + count, len(data))))
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in batch.items()}


def _encode_a_part(
    autoencoder: Autoencoder,
    data: Dataset,
    device: Device,
    progress: Progress,
    batch_size: int = 64,
    leave_out: tuple[str, ...] = (),
    **_: Any,
) -> LatentDataset:
    """One batch is encoded; the others are of the same shape."""
    whole = len(data)
    part: Any = Subset(cast(Any, data), range(min(batch_size, whole)))
    some = cast(LatentData, encode_dataset(autoencoder, part, device, progress, batch_size, leave_out))
    progress(len(part), whole)
    return cast(LatentData, LatentOutline(some.fields, whole, getattr(data, "classes", ())))


@node(category="data", keep=True, dry=_encode_a_part)
def encode_dataset(
    autoencoder: Autoencoder,
    data: Dataset,
    device: Device,
    progress: Progress,
    batch_size: Annotated[int, Field(ge=1)] = 64,
    leave_out: tuple[str, ...] = ("segmentation", "boxes", "box_labels"),
    half: Annotated[bool, Neutral(False)] = False,
    workers: Annotated[int, Field(ge=0, le=1024), Unkeyed()] = 0,
    folder: Annotated[Path | None, Inject("value_folder")] = None,
    tell: Annotated[Tell | None, Inject("tell")] = None,
) -> LatentDataset:
    """Encode a data set's images once; the diffusion model then trains on latents (Rombach et al. 2022, section 3).

    A KL autoencoder's posteriors are kept, and drawn from anew each epoch. The result stays on disk, in shards that are
    mapped and not read into memory. A killed encoding goes on with the shard it was at; several processes share the shards.

    autoencoder: the first stage, its latents rescaled.
    data: images.
    batch_size: images encoded at once.
    leave_out: fields of the data not to keep.
    half: keep latents in float16, in half the room.
    workers: processes that read images ahead.
    """

    def encode(images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        images = images.to(device)
        if not isinstance(autoencoder, KLAutoencoder):
            return autoencoder.encode(images)
        posterior = autoencoder.posterior(images)
        return autoencoder.to_z(posterior.mean), (0.5 * posterior.logvar).exp() * autoencoder.scale_factor

    encoding = Encoding(data, encode, batch_size, leave_out=leave_out, workers=workers)
    if folder is None:  # without an engine
        return LatentData.of(encoding, progress)
    return ShardedData(ShardWriter(folder, encoding, ("latents", "std") if half else (), progress, tell).write())


@node(category="data")
def batch_images(batch: Batch) -> Image:
    """The images of a batch."""
    return field(batch, "images")


@node(category="data")
def batch_labels(batch: Batch) -> Labels:
    """The class numbers of a batch."""
    return field(batch, "labels")


@node(category="data")
def batch_latents(batch: Batch) -> Latent:
    """The latents of a batch of an encoded data set."""
    return field(batch, "latents")


def field(batch: dict[str, Any], name: str) -> Any:
    """A field of a batch. Raises ValueError, naming those it has."""
    if name not in batch:
        raise ValueError(f"the batch has no {name}; it has {', '.join(sorted(batch))}. Wire a data set that has them")
    return batch[name]
