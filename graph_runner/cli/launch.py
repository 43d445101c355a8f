"""`--devices`: one process for each device, started and watched by torchrun's elastic agent, with one console.

The first process has the console. The others write into `processes/` of the run's folder. Who fails leaves a sentence in a
file that torchrun names (`report`), and it is told here, once. Several machines are `torchrun`'s own (docs/scale.md).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from graph_runner.base.files import remove
from graph_runner.base.lifetime import FAILED, live_with
from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.base.processors import available
from graph_runner.bind.paths import expanded
from graph_runner.cli.interrupts import SIGNALS
from graph_runner.cli.wording import count, place
from graph_runner.format.png import open_workflow

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

LAUNCHER, LOGS = "LATENT_LOOM_LAUNCHER", "LATENT_LOOM_LOGS"
"""In the environment of the processes: the number of the process that started them, and the folder of their logs."""
AS_LONG_AS_IT_TAKES = 10**8
"""Seconds that a step and its checkpoint may take once the user asked to stop; who is impatient asks again."""
MOST_PER_PROCESSOR = 4
LAST_WORDS = 20
"""Lines of a log that are told of a process which said nothing of its failure."""
WRONG, STOPPED = 2, 130


def launch(options: argparse.Namespace, argv: Sequence[str], module: str = "graph_runner") -> int:
    """Do in several processes what `graph_runner.cli.run.run` does in one. Returns what that returns. Raises WorkflowError.

    module: what each of them runs, with these arguments.
    """
    open_workflow(options.workflow)  # a wrong file is told once, and before torch is imported
    chosen = _chosen(options.devices, options.device)
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    from graph_runner.cli.launch_logs import Logs
    from graph_runner.run.together import one_machine

    logs = expanded(options.workspace).resolve() / "runs" / f".processes-{os.getpid()}"
    logs.mkdir(parents=True, exist_ok=True)
    os.environ |= {LAUNCHER: str(os.getpid()), LOGS: str(logs)}
    elastic = logging.getLogger("torch.distributed.elastic")  # what it has to say is said below
    elastic.handlers, elastic.propagate = [logging.NullHandler()], False
    with tempfile.TemporaryDirectory() as reports:
        config = one_machine(chosen, Logs(logs, Path(reports)), shutdown_timeout=AS_LONG_AS_IT_TAKES)
        _handle_stops(Path(reports))
        try:
            elastic_launch(config, sys.executable)("-m", module, *argv)
        except SignalException:
            return STOPPED
        except ChildFailedError as error:
            return _told(error.failures, logs)
        finally:
            if logs.exists():  # no run had begun
                remove(logs)
    return 0


def _handle_stops(reports: Path) -> None:
    """Let the first Ctrl-C or SIGTERM go to all processes, which stop at the end of a step. The second ends this one at once,
    and they end because of that (`live_with_launcher`)."""
    from torch.distributed.elastic.multiprocessing import SignalException

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as the signal module calls it
        shutil.rmtree(reports, ignore_errors=True)
        os._exit(STOPPED)

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        for each in SIGNALS:
            signal.signal(each, end)
        raise SignalException("stopped by the user", signal.Signals(number))

    for each in SIGNALS:
        signal.signal(each, stop)


def launched() -> bool:
    """Whether this process is one of those that `launch` started."""
    return LAUNCHER in os.environ


def keep_logs(folder: Path) -> None:
    """Put the logs of the processes into the folder of their run."""
    if LOGS in os.environ and (logs := Path(os.environ[LOGS])).exists():
        logs.rename(folder / "processes")


def report(told: Sequence[str], own: bool) -> None:
    """Leave word of why this process fails, for whoever started it. own: the failure is its own, and not what came of another's."""
    if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        message = "\n".join(told)
        Path(path).write_text(json.dumps({"message": message, "timestamp": time.time(), "own": own}))


def live_with_launcher() -> None:
    """End this process once the launcher that started it is gone."""
    live_with(int(os.environ[LAUNCHER]))


