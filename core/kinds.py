"""Classes by the name that files know them under: a table of our own ones, which other packages' join."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=type)


class Kinds(Mapping[str, type[T]]):
    """A table of classes. A file names one of them; what is not listed is not found, and nothing is ever imported for a file.

    A class of another package is marked (`kind = TABLE.mark(kind)`, as a decorator), which changes nothing by itself. It is
    listed once that package is scanned for nodes: whoever scans calls `add` for the classes that carry `__listed_in__`.

    what: what these classes are, for messages. name: a class' name in files. ours: the classes that are always there.
    """

    def __init__(self, what: str, name: Callable[[type[T]], str], ours: Iterable[type[T]] = ()) -> None:
        self.what, self._name = what, name
        self._kinds = {name(kind): kind for kind in ours}

    def mark(self, kind: K) -> K:
        """Mark a class as one to be listed here; a class decorator."""
        self._name(kind)  # raises where it has none
        kind.__listed_in__ = self  # type: ignore[attr-defined]
        return kind

    def name_of(self, kind: type[T]) -> str:
        """What files call a class."""
        return self._name(kind)

    def add(self, kind: type[T]) -> None:
        """List a class, once or again. Raises ValueError where another class has its name."""
        name = self._name(kind)
        known = self._kinds.setdefault(name, kind)
        if (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
            raise ValueError(
                f"two kinds of {self.what} are called {name!r}: in {known.__module__} and in {kind.__module__}; rename one"
            )
        self._kinds[name] = kind

    def find(self, name: str) -> type[T]:
        """The class of this name. Raises ValueError, naming those that are there, where none is."""
        if name not in self._kinds:
            raise ValueError(
                f"no {self.what} is called {name!r:.60}; there are {', '.join(self._kinds)}. Name the package that brings it (--nodes)"
            )
        return self._kinds[name]

    def holds(self, kind: type) -> bool:
        """Whether this very class is listed."""
        return self._kinds.get(self._name(kind)) is kind

    def __getitem__(self, name: str) -> type[T]:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)
