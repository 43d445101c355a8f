"""The checkpoints of a run's trainings, found by the run's folder: what a training may begin with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path


def checkpoints_of(path: Path) -> dict[str, list[Path]]:
    """The newest checkpoint of each training that a run did, by the training zone's id: one for each of its settings.

    path: the run's folder, in a workspace; or a checkpoint's, which stands for itself, under no id. Raises ValueError where it is neither.
    """
    if (path / "tree.json").is_file():
        return {"": [path]}
    try:
        known: dict[str, list[str]] = json.loads((path / "checkpoints.json").read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no run that trained anything, and no checkpoint") from error
    folder = path.parents[1] / "checkpoints"
    found = {
        zone: [_newest(folder / lineage) for lineage in dict.fromkeys(lineages)] for zone, lineages in known.items()
    }
    return {zone: [each for each in newest if each is not None] for zone, newest in found.items()}


def checksums_of(path: Path) -> Mapping[str, Path]:
    """What stands for the gigabytes of these checkpoints in keys: the files that hold their checksums."""
    found = checkpoints_of(path)
    return {f"{zone}/{at.parent.name}": at / "tree.json" for zone, newest in found.items() for at in newest}


def checkpoint_of(path: Path, zone: str) -> Path:
    """The one checkpoint that is meant: of the training of this id, or the only one. Raises ValueError, with what there is, elsewhere."""
    found = checkpoints_of(path)
    newest = found.get("") or found.get(zone) or (next(iter(found.values())) if len(found) == 1 else None)
    if newest is None:
        raise ValueError(
            f"{path.name} trained {', '.join(found)}, and none is called {zone}; name the folder of a checkpoint"
        )
    if len(newest) != 1:
        told = f"{len(newest)} times, with other settings each" if newest else "and its checkpoints are gone"
        raise ValueError(f"{path.name} trained {zone} {told}; name the folder of a checkpoint (checkpoints/…/step-N)")
    return newest[0]


def _newest(lineage: Path) -> Path | None:
    steps = [int(named[1]) for each in lineage.glob("step-*") if (named := re.fullmatch(r"step-(\d+)", each.name))]
    return lineage / f"step-{max(steps)}" if steps else None
