"""`run`: a workflow from its file to its outputs, told to a person as it goes."""

from __future__ import annotations

import argparse
import os
import threading
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from graph_runner.base.disk import sentence
from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.bind.paths import expanded
from graph_runner.cli import engine_options, launch, profile, summary
from graph_runner.cli.wording import place
from graph_runner.format.png import open_workflow

if TYPE_CHECKING:
    from graph_runner.base.events import Event
    from graph_runner.contract.context import Processes
    from graph_runner.contract.registry import Registry
    from graph_runner.run.engine import Engine
    from graph_runner.run.failures import NodeError

DONE, FAILED, STOPPED = 0, 1, 130


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Run a workflow. Returns 0, 1 where it failed, 130 where the user stopped it. Raises WorkflowError."""
    workflow = open_workflow(options.workflow)  # a wrong file is told before torch is imported
    from graph_runner.base import events
    from graph_runner.cli import settings, tensors
    from graph_runner.cli.interrupts import stopping
    from graph_runner.cli.progress import listener
    from graph_runner.contract.processes import joined
    from graph_runner.contract.registry import Registry
    from graph_runner.run import continuing
    from graph_runner.run.failures import NodeError

    registry = Registry.installed(options.nodes)
    workflow = settings.apply(options.settings, workflow, registry)
    if options.origin:
        workspace = expanded(options.workspace).resolve()
        workflow = continuing.from_checkpoints(workflow, registry, workspace, options.origin)
    inputs = tensors.read(tensors.places("--input", options.inputs))
    outputs = tensors.places("--output", options.outputs)
    console, errors = Console(), Console(stderr=True)
    display = listener(errors)
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    stop = threading.Event()

    def tell_stopping() -> None:
        if rank == 0:
            display.close()
            display.say("Stopping at the end of this step, with a checkpoint. Ctrl-C again ends at once.", "yellow")

    def announce(event: Event) -> None:
        if isinstance(event, events.Planned):
            launch.keep_logs(engine.workspace / "runs" / event.run)
            where = [str(engine.device), options.dtype, f"seed {options.seed}", *([f"{world} processes"] * (world > 1))]
            where += [
                name if value is True else f"{name} {value}" for name, value in engine.acceleration.settings.items()
            ]
            display.say(workflow.title or options.workflow.stem, "bold")
            display.say(" · ".join([*where, place(engine.workspace / "runs" / event.run)]), "dim")

    if launch.launched():
        launch.live_with_launcher()
    try:
        with joined(options.device) as (processes, device):
            engine = _engine(registry, options, device, processes)
            with stopping(stop, tell_stopping, together=world > 1):
                result = engine.run(
                    workflow,
                    inputs=inputs,
                    targets=[*options.to, *outputs],
                    only=bool(options.to),
                    seed=options.seed,
                    fresh=options.fresh,
                    check_numbers=options.check_numbers,
                    profile=options.profile,
                    checkpoint_seconds=options.checkpoint_seconds,
                    log=options.log,
                    listeners=[announce, display],
                    stop=stop,
                    on=options.on,
                    threads=options.threads or 0,
                )
    except NodeError as error:
        display.close()
        folder = display.watch.run and place(engine.workspace / "runs" / display.watch.run)
        _complain(errors, error, rank, folder, options)
        return FAILED
    except OSError as error:  # of the engine itself, e.g. a full disk; a node's are NodeErrors
        display.close()
        errors.print(Text(sentence(error), "red"), soft_wrap=True)
        return FAILED
    finally:
        display.close()
    if rank == 0:
        if result.status == "done":
            tensors.write(outputs, result.values)
        printed = {name: value for name, value in result.values.items() if name not in outputs or name in options.to}
        exposed = settings.exposed(workflow, registry)
        summary.show(console, result, printed, display.watch, exposed, argv, outputs.values())
        if result.profile is not None:
            profile.show(console, result.profile, result.folder)
    return STOPPED if result.status == "stopped" else DONE


def _engine(registry: Registry, options: argparse.Namespace, device: str, processes: Processes) -> Engine:
    from graph_runner.estimate.remedies import adviser
    from graph_runner.run.engine import Engine

    try:
        return Engine(
            registry,
            options.workspace,
            **engine_options.chosen(options),
            device=device,
            processes=processes,
            roots=map(expanded, options.only_below),
            shard=options.shard,
            advise=adviser(registry, expanded(options.workspace).resolve(), map(expanded, options.only_below)),
        )
    except ValueError as error:
        raise WorkflowError([Problem(str(error))]) from error


def _complain(errors: Console, error: NodeError, rank: int, folder: str, options: argparse.Namespace) -> None:
    """A node's failure: one sentence that names it, then where to find more.

    What `graph_runner.cli.launch` started leaves word, and it tells whose failure was the first. What torchrun started tells
    by itself: each process its own failure, and the first one those of the others too.
    """
    from graph_runner.contract.processes import LostError
    from graph_runner.run.failures import ElsewhereError

    own = not isinstance(error, ElsewhereError) and not isinstance(error.__cause__, LostError)
    trace = "".join(traceback.format_exception(error.__cause__ or error)).rstrip()
    told = [str(error)]
    if options.traceback:
        told.append(trace)
    elif folder:
        told.append(f"Its traceback is in {folder}/events.jsonl; --traceback shows it here.")
    launch.report(told, own)
    if launch.launched():
        if rank:
            errors.print(Text(trace), soft_wrap=True)  # into its log
        return
    if own or not rank:
        errors.print(Text(f"process {rank}: {told[0]}" if rank else told[0], "red"), soft_wrap=True)
        errors.print(Text("\n".join(told[1:]), "" if options.traceback else "dim"), soft_wrap=True)
