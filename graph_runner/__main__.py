"""`python -m graph_runner WORKFLOW.json`: the engine from the command line.

Little is imported here, so that from the first moment on Ctrl-C meets `command`'s answer and not Python's.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


def command(argv: Sequence[str] | None = None) -> NoReturn:
    """The program. Ctrl-C ends it at once and without a word, except where a run takes it as the wish to stop."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main(argv))


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say. Returns 0 done, 1 failed, 2 bad workflow or arguments, 130 stopped by the user."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot write ✓ writes ?
    try:
        code = _told(list(sys.argv[1:] if argv is None else argv))
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who reads this has heard enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # what a shell says of SIGPIPE


def _told(argv: list[str]) -> int:
    """Do what the arguments say; what is wrong with them, or with the machine, becomes a sentence."""
    import traceback
    from pathlib import Path

    from graph_runner.cli.arguments import build, parse

    options = parse(argv)
    if options.command is None:  # only `--version` leaves it open
        if not options.version:
            build().error("name a workflow or a command")
        from importlib.metadata import version

        print(f"Latent Loom {version('latent-loom')}")
        return 0
    if getattr(options, "nodes", None) and (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # a package that lies here may be named
    from graph_runner.base.problems import Problem, WorkflowError
    from graph_runner.bind.paths import PathError, folder
    from graph_runner.cli.wording import complain
    from graph_runner.contract import ContractError

    try:
        if "workspace" in options:
            folder(options.workspace)  # what cannot be one is told before anything else
        if options.command == "run":
            from graph_runner.cli.launch import launch, launched

            if options.devices not in (None, 1) and not launched():
                return launch(options, argv)
            from graph_runner.cli.run import run

            return run(options, argv)
        from graph_runner.cli import commands

        name = "import_" if options.command == "import" else options.command
        return int(getattr(commands, name)(options))
    except WorkflowError as error:
        complain(error.problems)
        return 2
    except PathError as error:
        complain([Problem(error.message, remedy=error.remedy)])
        return 2
    except ContractError as error:
        complain([Problem(str(error))])
        return 2
    except BrokenPipeError:
        raise
    except (OSError, MemoryError) as error:
        complain([Problem(str(error) or "the memory is full")])
        return 1
    except Exception:
        traceback.print_exc()
        remedy = "Please report it with the lines above, the command, and the workflow if you may"
        complain([Problem("this is a fault in Latent Loom, not in what you gave it", remedy=remedy)])
        return 1


if __name__ == "__main__":
    command()
