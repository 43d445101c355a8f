"""The start page's pictures of shipped workflows: `python -m ui.thumbnails`, after a picture in docs/pictures changed.

A picture NAME.png of the documentation becomes workflows/NAME.webp, small, beside NAME.json. So it is part of the package,
and the server finds it as it finds the picture of anybody's workflow.
"""

from __future__ import annotations

from pathlib import Path

from graph_runner.base.files import write_atomically
from ui.workspace import thumbnail

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 360
"""In pixels: what a card of the start page shows, on a screen of fine resolution."""


def pictures(root: Path = ROOT) -> dict[Path, Path]:
    """The documentation's pictures of shipped workflows, by the thumbnail that each becomes."""
    workflows = sorted((root / "workflows").glob("*.json"))
    found = {file.with_suffix(".webp"): root / "docs" / "pictures" / f"{file.stem}.png" for file in workflows}
    return {target: picture for target, picture in found.items() if picture.is_file()}


if __name__ == "__main__":
    for target, picture in pictures().items():
        write_atomically(target, thumbnail(picture, WIDTH))
        print(target.relative_to(ROOT), target.stat().st_size, "bytes")
