"""The JSON that describes what a folder of ours holds, and vouches for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.checkpoints.files import CheckpointError
from core.checkpoints.seals import check_seals, seals
from core.checkpoints.weights import read_json
from core.checksums import sealed, unsealed


def write_description(path: Path, content: dict[str, Any]) -> None:
    """Write the JSON of a folder that is otherwise complete, with checksums of itself and of all beside it."""
    content = sealed({**content, "files": seals(path.parent)})
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_description(path: Path) -> dict[str, Any]:
    """The JSON of a folder. Raises CheckpointError where it, or what lies beside it, is not what was written."""
    try:
        content = unsealed(read_json(path))
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); copy the whole folder again.") from error
    except ValueError as error:
        raise CheckpointError(
            f"{path}: {error}. Copy it anew; where it was changed on purpose, delete its line crc32."
        ) from error
    check_seals(path.parent, content.get("files", {}))
    return content
