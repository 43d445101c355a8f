"""The headers that say what a browser may do with an answer: one decision, for every answer there is.

A page of ours runs the scripts we serve; what lies in the workspace may be a page of anybody's, and runs none; everything
else is data.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable

ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
DATA = "default-src 'none'; frame-ancestors 'none'"
FILE = (
    "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'; "
    "frame-ancestors 'self'"
)
OURS = (
    "default-src 'self'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'self'"
)
LOGIN = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"


class Policy:
    """Which headers an answer gets, by the path below the server's prefix. page: the canvas' index.html, "" where there is none."""

    def __init__(self, page: str = "") -> None:
        scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
        self._page = OURS.format(hashes="".join(f" '{_hash(script)}'" for script in scripts))

    def __call__(self, path: str) -> Iterable[tuple[str, str]]:
        """The headers of an answer."""
        yield from ALWAYS.items()
        yield "content-security-policy", self._content(path)
        if is_file(path):
            yield "cache-control", "no-cache"

    def _content(self, path: str) -> str:
        if is_file(path):
            return FILE
        if path == "/" or path.startswith("/assets/"):
            return self._page
        return DATA


def is_file(path: str) -> bool:
    """Whether a path leads to what lies in the workspace, whichever door serves it."""
    return path.startswith(("/files/", "/thumbnails/")) or "/gradio_api/file" in path


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
