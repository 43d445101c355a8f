"""A request that the server does not do, with a sentence for people that says what to do instead."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import PurePath

from graph_runner.base.problems import WorkflowError
from ui.models import Problem, Refusal

FULL = (
    "there is no room left on the disk of the workspace; nothing was changed. Free some (python -m graph_runner clean)"
)


class RefusedError(Exception):
    """Carries the HTTP status, the sentence, and a wrong workflow's problems."""

    def __init__(self, status: int, error: str, problems: list[Problem] | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.problems = status, error, problems or []

    @classmethod
    def wrong(cls, error: WorkflowError) -> RefusedError:
        """The refusal of a workflow that cannot be read or run."""
        return cls(422, str(error), [Problem(**problem.to_json()) for problem in error.problems])  # type: ignore[arg-type]

    @classmethod
    def failed(cls, error: OSError | sqlite3.Error) -> RefusedError:
        """What the disk, or the ledger on it, did not let the server do."""
        if isinstance(error, sqlite3.Error):
            if "full" in str(error) or "disk I/O" in str(error):
                return cls(507, FULL)
            return cls(
                409, f"the server's memory (server.db) cannot be used: {error}. Restart the server to set it aside"
            )
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return cls(507, FULL)
        name = "the file" if error.filename is None else PurePath(str(error.filename)).name
        return cls(403 if error.errno in (errno.EACCES, errno.EPERM) else 400, f"{name}: {error.strerror or error}")

    def body(self) -> bytes:
        """The answer's body."""
        return Refusal(error=self.error, problems=self.problems).model_dump_json().encode()
