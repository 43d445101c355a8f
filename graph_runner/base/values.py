"""The content of plain values and tensors, hashed: what tells whether a value that a program gives is the same as before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graph_runner.base.contents import all_files, hash_of


def content_hash(value: Any) -> str | None:
    """A hash of all that a value holds; None where it holds anything but tensors, JSON values, paths of what files hold, and
    lists and mappings of them. An object of another class may say what it holds by a method `content_key`, which gives such a value."""
    digest = hashlib.sha256()
    try:
        for part in _parts(value):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    except TypeError:
        return None
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[bytes | memoryview]:
    """A value as pieces that no other value gives. Raises TypeError for what has no content that can be seen."""
    if isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized:
        yield f"tensor {value.dtype} {tuple(value.shape)}".encode()
        plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        yield plain.reshape(-1).view(torch.uint8).numpy().data
    elif isinstance(value, Path):
        for name, file in sorted(all_files(value).items()):
            yield name.encode(errors="surrogateescape")
            yield hash_of(file).encode()
    elif value is None or type(value) in (bool, int, float, str):
        yield f"{type(value).__name__} {value!r}".encode(errors="surrogatepass")
    elif type(value) in (list, tuple):
        yield f"{type(value).__name__} {len(value)}".encode()
        for item in value:
            yield from _parts(item)
    elif isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections", "types"):
        yield f"mapping {len(value)}".encode()
        for key, item in value.items():
            yield from _parts(key)
            yield from _parts(item)
    elif not isinstance(value, type) and callable(told := getattr(type(value), "content_key", None)):
        yield f"object {type(value).__qualname__}".encode()
        yield from _parts(told(value))
    else:
        raise TypeError(type(value).__name__)
