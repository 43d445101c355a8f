"""The nodes a run may use, what can be handed in to them, and the models that its files may name: a value, built by scanning the
modules that entry points (group `latent_loom.nodes`) name.
"""

from __future__ import annotations

import copy
import importlib
import pkgutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.contract.context import BUILT_IN
from graph_runner.contract.describers import Describer, PictureDescriber
from graph_runner.contract.foreign import Exporter, Importer
from graph_runner.contract.markers import ContractError
from graph_runner.contract.models import Models, marked
from graph_runner.contract.spec import NodeSpec, PortType

GROUP = "latent_loom.nodes"


class Registry(Mapping[str, NodeSpec]):
    """Node specifications by type name; a name that a node had formerly finds it too, and is not listed.

    kinds: marked classes, of which the models are those that files may name (`models`), beside those that the wires carry.
    injectables: by kind, what makes the values that a node may ask for, besides those that the engine makes
    (`graph_runner.context.injectable`). scanned: the packages and the host's injectables that it was made of, if it was, so that
    another process can make it; loaded: when, in seconds since 1970. failed: packages that were passed over, each with the reason.
    describers: who can say what a model's file is. picture_describers: who can say how another program's picture was made.
    importers, exporters: who reads and, by the program's name, writes other programs' workflows.
    """

    def __init__(
        self,
        specs: Iterable[NodeSpec],
        kinds: Iterable[type] = (),
        injectables: Iterable[Callable[..., Any]] = (),
    ) -> None:
        self.scanned: tuple[tuple[str, ...], tuple[Callable[..., Any], ...]] | None = None
        self.loaded = time.time()
        self.failed: dict[str, str] = {}
        self.describers: list[Describer] = []
        self.picture_describers: list[PictureDescriber] = []
        self.importers: list[Importer] = []
        self.exporters: dict[str, Exporter] = {}
        self.injectables: dict[str, Callable[..., Any]] = {}
        for make in injectables:
            kind: str = make.__injectable__  # type: ignore[attr-defined]
            first = self.injectables.setdefault(kind, make)
            if kind in BUILT_IN or first is not make:
                owner = "the engine" if kind in BUILT_IN else first.__module__
                raise ContractError(f"{make.__module__} makes {kind!r}, and so does {owner}; name the kind otherwise")
        self._specs: dict[str, NodeSpec] = {}
        self._former: dict[str, NodeSpec] = {}
        for spec in specs:
            known = self._specs.setdefault(spec.type, spec)
            if known.function is not spec.function:
                raise ContractError(
                    f"two nodes are called {spec.type!r}: in {known.function.__module__} and {spec.function.__module__}; rename one"
                )
        for spec in self._specs.values():
            for name in spec.formerly:
                other = self._specs.get(name) or self._former.setdefault(name, spec)
                if other is not spec:
                    raise ContractError(
                        f"{spec.type!r} was formerly {name!r}, and so {'is' if name in self._specs else 'was'} "
                        f"{other.type!r}, in {other.function.__module__}; take the name out of one"
                    )
        carried = {kind.base for spec in self._specs.values() for kind in _types_of(spec) if kind.base is not None}
        try:
            self.models = Models.of([*kinds, *filter(marked, carried)], carried)
        except ValueError as error:
            raise ContractError(str(error)) from error

    def __getitem__(self, type_name: str) -> NodeSpec:
        return self._specs.get(type_name) or self._former[type_name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def with_nodes(self, specs: Mapping[str, NodeSpec]) -> Registry:
        """Besides these nodes, all that this registry has."""
        other = copy.copy(self)
        other._specs = {**self._specs, **specs}
        return other

    def including(self, *own: Callable[..., Any] | type) -> Registry:
        """Besides these, nodes, injectables and models that no package has: functions with `@node` or `@injectable`, classes with `@model`.

        One that was included before under the same name is replaced: a notebook's cell is run again. Raises ContractError for
        what is none of these, and for the name of a package's node.
        """
        other = copy.copy(self)
        specs, other.injectables, kinds = dict(self._specs), dict(self.injectables), list[Any]()
        for each in own:
            if isinstance(spec := getattr(each, "__node__", None), NodeSpec):
                known = specs.get(spec.type) or self._former.get(spec.type)
                if known is not None and known.function.__module__ != spec.function.__module__:
                    raise ContractError(f"{spec.type!r} is a node of {known.function.__module__}; name yours otherwise")
                specs[spec.type] = spec
            elif isinstance(kind := getattr(each, "__injectable__", None), str):
                other.injectables[kind] = each
            elif marked(each):
                kinds.append(each)
            else:
                raise ContractError(f"{each!r:.80} is no node, injectable or model; put @node on a function")
        other._specs, other.scanned = specs, None
        carried = [kind.base for spec in specs.values() for kind in _types_of(spec) if kind.base is not None]
        try:
            added = Models.of([*kinds, *filter(marked, carried)], carried)
            other.models = Models({**self.models, **added})
            for kind in kinds:
                kind.__listed_in__.add(kind)
        except ValueError as error:
            raise ContractError(str(error)) from error
        return other

    @classmethod
    def scan(
        cls, packages: Iterable[str], injectables: Iterable[Callable[..., Any]] = (), passing_over: bool = False
    ) -> Registry:
        """The nodes and injectables defined in these modules and packages (their submodules too).

        A class that they define or import, and that is marked with the table it belongs to, `__listed_in__`, is listed there
        (its `add` is called): so codecs find by name what packages bring. injectables: the host's own, besides. passing_over: a
        package that cannot be imported takes away its own nodes alone, and is told in `failed`. Raises WorkflowError where
        one cannot, naming it, and ContractError where two nodes, or two classes of a table, have one name.
        """
        began = time.time()
        failed: dict[str, str] = {}
        specs: list[NodeSpec] = []
        kinds: dict[type, None] = {}
        packages, injectables = list(packages), list(injectables)
        makers = list(injectables)
        describers: list[Any] = []
        importers: list[Importer] = []
        exporters: list[Any] = []
        for name in packages:
            try:
                modules = list(_modules(name))
            except Exception as error:  # a stranger's module may raise anything
                if passing_over:
                    failed[name] = f"{type(error).__name__}: {error}"
                    continue
                if isinstance(error, ContractError):
                    raise
                raise WorkflowError(
                    [
                        Problem(
                            f"cannot import the node package {name!r}: {error}",
                            remedy="Install it, or correct its name",
                        )
                    ]
                ) from error
            for module in modules:
                specs += (value.__node__ for value in _marked(module, "__node__", NodeSpec))
                makers += _marked(module, "__injectable__", str)
                describers += _marked(module, "__describes__", str)
                importers += _marked(module, "__imports__", str)
                exporters += _marked(module, "__exports__", str)
                kinds |= dict.fromkeys(filter(marked, vars(module).values()))
        registry = cls(specs, kinds, makers)
        registry.scanned, registry.loaded, registry.failed = (tuple(packages), tuple(injectables)), began, failed
        registry.describers = [each for each in describers if each.__describes__ == "models"]
        registry.picture_describers = [each for each in describers if each.__describes__ == "pictures"]
        registry.importers = importers
        registry.exporters = {each.__exports__: each for each in exporters}
        for kind in kinds:
            try:
                kind.__listed_in__.add(kind)  # type: ignore[attr-defined]
            except ValueError as error:
                raise ContractError(str(error)) from error
        return registry

    @classmethod
    def installed(
        cls,
        extra: Iterable[str] = (),
        injectables: Iterable[Callable[..., Any]] = (),
        passing_over: bool = False,
    ) -> Registry:
        """The nodes and injectables of every installed package, ours among them, of `extra` modules, and of the host (see `scan`)."""
        return cls.scan(dict.fromkeys([*(entry.value for entry in packages()), *extra]), injectables, passing_over)

    @classmethod
    def anew(cls, extra: Iterable[str] = ()) -> Registry:
        """The same as the sources are now: the modules of node packages are imported again, broken ones passed over.

        What was made of the former ones stays as it was. Python itself (`graph_runner`, `core`, what is no node package) is not
        read again: a process that runs nodes is better started anew. Raises ContractError where two nodes have one name; then
        nothing has changed.
        """
        extra = list(extra)
        before = _belonging([*(entry.value for entry in packages()), *extra])
        for name, module in before.items():
            del sys.modules[name]
            if compiled := getattr(module.__spec__, "cached", None):
                with suppress(OSError):  # Python takes one for good whose source has its size and its second
                    Path(compiled).unlink()
        importlib.invalidate_caches()
        try:
            return cls.installed(extra, passing_over=True)
        except BaseException:
            sys.modules.update(before)
            raise


def packages() -> list[EntryPoint]:
    """The installed node packages, by name."""
    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


def _belonging(names: Iterable[str]) -> dict[str, ModuleType]:
    """The loaded modules of these packages: all that have the same top package, but the engine's."""
    tops = {name.partition(".")[0] for name in names} - {__name__.partition(".")[0]}
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in tops}


def _modules(name: str) -> Iterator[ModuleType]:
    package = importlib.import_module(name)
    yield package
    for info in pkgutil.walk_packages(getattr(package, "__path__", []), f"{name}."):
        yield importlib.import_module(info.name)


def _types_of(spec: NodeSpec) -> Iterator[PortType]:
    """The types of all that goes in and out of a node, and of its body."""
    inner = spec.body.ports + spec.body.results if spec.body is not None else ()
    yield from (port.type for port in (*spec.inputs, *spec.outputs, *inner))


def _marked(module: ModuleType, mark: str, kind: type) -> list[Any]:
    """The functions of this mark that a module defines; what it only imports belongs to another."""
    return [
        value
        for value in vars(module).values()
        if isinstance(getattr(value, mark, None), kind) and value.__module__ == module.__name__
    ]
