"""The modules that exported functions come from, as texts: what their names are, and where in the text each part stands."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef | ast.Assign | ast.AnnAssign


class UnreadableError(ValueError):
    """Code that cannot be copied; the message says whose and why."""


class Imported(NamedTuple):
    """A name that a module imports: `import module`, or `from module import name`."""

    module: str
    name: str = ""


class Defined(NamedTuple):
    """A name that a module defines."""

    module: str
    name: str


class Source(NamedTuple):
    """A module's text, and what its names at the top are: definitions, or where they are imported from."""

    text: bytes
    starts: list[int]
    defined: dict[str, Definition]
    imported: dict[str, Imported]

    def offset(self, line: int, column: int) -> int:
        """Where in the text a position of `ast` lies."""
        return self.starts[line - 1] + column

    def span(self, item: Any) -> tuple[int, int]:
        """Where in the text an item of `ast` begins and ends."""
        return self.offset(item.lineno, item.col_offset), self.offset(item.end_lineno, item.end_col_offset)

    def cut(self, item: Any) -> str:
        """An item's text."""
        begin, end = self.span(item)
        return self.text[begin:end].decode()


def home(imported: Imported) -> str:
    """The module that an import leads to: what is imported may be one itself."""
    inner = f"{imported.module}.{imported.name}"
    return inner if imported.name and is_module(inner) else imported.module


def is_module(name: str) -> bool:
    """Whether there is a module of this name."""
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def source_of(module: str) -> Source:
    """A module's text, read. Raises UnreadableError where no file holds it."""
    try:
        text = inspect.getsource(importlib.import_module(module))
    except (OSError, TypeError, ImportError) as error:
        raise UnreadableError(f"{module} has no file with its source; put its functions into a module") from error
    return _read(text, module)


def _read(text: str, module: str) -> Source:
    data = text.encode()
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    defined: dict[str, Definition] = {}
    imported: dict[str, Imported] = {}
    tree = ast.parse(data)
    package = bool(getattr(sys.modules.get(module), "__path__", None))
    for item in ast.walk(tree):
        if isinstance(item, ast.Import):
            for alias in item.names:
                name = alias.asname or alias.name.partition(".")[0]
                imported[name] = Imported(alias.name if alias.asname else name)
        elif isinstance(item, ast.ImportFrom) and item.module != "__future__":
            base = item.module or ""
            if item.level:
                around = module.split(".") if package else module.split(".")[:-1]
                base = ".".join([*around[: len(around) - item.level + 1], *filter(None, [item.module])])
            for alias in item.names:
                imported[alias.asname or alias.name] = Imported(base, alias.name)
    for item in tree.body:
        if isinstance(item, Function | ast.ClassDef):
            defined[item.name] = item
        elif isinstance(item, ast.Assign | ast.AnnAssign):
            targets = item.targets if isinstance(item, ast.Assign) else [item.target]
            for target in targets:
                defined |= {part.id: item for part in ast.walk(target) if isinstance(part, ast.Name)}
    return Source(data, starts, defined, imported)


def lambda_of(source: Source, code: CodeType) -> ast.Lambda | None:
    """Where in a module's text the lambda of this code stands: the one whose body spans all that the code came from."""
    begins: list[tuple[int, int]] = []
    ends: list[tuple[int, int]] = []
    for line, last, column, end in code.co_positions():
        if (
            line is not None
            and last is not None
            and column is not None
            and end is not None
            and (line, column) < (last, end)
        ):
            begins.append((line, column))  # what only enters and returns came from nowhere
            ends.append((last, end))
    for part in ast.walk(ast.parse(source.text)) if begins else ():
        if isinstance(part, ast.Lambda):
            body = part.body
            if (body.lineno, body.col_offset) == min(begins) and (body.end_lineno, body.end_col_offset) == max(ends):
                return part
    return None


def first_line(item: Function | ast.ClassDef) -> Iterator[ast.AST]:
    """All that belongs to the first line of a function or class, which is written anew."""
    if isinstance(item, ast.ClassDef):
        parts: list[ast.AST] = [*item.bases, *item.keywords]
    else:
        parts = [item.args, *filter(None, [item.returns])]
    for part in parts:
        yield from ast.walk(part)


def bound_in(item: Definition) -> Iterator[str]:
    """The names that are bound inside of a function or class."""
    if isinstance(item, ast.Assign | ast.AnnAssign):
        yield from (part.arg for part in ast.walk(item) if isinstance(part, ast.arg))  # of a lambda
        return
    for part in ast.walk(item):
        if isinstance(part, ast.arg):
            yield part.arg
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id
        elif isinstance(part, ast.alias):
            yield part.asname or part.name.partition(".")[0]
        elif isinstance(part, Function | ast.ClassDef | ast.ExceptHandler) and part is not item and part.name:
            yield part.name
