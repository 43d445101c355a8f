"""The texts that a picture carries: chunks of a PNG, and what programs put into EXIF of JPEG and WebP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graph_runner.base.problems import Problem, WorkflowError

PARAMETERS = "parameters"
"""A1111's keyword, under which its EXIF comment is told, too."""
KEYWORDS = (PARAMETERS, "workflow", "prompt")
"""Of A1111, of ComfyUI and ours, and of ComfyUI."""
LONGEST = 2**23
"""Characters of all texts of a picture."""
_COMMENT, _EXIF = 0x9286, 0x8769
_CODES = {b"UNICODE\0": "utf-16-be", b"ASCII\0\0\0": "utf-8", b"\0" * 8: "utf-8"}


def carried_texts(path: Path) -> dict[str, str]:
    """The texts of a PNG, JPEG or WebP by keyword; none where there are none.

    Raises WorkflowError, naming the file, where it is no such picture, or carries more text than any program writes.
    """
    from PIL import Image, PngImagePlugin

    if not path.is_file():
        raise WorkflowError([Problem(f"there is no picture {path}", remedy="Check the path")])
    try:
        with Image.open(path, formats=["PNG", "JPEG", "WEBP"]) as image:
            if isinstance(image, PngImagePlugin.PngImageFile):
                # What stands before the pixels is known by now; for what follows them they would all be decoded.
                texts = _strings(image.info)
                texts = texts if not texts.keys().isdisjoint(KEYWORDS) else _strings(image.text)
            else:
                texts = _of_exif(image.getexif())
    except (
        Exception
    ) as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, bombs and others
        raise WorkflowError([Problem(f"cannot read the picture {path}: {error or type(error).__name__}")]) from error
    if sum(map(len, texts.values())) > LONGEST:
        raise WorkflowError([Problem(f"{path} carries more than {LONGEST >> 20} million characters of text, which no program writes")])  # fmt: skip
    return texts


def _strings(info: Mapping[Any, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in info.items() if isinstance(value, str)}


def _of_exif(exif: object) -> dict[str, str]:
    """A1111's comment, and ComfyUI's texts, which lie in the camera's tags as "prompt:…" and "workflow:…"."""
    from PIL import Image

    assert isinstance(exif, Image.Exif)
    texts: dict[str, str] = {}
    for value in exif.values():
        if isinstance(value, str) and value.startswith(("prompt:", "workflow:")):
            key, _, text = value.partition(":")
            texts.setdefault(key, text.rstrip("\0"))
    comment = exif.get_ifd(_EXIF).get(_COMMENT)
    if isinstance(comment, bytes):
        comment = comment[8:].decode(_CODES.get(comment[:8], "utf-8"), errors="replace")
    if isinstance(comment, str) and (comment := comment.strip("\0 ")):
        texts[PARAMETERS] = comment
    return texts
