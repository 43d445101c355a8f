"""The hash of code that no file of a module holds: of a notebook's cells, a program that is being run, a function inside of another.

It follows what the function uses as it is in memory: functions and classes made in the same place by their text, modules of the project by
their files, other values by their content. Where one of these cannot be seen there is no hash, and nothing is kept of what such a node gives.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import linecache
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from graph_runner.base.values import content_hash
from graph_runner.compile.source import reached, without_words


class UnseenError(Exception):
    """Code, or a value that it uses, of which nobody can see what it holds; the message names it."""


def live_hash(function: Callable[..., Any]) -> str:
    """The hash of a function's code and of all it uses. Raises UnseenError where some of it cannot be seen."""
    parts: dict[str, str] = {}
    modules: set[str] = set()
    _follow(function, function.__qualname__, parts, modules, {})
    found = sorted(part for module in modules for part in reached(module).items())
    return hashlib.sha256(json.dumps([sorted(parts.items()), found]).encode()).hexdigest()


def _follow(item: Any, at: str, parts: dict[str, str], modules: set[str], seen: dict[int, str]) -> None:
    """Note a function's or class' text, and follow the values of the names that it uses.

    at: the names that led to it, for several may be called alike, as what one function makes twice. seen: where each was met first.
    """
    if id(item) in seen:
        parts[at] = f"as {seen[id(item)]}"
        return
    seen[id(item)] = at
    tree = _tree(item)
    for place in ast.walk(tree):  # a node's own mark is for the engine; what is computed does not depend on it
        if isinstance(place, ast.FunctionDef | ast.ClassDef) and place.name == item.__name__:
            place.decorator_list = [each for each in place.decorator_list if not _marks_node(each)]
    parts[at] = ast.dump(tree)
    names = {place.id for place in ast.walk(tree) if isinstance(place, ast.Name)} - {item.__name__}
    for name, value in _values(item, names):
        where = f"{at}.{name}"
        if isinstance(value, types.ModuleType):
            parts[where] = value.__name__
            modules.add(value.__name__)
        elif isinstance(value, types.FunctionType | type) and _is_live(value):
            _follow(value, where, parts, modules, seen)
        elif (module := getattr(value, "__module__", None)) and hasattr(value, "__qualname__"):
            parts[where] = f"{module}.{value.__qualname__}"
            modules.add(module)
        elif isinstance(value, typing.TypeVar) or typing.get_origin(value) is not None:
            continue  # a word for type checkers
        elif (content := content_hash(value)) is not None:
            parts[where] = content
        else:
            raise UnseenError(where)


def _is_live(value: Any) -> bool:
    """Whether something was made where no module's file tells of it."""
    file = getattr(sys.modules.get(value.__module__), "__file__", None)
    return file is None or value.__module__ == "__main__" or "<locals>" in value.__qualname__


def _marks_node(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func).rpartition(".")[2] == "node"


def _tree(item: Any) -> ast.Module:
    """The text of a function or class, read, without words for people."""
    try:
        text = _class_text(item) if isinstance(item, type) else inspect.getsource(item)
        return without_words(ast.parse(textwrap.dedent(text)))
    except (OSError, TypeError, SyntaxError) as error:
        raise UnseenError(item.__qualname__) from error


def _class_text(cls: type) -> str:
    """A class' text. A notebook's has no file to look in: its functions know the cell."""
    with_code = (value for value in vars(cls).values() if isinstance(value, types.FunctionType))
    for function in with_code:
        lines = linecache.getlines(function.__code__.co_filename)
        try:
            tree = ast.parse("".join(lines))
        except SyntaxError:
            continue
        for part in ast.walk(tree):
            if isinstance(part, ast.ClassDef) and part.name == cls.__name__:
                return ast.unparse(part)
    raise OSError(cls.__qualname__)


def _values(item: Any, names: set[str]) -> Iterator[tuple[str, Any]]:
    """What the names in a function or class stand for: of enclosing functions first, then of where it was made."""
    functions = [item] if isinstance(item, types.FunctionType) else []
    if isinstance(item, type):
        functions = [value for value in vars(item).values() if isinstance(value, types.FunctionType)]
    around: dict[str, Any] = {}
    top: Mapping[str, Any] = vars(sys.modules[item.__module__]) if item.__module__ in sys.modules else {}
    for function in functions:
        top = function.__globals__
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                around[name] = cell.cell_contents
            except ValueError:
                continue  # not made yet: the class itself, where a method says super()
    for name in sorted(names):
        if name in around or name in top:
            yield name, around.get(name, top.get(name))
