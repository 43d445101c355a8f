"""The hash of all code that a node's function can reach within its own project.

Statically, and no further than the function's own names lead: of the node's module only what the function uses, of every
module that those names come from the whole, and of what that imports, and so on. Comments, docstrings, annotations and
layout are left out, so that a wire type's new description changes nothing.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ENGINE = "graph_runner"  # its code moves values about and does not change what a node computes
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


def source_hash(function: Callable[..., Any]) -> str:
    """The hash of a function's code and of all it reaches within its project."""
    return _hash_of(function.__module__, function.__name__)


@cache
def _hash_of(module: str, function: str) -> str:
    root, package = project_of(module), module.partition(".")[0]
    alone = root is not None and root.name in ("site-packages", "dist-packages")  # what lies beside it is others' work
    own, todo = _used(module, function, _file_of(module, root))
    found = _reached(todo, root, lambda name: name == module or (alone and name.partition(".")[0] != package))
    return hashlib.sha256(json.dumps([own, sorted(found.items())]).encode()).hexdigest()


def is_in_file(function: Callable[..., Any]) -> bool:
    """Whether a function stands at the top of a module's file: then that file tells what it is. The engine's own only move values."""
    module = function.__module__
    if module.partition(".")[0] == ENGINE:
        return True
    if module == "__main__" or function.__name__ != function.__qualname__:
        return False
    return _file_of(module, project_of(module)) is not None


def reached(module: str) -> dict[str, str]:
    """A module's source and that of all it imports within its project, hashed, by name; nothing of an installed library."""
    root = project_of(module)
    if (
        root is None
        or root.name in ("site-packages", "dist-packages")
        or module.partition(".")[0] in sys.stdlib_module_names
    ):
        return {}
    return _reached([module], root, lambda _: False)


def _reached(todo: list[str], root: Path | None, passed_over: Callable[[str], bool]) -> dict[str, str]:
    found: dict[str, str] = {}
    while todo:
        name = todo.pop()
        if name in found or passed_over(name) or name.partition(".")[0] == ENGINE:
            continue
        path = _file_of(name, root)
        if path is None:
            continue
        found[name], imports = _read_module(path, name)
        todo += imports
    return found


def project_of(module: str) -> Path | None:
    """The folder that the module's top package lies in: its project, or site-packages."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return None if file is None else Path(file).parents[module.count(".") + (Path(file).name == "__init__.py")]


def _file_of(module: str, root: Path | None) -> Path | None:
    if root is None:
        return None
    base = root.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _used(module: str, function: str, path: Path | None) -> tuple[list[str], list[str]]:
    """What a function uses of its own module, normalised, and the modules that the rest of its names come from."""
    if path is None:
        return [function], []
    tree = without_words(ast.parse(path.read_text()))
    defined: dict[str, Definition] = {}
    imported: dict[str, list[str]] = {}
    for item in tree.body:
        if isinstance(item, ast.Import | ast.ImportFrom):
            imported.update(_imports(item, module, path))
        elif isinstance(item, Definition):
            for name in _names_of(item):
                defined[name] = item
            _under_first_name(item)
    own: dict[str, str] = {}
    modules: list[str] = []
    todo = [function]
    while todo:
        name = todo.pop()
        if name in imported:
            modules += imported[name]
        elif name in defined and name not in own:
            own[name] = ast.dump(defined[name])
            todo += [part.id for part in ast.walk(defined[name]) if isinstance(part, ast.Name)]
    for part in (part for name in own for part in ast.walk(defined[name])):
        if isinstance(part, ast.Import | ast.ImportFrom):  # an import inside of a function
            modules += [m for _, found in _imports(part, module, path) for m in found]
    return sorted(own.values()), modules


def _under_first_name(item: Definition) -> None:
    """A node that was renamed (`formerly` of its decorator) reads as it did before, so that its new name is no change."""
    for decorator in getattr(item, "decorator_list", []):
        for keyword in list(getattr(decorator, "keywords", [])):
            if keyword.arg == "formerly":
                decorator.keywords.remove(keyword)
                former = [part.value for part in ast.walk(keyword.value) if isinstance(part, ast.Constant)]
                if former and isinstance(item, ast.FunctionDef):
                    item.name = str(former[0])


def _names_of(item: Definition) -> Iterator[str]:
    if isinstance(item, ast.Assign | ast.AnnAssign):
        targets = item.targets if isinstance(item, ast.Assign) else [item.target]
        yield from (part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
    else:
        yield item.name


@cache
def _read_module(path: Path, name: str) -> tuple[str, list[str]]:
    """A whole module's normalised source, hashed, and the modules it imports by name."""
    tree = without_words(ast.parse(path.read_text()))
    items = [item for item in ast.walk(tree) if isinstance(item, ast.Import | ast.ImportFrom)]
    imports = [module for item in items for _, modules in _imports(item, name, path) for module in modules]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports


def _imports(item: ast.Import | ast.ImportFrom, module: str, path: Path) -> Iterator[tuple[str, list[str]]]:
    """The names an import binds, and the modules each may come from (a name may itself be a module)."""
    if isinstance(item, ast.Import):
        for alias in item.names:
            yield alias.asname or alias.name.partition(".")[0], [alias.name]
        return
    base = item.module or ""
    if item.level:
        package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        base = ".".join([*package[: len(package) - item.level + 1], *filter(None, [item.module])])
    for alias in item.names:
        yield alias.asname or alias.name, [base, f"{base}.{alias.name}"]


def without_words(tree: ast.Module) -> ast.Module:
    """Take docstrings, annotations and the words by which nodes are found out of a module."""
    for item in ast.walk(tree):
        if isinstance(item, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = item.body[0] if item.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                item.body = item.body[1:] or [ast.Pass()]
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            item.returns = None
            for decorator in item.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).rpartition(".")[2] == "node":
                    decorator.keywords = [keyword for keyword in decorator.keywords if keyword.arg != "words"]
        elif isinstance(item, ast.arg):
            item.annotation = None
        elif isinstance(item, ast.AnnAssign):
            item.annotation = ast.Constant(None)
    return tree
