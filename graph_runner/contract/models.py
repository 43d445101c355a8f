"""Classes of models that files may name: a table built by the same scan as the nodes'.

A class that is marked has an attribute of its own, `__listed_in__`: the table of its library, which has a name for it. A name in
a file is looked up in a table, and nothing is ever imported because a file says so.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar


class Models(Mapping[str, type]):
    """Classes of modules by the names that files have for them. A node that saves or loads models of any kind asks for it."""

    __inject__: ClassVar[str] = "models"

    def __init__(self, classes: Mapping[str, type] | None = None) -> None:
        self._classes = dict(classes or {})

    def __getitem__(self, name: str) -> type:
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    @classmethod
    def of(cls, kinds: Iterable[type], carried: Iterable[type] = ()) -> Models:
        """The modules among these marked classes, and of those that wires carry the ones that need no mark.

        A model whose constructor takes no arguments needs none: there is nothing to remember, and its class' name will do.
        Raises ValueError for two classes of one name.
        """
        classes: dict[str, type] = {}
        for each in filter(is_module, kinds):
            name = vars(each)["__listed_in__"].name_of(each)
            other = classes.setdefault(name, each)
            if other is not each:
                raise ValueError(
                    f"two models are called {name!r}: in {other.__module__} and {each.__module__}; rename one of the classes, "
                    "or let its mark give it another name in files"
                )
        unnamed: dict[str, set[type]] = {}
        for each in carried:
            if not marked(each) and needs_no_arguments(each):
                unnamed.setdefault(each.__name__, set()).add(each)
        # Of several of one name none is meant: what a file holds must not depend on which package comes first.
        return cls({name: found.pop() for name, found in unnamed.items() if len(found) == 1} | classes)


def marked(cls: Any) -> bool:
    """Whether this is a class with a mark of its own: a subclass is another class."""
    return isinstance(cls, type) and "__listed_in__" in vars(cls)


def is_module(base: type | None) -> bool:
    """Whether values of this class are torch's modules; torch itself is not imported for that."""
    return base is not None and any(cls.__module__ == "torch.nn.modules.module" for cls in base.__mro__)


def needs_no_arguments(cls: type) -> bool:
    """Whether a module's class can be built again without anything that would have to be remembered."""
    if not is_module(cls) or _torchs_own(cls) or inspect.isabstract(cls):
        return False
    inherited = cls.__init__.__module__ == "torch.nn.modules.module"  # type: ignore[misc]  # whose `*args` are none
    return inherited or not inspect.signature(cls).parameters


def keepable(base: type) -> bool:
    """Whether the disk can keep modules of this class, as far as is known before there is one."""
    return _torchs_own(base) or marked(base) or needs_no_arguments(base) or any(map(keepable, base.__subclasses__()))


def _torchs_own(cls: type) -> bool:
    """A class that says nothing of what it will be on a wire: `nn.Module`."""
    return cls.__module__.partition(".")[0] == "torch"
