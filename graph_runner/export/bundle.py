"""Functions of nodes, copied from their sources so that a script can call them without the engine.

A module that imports the engine is a module of nodes: of it the script gets those definitions that it uses, without decorators and
annotations, which are for the engine. All other modules are libraries: the script imports them, as the copied code did.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from graph_runner.export.sources import (
    Defined,
    Definition,
    Function,
    Imported,
    Source,
    UnreadableError,
    bound_in,
    first_line,
    home,
    is_module,
    lambda_of,
    source_of,
)

ENGINE = "graph_runner"
STANDING_IN = "graph_runner.export.standing_in"
WIDTH = 120


class Bundle:
    """The definitions and imports of a script.

    instead: values, as Python writes them, of what stands in for the engine and is each script's own.
    """

    def __init__(self, instead: Mapping[str, str]) -> None:
        self.instead = dict(instead)
        self._names: dict[Imported | Defined, list[str]] = {}
        self._taken = {*keyword.kwlist, *dir(builtins)}
        self._copies: set[ast.AST] = set()
        self._sources: dict[str, Source] = {}
        self._inlined: dict[str, bool] = {}
        self._tops = {ENGINE}
        self.definitions: dict[Defined, str] = {}

    def add(self, value: Callable[..., Any] | type) -> str:
        """Take a function or class in, and all it uses. Returns what the script calls it. Raises UnreadableError."""
        module, name = value.__module__, value.__qualname__
        self._tops.add(module.partition(".")[0])
        if name == "<lambda>":
            return self._lambda(value)
        if not self._is_inlined(module):
            return self._name(Imported(module, name))
        if "." in name:
            raise UnreadableError(f"{name} in {module} is defined inside of a function; define it in a module")
        return self._name(self._resolve(module, name))

    def _lambda(self, value: Any) -> str:
        """A lambda that stands in a module, such as in a decorator: under a name of its parameters."""
        source, code = self._source(value.__module__), value.__code__
        found = lambda_of(source, code)
        if found is None:
            raise UnreadableError(f"{value.__module__} has a lambda that is not found in its text; make it a function")
        ref = Defined(value.__module__, f"lambda {found.lineno}:{found.col_offset}")
        if ref not in self._names:
            parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            name = self.reserve(f"needed_by_{'_and_'.join(parameters)}")
            self._names[ref] = [name]
            self.definitions[ref] = f"{name} = ({self._text(source, value.__module__, found, set(parameters))})"
        return self._names[ref][0]

    def use(self, module: str, name: str = "") -> str:
        """What the script calls a module, or something that it imports from one."""
        return self._name(Imported(module, name))

    def standing_in(self, name: str) -> str:
        """What the script calls something that stands in for the engine."""
        return self._name(self._resolve(STANDING_IN, name))

    def reserve(self, wanted: str) -> str:
        """A name like this one that nothing else in the script has."""
        name = wanted
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def imports(self) -> list[str]:
        """The import lines, sorted: of Python's own modules first, of this project's last."""
        modules: list[str] = []
        names: dict[str, list[str]] = {}
        for ref, known in self._names.items():
            for name in known if isinstance(ref, Imported) else ():
                if not ref.name:
                    modules.append(f"import {ref.module}" + (f" as {name}" if name != ref.module else ""))
                elif name != ref.name:
                    names.setdefault(ref.module, []).append(f"{ref.name} as {name}")
                else:
                    names.setdefault(ref.module, []).append(name)
        lines = sorted(modules)
        for module, found in sorted(names.items()):
            plain = sorted((name for name in found if " as " not in name), key=_as_isort)
            lines += [f"from {module} import {', '.join(plain)}"] if plain else []
            lines += [f"from {module} import {name}" for name in sorted(found) if " as " in name]
        parts = [[line for line in lines if _section(line) == section] for section in range(3)]
        return [line for part in filter(None, parts) for line in ["", *part]][1:]

    def _name(self, ref: Imported | Defined, wanted: str = "", avoid: Collection[str] = ()) -> str:
        """The name of something in the script; what is defined is copied when it is first named.

        wanted: what the copied code calls it. avoid: names that stand for something else where it is used.
        """
        known = self._names.setdefault(ref, [])
        if found := next((name for name in known if name not in avoid), ""):
            return found
        wanted = wanted or ref.name or ref.module.replace(".", "_")
        while wanted in avoid:
            wanted += "_"
        name = self.reserve(wanted)
        known.append(name)
        if isinstance(ref, Defined):
            item = self._source(ref.module).defined[ref.name]
            if len(known) > 1:
                self.definitions[Defined("", name)] = f"{name} = {known[0]}"
            elif item not in self._copies:  # one line may define several names
                self._copies.add(item)
                value = self.instead.get(ref.name) if ref.module == STANDING_IN else None
                self.definitions[ref] = self._copied(ref, name) if value is None else f"{name} = {value}"
        return name

    def _is_inlined(self, module: str) -> bool:
        """Whether a module is one of nodes: of the engine, or one beside it that imports it."""
        known = self._inlined.get(module)
        if known is None:
            top = module.partition(".")[0]
            self._inlined[module] = False  # while its imports are looked at, which may lead back here
            known = self._inlined[module] = top in self._tops and (top == ENGINE or self._reaches_engine(module))
        return known

    def _reaches_engine(self, module: str) -> bool:
        imported = self._source(module).imported.values()
        return any(each.module.partition(".")[0] == ENGINE or self._is_inlined(home(each)) for each in imported)

    def _source(self, module: str) -> Source:
        if module not in self._sources:
            self._sources[module] = source_of(module)
        return self._sources[module]

    def _resolve(self, module: str, name: str) -> Imported | Defined:
        """Where a name at the top of a module comes from. Raises UnreadableError where nobody knows."""
        source = self._source(module)
        if name in source.defined:
            return Defined(module, name)
        found = source.imported.get(name)
        if found is None:
            raise UnreadableError(f"{name} is used in {module}, and nothing there says what it is")
        if found.name and is_module(f"{found.module}.{found.name}"):
            found = Imported(f"{found.module}.{found.name}")
            if not self._is_inlined(found.module):
                package, _, last = found.module.rpartition(".")
                return Imported(package, last)
            return found
        if found.name and self._is_inlined(found.module):
            return self._resolve(found.module, found.name)
        return found

    def _copied(self, ref: Defined, name: str) -> str:
        """A definition's text without what is for the engine, its names as the script has them."""
        source = self._source(ref.module)
        item = source.defined[ref.name]
        edits = dict(self._renamed(source, ref, item, name))
        begin, end = source.span(item)
        text, at = b"", begin
        for decorator in getattr(item, "decorator_list", []):
            if not self._is_engines(ref.module, decorator):
                text += f"@{self._text(source, ref.module, decorator, set())}\n".encode()
        for (first, last), instead in sorted(edits.items()):
            if first >= at:
                text += source.text[at:first] + instead.encode()
                at = last
        text += source.text[at:end]
        return re.sub(r"[ \t]*# (noqa|type: ignore|fmt: )[^\n]*", "", text.decode())

    def _renamed(
        self, source: Source, ref: Defined, item: Definition, name: str
    ) -> Iterator[tuple[tuple[int, int], str]]:
        """The places of a definition's text that read otherwise in the script."""
        local = set(bound_in(item))
        skipped = {part for each in getattr(item, "decorator_list", []) for part in ast.walk(each)}
        for part in ast.walk(item):
            if isinstance(part, Function | ast.ClassDef):
                skipped |= set(first_line(part))
        for part in ast.walk(item):
            if part in skipped:
                continue
            if isinstance(part, Function):
                own = name if part is item else part.name
                yield self._header(source, ref.module, part, own, local)
            elif isinstance(part, ast.ClassDef):
                yield from self._class_header(source, ref.module, part, name if part is item else part.name, local)
            elif isinstance(part, ast.Import | ast.ImportFrom):
                found = [Imported(getattr(part, "module", None) or alias.name, alias.name) for alias in part.names]
                if any(self._is_inlined(home(each)) for each in found):
                    raise UnreadableError(
                        f"{ref.name} in {ref.module} imports nodes inside of itself; do it at the top"
                    )
            elif isinstance(part, ast.AnnAssign):
                skipped |= set(ast.walk(part.annotation))
                begin, end = source.span(part.annotation)
                field = isinstance(item, ast.ClassDef) and part in item.body and "ClassVar" not in source.cut(part)
                if field or part.value is None:
                    yield (begin, end), self.use("typing", "Any")
                else:
                    yield (source.span(part.target)[1], end), ""
            elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id not in local:
                module = self._module_of(ref.module, part.value.id)
                if module is not None:
                    skipped.add(part.value)
                    yield source.span(part), self._name(self._resolve(module, part.attr), avoid=local)
            elif isinstance(part, ast.Name) and part not in skipped:
                itself = part.id == ref.name and part.id not in local
                called = name if itself else self._called(ref.module, part.id, local)
                if called != part.id:
                    if source.cut(part) != part.id:  # Python 3.11 does not know where in a text with {} it stands
                        raise UnreadableError(
                            f"{ref.name} in {ref.module} names {part.id} inside of a text; take it out"
                        )
                    yield source.span(part), called

    def _is_engines(self, module: str, decorator: ast.expr) -> bool:
        """Whether a decorator marks something for the engine."""
        root = decorator.func if isinstance(decorator, ast.Call) else decorator
        found = self._source(module).imported.get(root.id) if isinstance(root, ast.Name) else None
        return found is not None and self._is_inlined(home(found))

    def _module_of(self, module: str, name: str) -> str | None:
        """The module of nodes that a name stands for, if it does."""
        source = self._source(module)
        if name in source.defined or name not in source.imported:
            return None
        found = self._resolve(module, name)
        return (
            found.module if isinstance(found, Imported) and not found.name and self._is_inlined(found.module) else None
        )

    def _called(self, module: str, name: str, local: set[str]) -> str:
        """What the script calls a name of a module."""
        source = self._source(module)
        if name in local or (name not in source.defined and name not in source.imported):
            return name  # an own one, or Python's
        imported = isinstance(found := self._resolve(module, name), Imported)
        return self._name(found, name if imported else "", local)

    def _header(
        self, source: Source, module: str, function: Function, name: str, local: set[str]
    ) -> tuple[tuple[int, int], str]:
        """A function's first lines without annotations."""
        indent = " " * function.col_offset
        first = function.body[0]
        begin, end = source.span(function)[0], source.span(first)[0]
        kind = "async def" if isinstance(function, ast.AsyncFunctionDef) else "def"
        args = function.args
        places = [*args.posonlyargs, *args.args]
        defaults = [None] * (len(places) - len(args.defaults)) + list(args.defaults)

        def told(arg: ast.arg, default: ast.expr | None) -> str:
            return arg.arg if default is None else f"{arg.arg}={self._text(source, module, default, local)}"

        parts = [told(arg, default) for arg, default in zip(places, defaults, strict=True)]
        if args.posonlyargs:
            parts.insert(len(args.posonlyargs), "/")
        if args.vararg:
            parts.append(f"*{args.vararg.arg}")
        elif args.kwonlyargs:
            parts.append("*")
        parts += [told(arg, default) for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
        if args.kwarg:
            parts.append(f"**{args.kwarg.arg}")
        head = f"{kind} {name}"
        line = f"{head}({', '.join(parts)}):"
        if len(indent) + len(line) > WIDTH:
            line = f"{head}(\n" + "".join(f"{indent}    {part},\n" for part in parts) + f"{indent}):"
        same = first.lineno == function.lineno
        return (begin, end), line + (" " if same else f"\n{indent}    ")

    def _class_header(
        self, source: Source, module: str, item: ast.ClassDef, name: str, local: set[str]
    ) -> Iterator[tuple[tuple[int, int], str]]:
        """A class' first line without what only type checkers need."""
        bases = [base for base in item.bases if not re.match(r"(typing\.)?(Generic|Protocol)\b", source.cut(base))]
        told = [self._text(source, module, base, local) for base in bases]
        told += [f"{key.arg}={self._text(source, module, key.value, local)}" for key in item.keywords]
        line = f"class {name}" + (f"({', '.join(told)})" if told else "") + ":\n" + " " * (item.col_offset + 4)
        yield (source.span(item)[0], source.span(item.body[0])[0]), line

    def _text(self, source: Source, module: str, item: ast.expr, local: set[str]) -> str:
        """An expression's text, its names as the script has them."""
        begin, end = source.span(item)
        text, at = b"", begin
        names = (part for part in ast.walk(item) if isinstance(part, ast.Name))
        for part in sorted(names, key=source.span):
            first, last = source.span(part)
            text += source.text[at:first] + self._called(module, part.id, local).encode()
            at = last
        return (text + source.text[at:end]).decode()


def _as_isort(name: str) -> tuple[int, str]:
    """Constants first, then classes, then functions, as isort sorts what is imported from one module."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def _section(line: str) -> int:
    """Where an import line stands: with Python's own modules, with what is installed, or with this project's."""
    top = line.split()[1].partition(".")[0]
    if top in sys.stdlib_module_names:
        return 0
    return 1 if "site-packages" in (getattr(sys.modules.get(top), "__file__", None) or "") else 2
