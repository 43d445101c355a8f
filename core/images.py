"""Images at the edges of the library: files and PIL on one side, float tensors in [-1, 1] on the other."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngImageFile, PngInfo
from torch import Tensor

from core.files import atomic_file
from core.lettering import strips
from core.numbers import finite

Fit = Literal["crop", "pad", "stretch"]
Box = tuple[float, float, float, float]
PictureFile = str | Path | bytes
"""A picture's path, or all that its file holds."""

_CAPTIONED_TILE = 96  # pixels; smaller tiles are enlarged, so that a caption has room beneath


class ImageError(ValueError):
    """An image file that cannot be read; the message names the file and the reason."""


def to_pil(image: Tensor) -> Image.Image:
    """A tensor (3, h, w) or (1, h, w) in [-1, 1] as an 8-bit picture; values outside are clipped.

    Raises FloatingPointError for values that are no numbers.
    """
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"An image has shape (3, h, w) or (1, h, w), not {tuple(image.shape)}.")
    finite(image.detach(), "the image")
    values = ((image.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(rearrange(values, "c h w -> h w c").squeeze(-1).numpy())


def from_pil(image: Image.Image) -> Tensor:
    """A picture of any mode as a tensor (3, h, w) in [-1, 1]; transparent parts become white."""
    values = np.asarray(_to_rgb(image), dtype=np.float32)
    return rearrange(torch.from_numpy(values / 127.5 - 1), "h w c -> c h w").contiguous()


def open_image(path: PictureFile, at_least: int | None = None, name: str = "") -> Image.Image:
    """Read a picture whole, as RGB and upright (EXIF orientation); the first frame of an animation.

    path: a file, or the bytes of one.
    at_least: the shorter side may be decoded smaller than stored, but not below this: JPEGs decode faster so.
    name: what messages call it, where that is not its path.

    Raises ImageError, whose message has the file's name, whatever is wrong with it.
    """
    return open_sized(path, at_least, name)[0]


def open_sized(path: PictureFile, at_least: int | None = None, name: str = "") -> tuple[Image.Image, tuple[int, int]]:
    """As `open_image`, and the width and height in which the picture is stored, upright."""
    with _reading(path, name) as image:
        stored = image.size
        if at_least is not None:
            image.draft("RGB", (at_least, at_least))
        upright = _to_rgb(ImageOps.exif_transpose(image))
        return upright, _turned(stored, image.getexif())


def image_size(path: PictureFile, name: str = "") -> tuple[int, int]:
    """Width and height of a picture as it stands upright, from its header alone; arguments and errors as `open_image`."""
    with _reading(path, name) as image:
        return _turned(image.size, Image.Image.getexif(image))  # a PNG's own would decode it


def open_map(path: PictureFile, name: str = "") -> NDArray[np.int64]:
    """The class of each pixel, (h, w), of a picture whose values are classes: greys of 8 or 16 bits, or indices of a palette.

    Raises ImageError as `open_image`, and for a picture in colours, whose palette must be known (`open_coloured_map`).
    """
    with _reading(path, name) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode not in ("1", "L", "P") and not upright.mode.startswith("I"):
            raise ValueError(f"its pixels are colours ({upright.mode}) and no class numbers; give the palette")
        return np.asarray(upright, dtype=np.int64)


def open_coloured_map(
    path: PictureFile, palette: Sequence[tuple[int, int, int]], ignore: int, name: str = ""
) -> NDArray[np.int64]:
    """The class of each pixel, (h, w), of a picture in colours: the place of its colour in `palette`.

    ignore: stands for colours that the palette lacks; −1 refuses them.
    Raises ImageError as `open_image`, and for a colour that is refused.
    """
    with _reading(path, name) as image:
        pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"), dtype=np.int64)
        codes = pixels @ np.array([65536, 256, 1])
        known = {red * 65536 + green * 256 + blue: number for number, (red, green, blue) in enumerate(palette)}
        found, places = np.unique(codes, return_inverse=True)
        classes = np.array([known.get(code, ignore) for code in found.tolist()], dtype=np.int64)
        if (classes < 0).any():
            strange = int(found[classes < 0][0])
            raise ValueError(f"its colour #{strange:06x} is not in the palette")
        return classes[places].reshape(codes.shape)


def _turned(size: tuple[int, int], exif: Image.Exif) -> tuple[int, int]:
    """Width and height of a picture once it is upright."""
    return size[::-1] if exif.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8) else size


@contextmanager
def _reading(path: PictureFile, name: str) -> Iterator[Image.Image]:
    """A picture that is open for reading; whatever is wrong with it is an ImageError that names it."""
    try:
        with Image.open(io.BytesIO(path) if isinstance(path, bytes) else path) as image:
            yield image
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        told = name or ("a picture" if isinstance(path, bytes) else path)
        raise ImageError(f"{told}: not a readable image ({error or type(error).__name__}).") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        image = _eight_bits(image, (65535, 2**31 - 1))
    elif image.mode == "F":
        image = _eight_bits(image, (1, 255, 65535, 2**31 - 1))
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    image = _in_srgb(image)
    if alpha is None:
        return image
    return Image.composite(image, Image.new("RGB", image.size, "white"), alpha)


def _eight_bits(image: Image.Image, whites: Sequence[float]) -> Image.Image:
    """Greys of more than eight bits, or of fractions, which `convert` would clip. White is the least of `whites` that the
    brightest of them does not exceed; what is no number becomes black."""
    grey = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    brightest = float(grey.max(initial=0.0))
    white = next((each for each in whites if brightest <= each), brightest)
    return Image.fromarray((grey * (255 / white)).clip(0, 255).round().astype(np.uint8))


def _in_srgb(image: Image.Image) -> Image.Image:
    """The picture as RGB; colours that an embedded profile describes become sRGB's. A profile that cannot be used is passed
    over, as viewers do."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(theirs).lower():
                plain = image if image.mode in ("RGB", "CMYK", "L", "LAB") else image.convert("RGB")
                converted = ImageCms.profileToProfile(plain, theirs, _srgb(), outputMode="RGB")
                assert converted is not None
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return image.convert("RGB")


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def crop_box(width: int, height: int, aspect: float, scale: float = 1.0, x: float = 0.5, y: float = 0.5) -> Box:
    """Left, upper, right, lower of a crop with `aspect` = width / height: `scale` times the largest that fits.

    x, y: where it lies in the room that it leaves; 0 is left or top, .5 the middle, 1 right or bottom.
    """
    crop_width = scale * min(width, height * aspect)
    crop_height = min(height, crop_width / aspect)  # division may round to more than there is
    left, upper = x * (width - crop_width), y * (height - crop_height)
    return left, upper, min(width, left + crop_width), min(height, upper + crop_height)


def resize(image: Image.Image, height: int, width: int, box: Box | None = None) -> Image.Image:
    """Antialiased bicubic resampling of the picture, or of a box in it, to height × width."""
    return image.resize((width, height), Image.Resampling.BICUBIC, box=box)


def load_image(path: str | Path, size: int | tuple[int, int] | None = None, fit: Fit = "crop") -> Tensor:
    """Read an image file as (3, h, w) in [-1, 1].

    size: (height, width), or one number for both; None keeps the file's own.
    fit: how another aspect ratio is brought to `size`: "crop" cuts the longer side's ends off, "pad" shows all, with
        black bars, "stretch" distorts.

    Raises ImageError with the file's name when it cannot be read.
    """
    image = open_image(path)
    return from_pil(image if size is None else _fitted(image, size, fit))


def open_mask(path: PictureFile, name: str = "") -> Image.Image:
    """A mask as a grey picture, whose bright parts are marked; arguments and errors as `open_image`.

    A file with transparency marks by its transparent parts (what was erased), any other by its bright ones.
    """
    with _reading(path, name) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            return ImageOps.invert(upright.convert("RGBA").getchannel("A"))
        return _to_rgb(upright).convert("L")


def load_mask(path: str | Path, size: int | tuple[int, int] | None = None, fit: Fit = "crop") -> Tensor:
    """Read a mask as (1, h, w) in {0, 1}; 1 is the part to fill, as `open_mask` finds it."""
    mask = open_mask(path)
    if size is not None:
        mask = _fitted(mask, size, fit)
    return torch.from_numpy((np.asarray(mask) >= 128).astype(np.float32))[None]


def _fitted(image: Image.Image, size: int | tuple[int, int], fit: Fit) -> Image.Image:
    height, width = (size, size) if isinstance(size, int) else size
    if fit == "stretch":
        return resize(image, height, width)
    if fit == "crop":
        return resize(image, height, width, crop_box(*image.size, width / height))
    scale = min(width / image.width, height / image.height)
    inner = resize(image, max(1, round(scale * image.height)), max(1, round(scale * image.width)))
    canvas = Image.new(image.mode, (width, height))
    canvas.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))
    return canvas


def grid(
    images: Tensor,
    columns: int | None = None,
    padding: int = 2,
    captions: Sequence[str] | None = None,
    zoom: int | None = None,
) -> Tensor:
    """Tile images (b, 3, h, w) row by row into one (3, H, W), on white.

    columns: None makes the grid about square.
    padding: pixels between tiles and around them.
    captions: one text an image, written beneath it.
    zoom: enlarge each pixel so many times; None enlarges only tiles too small for their captions.

    Raises FloatingPointError for values that are no numbers.
    """
    finite(images.detach(), "the images")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"grid: {len(captions)} captions for {len(images)} images.")
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    zoom = zoom or (-(-_CAPTIONED_TILE // images.shape[3]) if captions else 1)
    tiles = F.interpolate(images.detach().float().cpu().clamp(-1, 1), scale_factor=zoom, mode="nearest")
    if captions is not None:
        written = torch.stack([from_pil(strip) for strip in strips(captions, tiles.shape[3])])
        tiles = torch.cat([tiles, written], dim=2)
    tiles = F.pad(tiles, (padding, 0, padding, 0), value=1.0)
    empty = -len(tiles) % columns
    tiles = torch.cat([tiles, torch.ones(empty, *tiles.shape[1:])])
    rows = rearrange(tiles, "(row column) c h w -> c (row h) (column w)", column=columns)
    return F.pad(rows, (0, padding, 0, padding), value=1.0)


def save_png(path: str | Path, image: Tensor, text: Mapping[str, str] | None = None) -> None:
    """Write an image (3, h, w) or (1, h, w) in [-1, 1] as a PNG that is either whole or not there.

    text: texts of any length to carry inside (PNG text chunks), by keyword; `read_text` finds them again.
    """
    info = PngInfo()
    for keyword, value in (text or {}).items():
        info.add_text(keyword, value)
    with atomic_file(path) as temporary:
        to_pil(image).save(temporary, format="PNG", pnginfo=info)


def read_text(path: str | Path) -> dict[str, str]:
    """The texts that a PNG carries, by keyword; none for other image formats. Raises ImageError as `open_image`."""
    with _reading(path, "") as image:
        return {str(k): str(v) for k, v in image.text.items()} if isinstance(image, PngImageFile) else {}
