"""What a file is by its first bytes, where it is no file of weights at all: a page, a picture, an archive, another program's model."""

from __future__ import annotations

import re
from typing import NamedTuple

HEAD = 512
"""How many bytes are looked at; a tar archive says so at byte 257."""

AGAIN = "the download gave this in the model's place. Download the file itself, signed in where its page asks for it"
UNPACK = "unpack it and give the model file in it"
NOT_READ = "it is not read here, so get the model as safetensors"


class Magic(NamedTuple):
    """What begins so. at: the byte where the pattern is looked for. name: with its article. advice: what to do instead."""

    pattern: bytes
    name: str
    advice: str
    at: int = 0


MAGIC = (
    Magic(rb"GGUF", "a GGUF file (quantised weights for llama.cpp and ComfyUI-GGUF)", NOT_READ),
    Magic(rb"(lmgg|tjgg|fmgg)", "a GGML file (quantised weights, before GGUF)", NOT_READ),
    Magic(rb"\x89HDF\r\n", "a Keras or TensorFlow file (HDF5)", NOT_READ),
    Magic(rb"TFL3", "a TensorFlow Lite file", NOT_READ, at=4),
    Magic(rb"ftrt", "a TensorRT engine", NOT_READ),
    Magic(rb"\x08[\x01-\x20](\x12[\x01-\x20][ -~]{3}|[\x1a\x22\x3a])", "an ONNX file", NOT_READ),
    Magic(rb"\x93NUMPY", "a NumPy array", NOT_READ),
    Magic(rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype\s+html|html|head|body)", "an HTML page, not a model", AGAIN),
    Magic(rb"(\xef\xbb\xbf)?\s*<\?xml", "an XML text, not a model", AGAIN),
    Magic(rb"version https://git-lfs", "a Git LFS pointer, not the file itself", "run `git lfs pull` beside it"),
    Magic(rb"\x89PNG\r\n", "a PNG picture, not a model", "give the model; a workflow in it opens by dropping it on the canvas"),
    Magic(rb"\xff\xd8\xff", "a JPEG picture, not a model", "give the model that lies beside it"),
    Magic(rb"RIFF....WEBP", "a WebP picture, not a model", "give the model that lies beside it"),
    Magic(rb"GIF8", "a GIF picture, not a model", "give the model that lies beside it"),
    Magic(rb"....ftyp", "a video, not a model", "give the model that lies beside it"),
    Magic(rb"%PDF", "a PDF, not a model", "give the model"),
    Magic(rb"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    Magic(rb"Rar!", "a RAR archive", UNPACK),
    Magic(rb"\x1f\x8b", "a gzip archive", UNPACK),
    Magic(rb"BZh[1-9]", "a bzip2 archive", UNPACK),
    Magic(rb"\xfd7zXZ\x00", "an xz archive", UNPACK),
    Magic(rb"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    Magic(rb"ustar", "a tar archive", UNPACK, at=257),
    Magic(rb"(\xef\xbb\xbf)?\s*[\[{]\s*(\"|\{|\[|\]|\})", "a JSON text, not weights", "give the file of weights that lies beside it"),
    Magic(rb"\x00{64}", "a file that begins with nothing but zeros: a download that did not end", "download it again"),
    Magic(rb"(#[^\n]*\n|\s)*[A-Za-z_][\w ]*:\s", "a yaml text, not weights", "give the file of weights that lies beside it"),
    Magic(rb"[\t\n\r -~]{48}", "a text, not a model", AGAIN),
)  # fmt: skip


def told_by_magic(head: bytes) -> tuple[str, str] | None:
    """What a file of these first bytes is, with its article, and what to do; None where they say nothing."""
    if not head:
        return "an empty file", "download it again"
    for each in MAGIC:
        if re.compile(each.pattern, re.DOTALL).match(head, each.at):
            return each.name, each.advice
    return None
