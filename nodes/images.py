"""Images: loaded, arranged, shown and saved. A saved one carries its workflow."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from core import images as pictures
from core.numbers import finite
from graph_runner.context import Device, Outputs
from graph_runner.contract import File, Name, node
from nodes.wires import Image

Columns = Annotated[int, Field(ge=0, le=1000)]
Images = Image | list[Image]
"""A batch of images, or a list of batches such as `for_each` collects."""


def _batch(images: Tensor | list[Tensor]) -> Tensor:
    """One batch of what may be several. Raises ValueError where there are none, or none of one size."""
    if not isinstance(images, list):
        return images
    sizes = {tuple(batch.shape[1:]) for batch in images}
    if not images:
        raise ValueError("the list holds no images; give the loop that makes them at least one iteration")
    if len(sizes) > 1:
        told = ", ".join("×".join(map(str, size)) for size in sorted(sizes))
        raise ValueError(f"the list holds images of different sizes ({told}); wire images of one size")
    return torch.cat(images)


@node(category="images", version=2, words=("image loader", "input image", "img2img"))
def load_image(
    path: File,
    device: Device,
    height: Annotated[int, Field(ge=0, le=8192)] = 0,
    width: Annotated[int, Field(ge=0, le=8192)] = 0,
    fit: Literal["crop", "pad", "stretch"] = "crop",
) -> Image:
    """A picture from a file.

    path: any image file.
    height: in pixels; 0 for the picture's own.
    width: in pixels; 0 for the picture's own.
    fit: how it meets another aspect ratio.
    """
    if bool(height) != bool(width):
        raise ValueError("give both height and width, or neither")
    return pictures.load_image(path, (height, width) if height else None, fit)[None].to(device)


@node(category="images", version=2, words=("contact sheet", "xy plot", "tile"))
def image_grid(
    images: Images,
    columns: Columns = 0,
    captions: list[str] = [],  # noqa: B006
    zoom: Annotated[int, Field(ge=0, le=64)] = 0,
) -> Image:
    """Images tiled into one.

    images: what to tile, row by row; of several batches one after the other.
    columns: 0 for about square.
    captions: one beneath each; none for none.
    zoom: enlarge each pixel so many times; 0 to enlarge only tiles too small for their captions.
    """
    return pictures.grid(_batch(images), columns or None, captions=captions or None, zoom=zoom or None)[None]


@node(category="images", formerly=("enlarge",), words=("resize", "hires fix", "nearest"))
def upscale(
    images: Image, factor: Annotated[int, Field(ge=1, le=32)] = 4, kind: Literal["nearest", "bicubic"] = "nearest"
) -> Image:
    """Images larger by a whole factor: to look at small ones, or as what super-resolution has to beat.

    factor: of height and width.
    kind: pixels as squares, or bicubic.
    """
    if kind == "nearest":
        return F.interpolate(images, scale_factor=factor, mode="nearest")
    return F.interpolate(images, scale_factor=factor, mode="bicubic").clamp(-1, 1)


@node(category="images", words=("compare", "xy plot"))
def side_by_side(
    images: list[Image],
    limit: Annotated[int, Field(ge=1)] = 8,
    zoom: Annotated[int, Field(ge=1, le=32)] = 1,
) -> Image:
    """Several batches of images as rows of one picture, to compare them.

    images: batches of equal image size.
    limit: images shown of each.
    zoom: enlarge each pixel so many times.
    """
    rows = [batch[:limit] for batch in images]
    return pictures.grid(torch.cat(rows), columns=len(rows[0]), zoom=zoom)[None]


@node(category="images", effect=True, words=("show", "display"))
def preview_image(images: Images, outputs: Outputs, name: Name = "preview", columns: Columns = 0) -> None:
    """Show images on the node, several as a grid.

    images: what to show.
    name: of the file in the run's folder.
    columns: of the grid; 0 for about square.
    """
    batch = _batch(images)
    picture = batch[0] if len(batch) == 1 else pictures.grid(batch, columns or None)
    write = partial(pictures.save_png, image=picture, text={"workflow": outputs.workflow})
    outputs.file(f"{name}.png", write, media="image/png", preview=True)


@node(category="images", effect=True, words=("png", "export"))
def save_image(images: Images, outputs: Outputs, name: Name = "image") -> None:
    """Save each image as a PNG that carries its workflow. None is saved where one has values that are no numbers.

    images: what to save.
    name: of the files, in the run's folder.
    """
    text = {"workflow": outputs.workflow}
    for image in finite(_batch(images), "the images"):
        outputs.file(f"{name}.png", partial(pictures.save_png, image=image, text=text), media="image/png")


@node(category="images")
def stack_images(images: list[Image]) -> Image:
    """Several batches of images as one: what for_each collects, to measure or to tile.

    images: batches of equal image size.
    """
    return _batch(images)
