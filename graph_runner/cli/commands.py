"""What the command line tells besides running: `check`, `export`, `import`, `nodes`, `plugins`, `models`, `picture`, `runs`, `blueprints`, `clean`, `lock`."""

from __future__ import annotations

import argparse
import json
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from graph_runner.base.home import home_of
from graph_runner.base.problems import Problem, WorkflowError, did_you_mean
from graph_runner.cli.wording import complain, count, duration, place

if TYPE_CHECKING:
    from graph_runner.bind.graph import Scope
    from graph_runner.contract import NodeSpec
    from graph_runner.contract.registry import Registry
    from graph_runner.estimate.dry import Estimate
    from graph_runner.run.history import Run


def check(options: argparse.Namespace) -> int:
    """Say everything that is wrong with a workflow, and what it would cost. Returns 2 where it cannot run."""
    from graph_runner.format.png import open_workflow

    workflow = open_workflow(options.workflow)
    from graph_runner.bind.paths import Paths
    from graph_runner.bind.validate import errors, validate
    from graph_runner.cli import settings
    from graph_runner.contract.registry import Registry

    registry = Registry.installed(options.nodes)
    workspace, roots = _folder(options.workspace), [_folder(root) for root in options.only_below]
    workflow = settings.apply(options.settings, workflow, registry)
    top, problems = validate(workflow, registry, Paths(workspace, roots))
    complain(problems)
    if wrong := len(errors(problems)):
        print(f"{options.workflow}: {count(wrong, 'problem')}", file=sys.stderr)
        return 2
    nodes = count(sum(1 for _ in top.walk()), "node")
    if options.graph_only:
        print(f"{options.workflow}: {nodes}, ready to run")
        return 0
    from graph_runner.cli import estimate

    found = _estimate(options, top, workspace, roots, registry)
    wrong = len(errors(found.problems))
    if options.json:
        print(json.dumps(found.to_json()))
        return 2 if wrong else 0
    complain(found.problems)
    if wrong:
        print(f"{options.workflow}: {count(wrong, 'problem')}", file=sys.stderr)
        return 2
    print(f"{options.workflow}: {nodes}, ready to run")
    estimate.tell(found, top, options.all)
    return 0


def _estimate(
    options: argparse.Namespace, top: Scope, workspace: Path, roots: list[Path], registry: Registry
) -> Estimate:
    """What a dry run tells, now or before of the same graph."""
    import torch

    from graph_runner.cli.progress import listener
    from graph_runner.estimate import known
    from graph_runner.estimate.dry import dry_run

    key = known.key_of(top, {name: getattr(options, name) for name in ("dtype", "weights", "devices", "shard")})
    if (before := known.find(workspace, key)) is not None:
        return before
    display = listener(Console(stderr=True))
    try:
        found = dry_run(
            top,
            workspace,
            dtype=getattr(torch, options.dtype),
            roots=roots,
            injectables=registry.injectables,
            listeners=[] if options.json else [display],
            weights=options.weights,
            processes=options.devices,
            shard=options.shard,
        )
    finally:
        display.close()
    known.keep(workspace, key, found)
    return found


def export(options: argparse.Namespace) -> int:
    """Write a workflow as a plain Python script, or for another program."""
    if not options.python:
        from graph_runner.cli.foreign import export_as

        return export_as(options)
    from graph_runner.base.files import write_atomically
    from graph_runner.cli import settings
    from graph_runner.contract.registry import Registry
    from graph_runner.export.script import as_python
    from graph_runner.format.png import open_workflow

    registry = Registry.installed(options.nodes)
    workflow = settings.apply(options.settings, open_workflow(options.workflow), registry)
    script = as_python(workflow, registry, _folder(options.workspace), options.seed)
    complain([Problem(sentence, severity="warning") for sentence in script.left_out])
    if options.output is not None:
        write_atomically(options.output, script.text.encode())
        print(f"{options.output}: {count(script.text.count(chr(10)), 'line')}")
    if options.table:
        table = Table.grid(padding=(0, 2, 0, 0))
        for line in script.lines:
            table.add_row(str(line.number), line.node, line.type, line.module)
        Console().print(table)
    elif options.output is None:
        print(script.text, end="")
    return 0