def _chosen(devices: int | tuple[int, ...], device: str) -> int:
    """How many processes to start; which GPUs they see is put into the environment. Raises WorkflowError."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise _refused("torchrun has started several processes already", "Leave --devices out")
    if ":" in device:
        raise _refused(f"--device {device} is one device", "Name several by --devices 0,2, or leave --devices out")
    import torch

    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        return _gpus(devices, torch.cuda.device_count())
    if device == "mps" or (device == "auto" and torch.backends.mps.is_available()):
        raise _refused("there is one MPS device", "Leave --devices out, or add --device cpu")
    if not isinstance(devices, int):
        raise _refused("--devices with numbers names GPUs, and this runs on the CPU", "Give how many processes")
    most = MOST_PER_PROCESSOR * available()
    if devices > most:
        told = f"--devices {devices}: this machine has {count(available(), 'processor')}, for at most {most} processes"
        raise _refused(told, "Give fewer")
    return devices


def _gpus(devices: int | tuple[int, ...], there: int) -> int:
    wanted = tuple(range(devices)) if isinstance(devices, int) else devices
    if missing := [gpu for gpu in wanted if gpu >= there]:
        named = f"{len(wanted)}" if isinstance(devices, int) else ",".join(map(str, devices))
        have = f"it has {count(there, 'GPU')}, numbered from 0" if there else "it has none"
        raise _refused(
            f"--devices {named}: this machine has no GPU {missing[0]}; {have}", "Give fewer, or --device cpu"
        )
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = seen.split(",") if seen else [str(gpu) for gpu in range(there)]
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[gpu] for gpu in wanted)
    return len(wanted)


def _refused(message: str, remedy: str) -> WorkflowError:
    return WorkflowError([Problem(message, remedy=remedy)])


def _told(failures: Mapping[int, ProcessFailure], logs: Path) -> int:
    """Tell why the processes ended, in the words of the first that failed. Returns the exit code of the whole."""
    codes = {rank: failure.exitcode for rank, failure in failures.items()}
    reports = {rank: each.error_file_data for rank, each in failures.items() if "own" in each.error_file_data}
    own = [rank for rank, report in reports.items() if report["own"]]
    killed = [rank for rank, code in codes.items() if code < 0 and code != -signal.SIGTERM]
    silent = [rank for rank, code in codes.items() if code == FAILED and rank and rank not in reports]
    if own:
        rank = min(own, key=lambda one: (reports[one]["timestamp"], one))
        _repeat(rank, reports[rank]["message"], logs)
    elif STOPPED in codes.values():
        return STOPPED
    elif killed:
        rank = min(killed, key=lambda one: failures[one].timestamp)
        _say([_end_of(rank, codes[rank]), "The same command goes on from the last checkpoint."])
    elif silent:
        log = _log(logs, silent[0])
        last_words = log.read_text(errors="replace").splitlines()[-LAST_WORDS:]
        _say([f"process {silent[0]} ended with exit code {FAILED}.", *last_words, f"All of it is in {place(log)}."])
    elif reports:
        _repeat(min(reports), reports[min(reports)]["message"], logs)
    return WRONG if WRONG in codes.values() else FAILED


def _repeat(rank: int, message: str, logs: Path) -> None:
    first, *others = message.splitlines()
    if rank and not others:
        others = [f"Its traceback is in {place(_log(logs, rank))}; --traceback shows it here."]
    _say([f"process {rank}: {first}" if rank else first, *others])


def _end_of(rank: int, code: int) -> str:
    if code == -signal.SIGKILL:
        return f"process {rank} was killed: most often the system ran out of memory."
    return f"process {rank} crashed ({signal.strsignal(-code) or f'signal {-code}'})."


def _log(logs: Path, rank: int) -> Path:
    """A process' log, which has gone into its run's folder if there was a run."""
    kept = sorted(logs.parent.glob(f"*/processes/{rank}.stderr.log"), key=lambda path: path.stat().st_mtime)
    return logs / f"{rank}.stderr.log" if logs.exists() else kept[-1]


def _say(lines: Iterable[str]) -> None:
    first, *others = lines
    errors = Console(stderr=True)
    errors.print(Text(first, "red"), soft_wrap=True)
    for line in others:
        errors.print(Text(line, "dim"), soft_wrap=True)
