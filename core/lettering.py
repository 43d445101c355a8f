"""Texts drawn into pictures, in any script: Pillow's own font where it has the letters, else one that has them all.

The second is UnifontEX 1.2 (stgiga, after GNU Unifont; SIL Open Font License, `fonts/LICENSE`): a pixel font that covers the
scripts in use, for Pillow's default holds little more than ASCII and a bare machine has no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIZE = 12
_WIDE_SIZE = 16  # pixels that a letter of the second font is drawn in
_EVERY_SCRIPT = Path(__file__).parent / "fonts" / "unifontex.woff2"
_NO_LETTER = "\uffff"  # drawn as any letter is that a font lacks

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def strips(texts: Sequence[str], width: int) -> list[Image.Image]:
    """Black on white strips, `width` pixels wide, a text in each; all as high as the longest text needs."""
    fonts = [_font_for(text) for text in texts]
    wrapped = [_wrap(text, font, width) for text, font in zip(texts, fonts, strict=True)]
    height = max(len(lines) * _line(font) for lines, font in zip(wrapped, fonts, strict=True)) + 4
    return [_strip(lines, font, width, height) for lines, font in zip(wrapped, fonts, strict=True)]


def _strip(lines: list[str], font: Font, width: int, height: int) -> Image.Image:
    strip = Image.new("RGB", (width, height), "white")
    pen, text = ImageDraw.Draw(strip), "\n".join(lines)
    pen.multiline_text((width / 2, 1), text, fill="black", font=font, anchor="ma", align="center")
    return strip


@cache
def _plain() -> Font:
    return ImageFont.load_default(SIZE)


@cache
def _every_script() -> Font:
    return ImageFont.truetype(_EVERY_SCRIPT, _WIDE_SIZE)


def _font_for(text: str) -> Font:
    return _plain() if all(character.isspace() or _has(character) for character in text) else _every_script()


@cache
def _has(character: str) -> bool:
    """Whether Pillow's own font has this letter."""
    if character.isascii():
        return True
    return bytes(_plain().getmask(character)) != bytes(_plain().getmask(_NO_LETTER))


def _wrap(text: str, font: Font, width: int) -> list[str]:
    """Lines no longer than the width, broken between words, and within one that is longer."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def _line(font: Font) -> int:
    return (SIZE if font is _plain() else _WIDE_SIZE) + 4