def import_(options: argparse.Namespace) -> int:
    """Bring another program's workflow here."""
    from graph_runner.cli.foreign import import_command

    return import_command(options)


def nodes(options: argparse.Namespace) -> int:
    """List the nodes by category, explain one, find some, or write the reference. Returns 1 where a checked one is out of date."""
    from graph_runner.base.files import write_atomically
    from graph_runner.catalog.markdown import entry, reference
    from graph_runner.catalog.search import search
    from graph_runner.contract.registry import Registry

    registry = Registry.installed(options.nodes)
    console = Console()
    asked = " ".join(options.node)
    if options.markdown is not None:
        text, path = reference(registry.values(), options.markdown), options.markdown
        if not options.check:
            write_atomically(path, text.encode())
            print(f"{path}: {count(len(registry), 'node')}")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            complain([Problem(f"{path} is out of date", remedy=f"Write it anew: nodes --markdown {path}")])
            return 1
    elif not asked:
        _list(registry, console)
    elif asked in registry:
        spec = registry[asked]
        text = f"# {spec.type}\n\n{entry(spec)}"
        console.print(Markdown(text) if console.is_terminal else text, soft_wrap=not console.is_terminal, markup=False)
    elif found := search(registry.values(), asked):
        table = Table.grid(padding=(0, 2, 0, 0))
        for spec, by in found:
            table.add_row(Text(spec.type, "bold"), Text(spec.summary + (f" ({by})" if by else ""), "dim"))
        console.print(table)
    else:
        raise WorkflowError([Problem(f"there is no node {asked!r}", remedy=did_you_mean(asked, registry))])
    return 0


def _list(registry: Registry, console: Console) -> None:
    width = max(len(name) for name in registry)
    for category, specs in groupby(sorted(registry.values(), key=_place), key=lambda spec: spec.category):
        console.print(Text(category, "bold"))
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(min_width=width + 2)
        table.add_column(style="dim")
        for spec in specs:
            table.add_row(f"  {spec.type}", escape(spec.summary))
        console.print(table)
    console.print(Text("nodes NAME explains one, nodes WORD… finds some (nodes vae, nodes euler).", "dim"))


def _place(spec: NodeSpec) -> tuple[str, str]:
    return spec.category, spec.type


def plugins(options: argparse.Namespace) -> int:
    """List the packages that bring nodes. Returns 1 where one cannot be loaded."""
    from graph_runner.catalog import plugins as catalog
    from graph_runner.contract.registry import Registry

    found = catalog.plugins(Registry.installed(options.nodes, passing_over=True))
    if options.json:
        print(json.dumps(found))
        return 1 if any(plugin["error"] for plugin in found) else 0
    console = Console()
    for plugin in found:
        line = Text(plugin["module"], "bold")
        line.append(f"  {plugin['distribution'] or 'not installed'} {plugin['version']}".rstrip(), "not bold")
        line.append(f"  {count(len(plugin['nodes']), 'node')}", "not bold")
        console.print(line, soft_wrap=True)
        if plugin["error"]:
            console.print(Text(f"  {plugin['error']}", "red"), soft_wrap=True)
        console.print(Text(f"  {plugin['folder']}", "dim"), soft_wrap=True)
    return 1 if any(plugin["error"] for plugin in found) else 0


def models(options: argparse.Namespace) -> int:
    """List the models that lie in a workspace and in given folders."""
    from graph_runner.cli.models import models_command

    return models_command(options, _folder(options.workspace), [_folder(folder) for folder in options.folders])


def picture(options: argparse.Namespace) -> int:
    """Say how a picture was made."""
    from graph_runner.cli.picture import picture_command

    return picture_command(options)


