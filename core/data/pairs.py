"""Two folders whose pictures belong together by name: images, and their masks or semantic maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from core.data.captions import is_caption, read_lines
from core.data.picture_files import listed, text_of
from core.images import image_size, open_coloured_map, open_map, open_mask, open_sized

Palette = Sequence[tuple[int, int, int]]

_NAMED = 3


class PairedFolders:
    """The images below one folder with the pictures of the same path below another, whatever their suffixes.

    kind: "mask" reads the others as masks, bright where marked (or erased, where they have transparency), "segmentation" as semantic
        maps: greys or indices of their own palette are class numbers; with `palette`, the place of a colour in it is.
    palette: colours as red, green, blue. ignore: the class of colours that are not in it; −1 refuses them.

    An image may have a caption in a text file beside it. Images without a partner are named in `remarks` and left out.
    Raises ValueError where no image has a partner, or two partners have its name.
    """

    classes: tuple[str, ...] = ()

    def __init__(
        self,
        images: str | Path,
        others: str | Path,
        kind: Literal["mask", "segmentation"],
        palette: Palette = (),
        ignore: int = -1,
    ) -> None:
        self.images, self.others, self.kind = Path(images), Path(others), kind
        self.palette, self.ignore = tuple(map(tuple, palette)), ignore
        found, partners = listed(self.images).files, _by_stem(self.others)
        pictures = [name for name in found if not is_caption(name)]
        self._pairs = [(name, partners[_stem(name)]) for name in pictures if _stem(name) in partners]
        self._texts = {name: text for name, _ in self._pairs if (text := text_of(name, found)) is not None}
        self.remarks: list[str] = []
        if not self._pairs:
            raise ValueError(
                f"{self.images}: none of its {len(pictures)} images has a picture of the same name in {self.others}"
            )
        if alone := [name for name in pictures if _stem(name) not in partners]:
            more = f" and {len(alone) - _NAMED} more" if len(alone) > _NAMED else ""
            self.remarks.append(f"without a {kind}, left out: {', '.join(alone[:_NAMED])}{more}")

    def __len__(self) -> int:
        return len(self._pairs)

    def name(self, i: int) -> str:
        """The image's path below its folder."""
        return self._pairs[i][0]

    def size(self, i: int) -> tuple[int, int]:
        """Width and height of image i, upright, from its header."""
        return image_size(self.images / self.name(i))

    def record(self, i: int, at_least: int | None = None) -> dict[str, Any]:
        """Pair i; see `core.data.pictures.Pictures`. Raises ValueError where the two are of different shapes."""
        name, partner = self._pairs[i]
        image, size = open_sized(self.images / name, at_least)
        record: dict[str, Any] = {"image": image, "size": size}
        file = self.others / partner
        if self.kind == "mask":
            mask = record["mask"] = open_mask(file)
            other = mask.size
        else:
            coloured = [tuple(colour) for colour in self.palette]
            classes = open_coloured_map(file, coloured, self.ignore) if coloured else open_map(file)  # type: ignore[arg-type]
            record["segmentation"], other = classes, classes.shape[::-1]
        if abs(other[0] * size[1] - other[1] * size[0]) > max(*other, *size):  # more than a pixel
            raise ValueError(
                f"{file}: {other[0]} × {other[1]} pixels are of another shape than {name}'s {size[0]} × {size[1]}"
            )
        text = self._texts.get(name)
        return record | ({"caption": read_lines(self.images / text) if text else []} if self._texts else {})

    def column(self, name: str) -> None:
        """Nothing is known without decoding."""


def image_and_caption_files(folder: Path) -> dict[str, Path]:
    """What `PairedFolders` reads of the images' folder: no tables."""
    found = listed(folder).files
    pictures = {name for name in found if not is_caption(name)}
    texts = {text_of(name, found) for name in pictures}
    return {name: file for name, file in found.items() if (name in pictures or name in texts) and file.exists()}


def partner_files(folder: Path) -> dict[str, Path]:
    """What `PairedFolders` reads of the other folder: pictures alone."""
    return {name: file for name, file in listed(folder).files.items() if not is_caption(name) and file.exists()}


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _by_stem(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in partner_files(folder):
        if (other := found.setdefault(_stem(name), name)) != name:
            raise ValueError(f"{folder}: {other} and {name} have one name, and only one of them can be the partner")
    return found
