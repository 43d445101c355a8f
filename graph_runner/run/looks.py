"""What a run gave, as a notebook shows it: values that have looks as pictures, the others in words, and the files shown."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from graph_runner.base.events import Shown
from graph_runner.contract import PortType

MOST_FILES = 8
MOST_BYTES = 4 * 2**20
"""Of a file that a notebook is to hold."""


def drawn(values: Mapping[str, Any], types: Mapping[str, PortType]) -> dict[str, bytes]:
    """The values that have looks, as PNG; one that cannot be drawn, because it holds no numbers, is left out."""
    found: dict[str, bytes] = {}
    for name, value in values.items():
        kind = types.get(name)
        if kind is None or kind.many or kind.wire is None or kind.wire.draw is None:
            continue
        try:
            picture = kind.wire.draw(value)
        except (ArithmeticError, ValueError, RuntimeError):
            continue
        file = io.BytesIO()
        picture.save(file, "PNG")
        found[name] = file.getvalue()
    return found


def html(
    status: str, values: Mapping[str, Any], types: Mapping[str, PortType], shown: Sequence[Shown], workspace: Path
) -> str:
    """A run as HTML that needs no other file."""
    pictures = drawn(values, types)
    rows = [
        f"<tr><th>{escape(name)}</th><td>{_image(pictures[name], 'image/png') if name in pictures else escape(told(value))}</td></tr>"
        for name, value in values.items()
    ]
    files = [file for file in shown if file.media.startswith("image/")]
    for file in files[-MOST_FILES:]:
        path = workspace / file.path
        if path.is_file() and path.stat().st_size <= MOST_BYTES:
            rows.append(f"<tr><th>{escape(path.name)}</th><td>{_image(path.read_bytes(), file.media)}</td></tr>")
    if len(files) > MOST_FILES:
        rows.append(f"<tr><th></th><td>and {len(files) - MOST_FILES} files before these</td></tr>")
    return f"<div><p>Latent Loom: {escape(status)}</p><table>{''.join(rows)}</table></div>"


def told(value: Any) -> str:
    """What a value is, in a few words."""
    if isinstance(value, Tensor):
        return (
            f"tensor {' × '.join(map(str, value.shape)) or 'of one number'}, {str(value.dtype).removeprefix('torch.')}"
        )
    if isinstance(value, nn.Module):
        return f"{type(value).__name__}, {sum(each.numel() for each in value.parameters()):,} parameters"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 200 else text[:199] + "…"


def _image(data: bytes, media: str) -> str:
    return f'<img src="data:{escape(media)};base64,{base64.b64encode(data).decode()}" style="max-width: 100%">'