def runs(options: argparse.Namespace) -> int:
    """List what was run in a workspace, newest first."""
    from graph_runner.run.history import RECORDS, history

    workspace = _folder(options.workspace)
    home_of(workspace).bring_below(workspace / "runs", RECORDS)
    found = history(workspace)
    if not found:
        print(f"Nothing was run in {options.workspace} yet")
        return 0
    console = Console()
    for run in found[: options.most]:
        line = Text(f"{run.began:%Y-%m-%d %H:%M}  ")
        line.append(f"{run.status:<10}  ", _COLOURS.get(run.status, "yellow"))
        line.append(f"{'' if run.seconds is None else duration(run.seconds):>11}  ").append(run.title, "bold")
        console.print(line, soft_wrap=True)
        if run.message:
            console.print(Text(f"  {run.message}", "red"), soft_wrap=True)
        console.print(Text("  ".join(["", place(run.folder), *_files(run)]), "dim"), soft_wrap=True)
    if len(found) > options.most:
        console.print(Text(f"{len(found) - options.most} older ones: --most {len(found)}", "dim"))
    return 0


def blueprints(options: argparse.Namespace) -> int:
    """List blueprints, save a definition as one, put one into a workflow file, or delete one."""
    from graph_runner.cli.blueprints import blueprints_command

    return blueprints_command(options, _folder(options.workspace))


def _files(run: Run) -> list[str]:
    """What a run showed, counted."""
    previews = sum(1 for shown in run.shown if shown["preview"])
    files = len(run.shown) - previews
    return ([count(files, "file")] if files else []) + ([count(previews, "preview")] if previews else [])


def _folder(path: Path) -> Path:
    """A folder that an option names, absolute. Raises WorkflowError where it cannot be one."""
    from graph_runner.bind.paths import PathError, expanded

    try:
        return expanded(path).absolute()
    except PathError as error:
        raise WorkflowError([Problem(error.message, remedy=error.remedy)]) from error


_COLOURS = {"done": "green", "failed": "red"}


def clean(options: argparse.Namespace) -> int:
    """Say how much room a workspace takes; with a budget, make room. Returns 2 where there is no such workspace."""
    from graph_runner.base.telling import large
    from graph_runner.store import space

    workspace = _folder(options.workspace)
    if not workspace.is_dir():
        raise WorkflowError([Problem(f"there is no workspace {options.workspace}", remedy="Name one with --workspace")])
    space.tidy(workspace)
    space.tidy_home(workspace)
    if options.keep is not None:
        gone = space.make_room(space.forgettable(workspace), options.keep)
        left = sum(kept.size for kept in space.forgettable(workspace))
        told = f"Forgot {count(len(gone), 'entry', 'entries')}" if gone else "Nothing was forgotten"
        print(told + ("; what is left was used in the last hour" if left > options.keep else ""))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    for name, size in space.sizes(workspace).items():
        table.add_row(name or "the server's, and single files", large(size, "B"))
    Console().print(table)
    if options.keep is None:
        print("clean --keep 10GB forgets cached values and checkpoints, the longest unused first, down to that size.")
    return 0


def lock(options: argparse.Namespace) -> int:
    """Check the locks of node packages, or bring them up to date. Returns 1 where something is left to decide."""
    from graph_runner.compile import lock as locks
    from graph_runner.contract.registry import Registry

    registry = Registry.installed(options.nodes)
    if options.action == "update":
        left = locks.update(registry.values(), options.same_result)
        remedy = "Raise its version, or say lock update --same-result"
    else:
        left, remedy = locks.check(registry.values()), "Then say: lock update"
    complain([Problem(sentence, remedy=remedy) for sentence in left])
    if not left:
        paths = (locks.lock_path(spec.function.__module__) for spec in registry.values())
        locked = sum(1 for path in paths if path is not None and path.exists())
        print(f"{count(locked, 'node')} locked, all as recorded; {len(registry) - locked} without a lock")
    return 1 if left else 0
