"""What a person reads where the disk refuses to be written to."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def sentence(error: OSError) -> str:
    """What a person reads where the disk refuses: what could not be written, why, what is safe and what to do."""
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    what, where = (path.name, path.parent) if path else ("a file", "the workspace")
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return (
                f"no room is left in {where} for {what}. What was saved before is safe, and nothing half-written stays;"
                " make room there (`clean --keep 10GB` forgets what can be computed again), then run it again"
            )
        case errno.EFBIG:
            return f"{what} is larger than a file may be in {where}; choose a workspace on another disk"
        case errno.EROFS:
            return f"{what} cannot be written: {where} can only be read; choose another workspace"
        case errno.EACCES | errno.EPERM:
            return f"no permission for {what} in {where}; change that, or choose another workspace"
        case errno.ENOTDIR | errno.EEXIST if path:
            file = next((each for each in (path, *path.parents) if os.path.lexists(each)), path)
            return f"{file} is in the way, where a folder should be; move it away"
        case errno.EISDIR if path:
            return f"{path} is a folder, where a file should be; move it away"
    return str(error)
