"""What is wrong with a workflow, said so that a person can mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

MOST_PROBLEMS = 1000
"""Who has that many is helped by none further, and finding remedies for a million takes hours."""


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


_MOST_COMPARED = 200  # words by their letters, which takes microseconds each


class TooManyProblemsError(Exception):
    """So many problems were found that the search has ended."""


class Problems(list[Problem]):
    """Problems as they are found. The one after MOST_PROBLEMS says that there are more, and ends the search."""

    def append(self, problem: Problem) -> None:
        """Note one. Raises TooManyProblemsError where there are too many by now."""
        if len(self) >= MOST_PROBLEMS:
            if len(self) == MOST_PROBLEMS:
                super().append(Problem("and more is wrong than is told here", remedy="Mend what is told first"))
            raise TooManyProblemsError
        super().append(problem)

    def extend(self, problems: Iterable[Problem]) -> None:
        """Note several, as `append` does."""
        for problem in problems:
            self.append(problem)

    def __iadd__(self, problems: Iterable[Problem]) -> Problems:  # type: ignore[override,misc]
        self.extend(problems)
        return self


class WorkflowError(ValueError):
    """A workflow cannot be read, validated or compiled; `problems` holds everything found, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy: the closest known words, or the whole short list."""
    words = list(known)
    if len(words) > _MOST_COMPARED:
        words = [each for each in words if each[:1] == word[:1]][:_MOST_COMPARED]
    words.sort()
    close = difflib.get_close_matches(word, words, n=3, cutoff=0.5)
    if close:
        return "Did you mean " + " or ".join(repr(match) for match in close) + "?"
    if words and len(words) <= 12:
        return "It can be " + ", ".join(repr(match) for match in words)
    return ""


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def shortened(text: str, most: int = 60, quoted: bool = True) -> str:
    """A text from a file as a message may hold it: quoted, one line, no longer than a person reads."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return repr(cut) if quoted else cut
