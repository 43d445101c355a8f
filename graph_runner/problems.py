"""What is wrong with a workflow, said so that a person can mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Problem:
    """One thing to mend: where (node and port, empty when the file as a whole is meant), what, and how."""

    message: str
    node: str = ""
    port: str = ""
    remedy: str = ""
    severity: str = "error"  # or "warning"

    def __str__(self) -> str:
        where = ".".join(part for part in (self.node, self.port) if part)
        text = f"{where}: {self.message}" if where else self.message
        return f"{text}. {self.remedy}" if self.remedy else text

    def to_json(self) -> dict[str, str]:
        """The problem as a JSON object."""
        return asdict(self)


class WorkflowError(ValueError):
    """A workflow cannot be read, validated or compiled; `problems` holds everything found, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy: the closest known words, or the whole short list."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=3, cutoff=0.5)
    if close:
        return "Did you mean " + " or ".join(repr(match) for match in close) + "?"
    if words and len(words) <= 12:
        return "It can be " + ", ".join(repr(match) for match in words)
    return ""
