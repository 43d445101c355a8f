"""Data sets as people keep them: tables, pairs of folders, COCO's annotations, Parquet and Arrow, webdataset's shards.

Each reads local files alone. Pictures keep their own size until `frame_pictures` or `bucket_pictures` brings them to one.
"""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Literal

from pydantic import Field

from core.data.arrow import ArrowPictures, ParquetStream, arrow_files
from core.data.coco import CocoObjects
from core.data.frames import Frame
from core.data.pairs import PairedFolders, image_and_caption_files, partner_files
from core.data.pictures import Framed
from core.data.stream import Collected
from core.data.tables import PictureTable, table_files
from core.data.tar_shards import TarShards, TarStream, tar_files
from graph_runner.context import Progress, Tell, Workspace
from graph_runner.contract import File, PathTo, node
from nodes.wires import Dataset, Stream

Colour = Annotated[int, Field(ge=0, le=255)]
Palette = list[tuple[Colour, Colour, Colour]]
Side = Annotated[int, Field(ge=8, le=4096)]
ImageFolderPath = Annotated[str, PathTo("folder", image_and_caption_files)]
PartnerFolder = Annotated[str, PathTo("folder", partner_files)]
ArrowPath = Annotated[str, PathTo("file or folder", arrow_files)]
ShardsPath = Annotated[str, PathTo("file or folder", tar_files)]


@node(category="data sources")
def picture_table(path: Annotated[str, PathTo("file", table_files)]) -> Dataset:
    """Pictures that a table lists: JSON lines or CSV, a row each, with paths relative to it.

    Columns: file_name (or image, path, …), and as there are text, label (a number or a word), mask, segmentation, weight, objects.
    All others are fields of the batch under their own names.

    path: the .jsonl or .csv.
    """
    return Framed(PictureTable(path))


@node(category="data sources")
def image_mask_pairs(images: ImageFolderPath, masks: PartnerFolder, tell: Tell) -> Dataset:
    """Images and masks of the same names in two folders; captions in text files beside the images.

    images: the folder of the images.
    masks: the folder of the masks: white is marked, or what is transparent.
    """
    return _paired(PairedFolders(images, masks, "mask"), tell)


@node(category="data sources")
def image_map_pairs(
    images: ImageFolderPath,
    maps: PartnerFolder,
    tell: Tell,
    palette: Palette = [],  # noqa: B006
    ignore: Annotated[int, Field(ge=-1, le=2**31)] = -1,
) -> Dataset:
    """Images and semantic maps of the same names in two folders; captions in text files beside the images.

    images: the folder of the images.
    maps: the folder of the maps. Greys of 8 or 16 bits and indices of a palette are class numbers; colours need the palette below.
    palette: the colour of each class, as red, green, blue from 0 to 255.
    ignore: the class of colours that the palette lacks; −1 for an error that names the colour.
    """
    return _paired(PairedFolders(images, maps, "segmentation", palette, ignore), tell)


def _paired(pairs: PairedFolders, tell: Tell) -> Dataset:
    for remark in pairs.remarks:
        tell(remark)
    return Framed(pairs)


@node(category="data sources")
def coco_objects(
    annotations: File,
    images: PartnerFolder,
    min_area: Annotated[float, Field(ge=0, le=1)] = 0.0,
    max_objects: Annotated[int, Field(ge=0, le=10_000)] = 0,
) -> Dataset:
    """COCO's objects: images with boxes and classes, from an instances_*.json.

    Classes are numbered from 0 in the order of their ids. Crowds are left out, as are objects that a crop no longer shows.

    annotations: the JSON.
    images: the folder that its file names start from.
    min_area: smaller objects are left out; a share of the image (.02 in layout2img's data).
    max_objects: images with more, or with none, are left out; 0 keeps all.
    """
    return Framed(CocoObjects(annotations, images, min_area, max_objects))


@node(category="data sources")
def arrow_dataset(
    path: ArrowPath,
    workspace: Workspace,
    split: str = "train",
    image: str = "",
    caption: str = "",
    label: str = "",
) -> Dataset:
    """A data set of Hugging Face's kind from the disk: Parquet, or a folder of save_to_disk. Needs the extra `data`.

    Pictures must lie in the rows; nothing is downloaded. Parquet is brought into Arrow once, in the workspace.

    path: a .parquet, a folder of them, or one that save_to_disk wrote.
    split: where there are several.
    image: the column of the pictures; empty for the usual names.
    caption: the column of the captions; empty for the usual names.
    label: the column of the classes; empty for the usual names.
    """
    chosen = {"image": image, "caption": caption, "label": label}
    return Framed(ArrowPictures(path, workspace / "cache" / "arrow", split, chosen))


@node(category="data sources")
def webdataset_shards(path: ShardsPath, progress: Progress) -> Dataset:
    """webdataset's shards (.tar), by an index of what lies where: any order, buckets and splits are possible.

    Of each key a picture (.jpg, .png, .webp), and as there are .txt, .cls, .json, .mask.png, .seg.png.

    path: a .tar, or a folder of them.
    """
    return Framed(TarShards(path, progress))


@node(category="data sources")
def webdataset_stream(
    path: ShardsPath, resolution: Side = 256, crop: Literal["center", "random"] = "center", flip: bool = False
) -> Stream:
    """webdataset's shards (.tar) read from the front, for those that are too many to index. Needs the extra `data`.

    path: a .tar, or a folder of them.
    resolution: height and width that each crop is resized to, antialiased.
    crop: the largest square in the middle, or a random one.
    flip: mirror left and right, at random.
    """
    return TarStream(path, Frame(resolution, resolution, random_crop=crop == "random", flip=flip))


@node(category="data sources")
def parquet_stream(
    path: ArrowPath,
    resolution: Side = 256,
    crop: Literal["center", "random"] = "center",
    flip: bool = False,
    split: str = "train",
    image: str = "",
    caption: str = "",
    label: str = "",
) -> Stream:
    """Parquet of Hugging Face's kind read from the front, for what is too large to bring into Arrow. Needs the extra `data`.

    path: a .parquet, or a folder of them; pictures must lie in the rows.
    resolution: height and width that each crop is resized to, antialiased.
    crop: the largest square in the middle, or a random one.
    flip: mirror left and right, at random.
    split: where there are several.
    image: the column of the pictures; empty for the usual names.
    caption: the column of the captions; empty for the usual names.
    label: the column of the classes; empty for the usual names.
    """
    frame = Frame(resolution, resolution, random_crop=crop == "random", flip=flip)
    return ParquetStream(path, frame, split, {"image": image, "caption": caption, "label": label})


@node(category="data sources")
def stream_head(stream: Stream, count: Annotated[int, Field(ge=1, le=10_000_000)] = 1000) -> Dataset:
    """The first samples of a stream as a data set: to look at, to learn a tokenizer from, to train on a part.

    stream: of any source.
    count: how many; they are held in memory as they lie in their files.
    """
    return Collected(stream, [sample for sample, _ in islice(stream.iterate(), count)])
