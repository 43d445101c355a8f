"""The arguments of `python -m graph_runner`. Nothing heavy is imported here: `--help` answers at once."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from graph_runner.base.home import folder_of
from graph_runner.cli import engine_options
from graph_runner.cli.engine_options import DTYPES, WEIGHTS, count, size

COMMANDS = (
    *(
        "run",
        "check",
        "export",
        "import",
        "nodes",
        "plugins",
        "models",
        "picture",
        "runs",
        "blueprints",
        "clean",
        "lock",
    ),
)

_ABOUT = """\
Run workflows of Latent Loom: graphs of nodes that train and sample latent diffusion models.

  {program} WORKFLOW.json                run a workflow, or a picture that carries one
  {program} WORKFLOW.json --set a.b=3    the same with parameter b of node a set to 3
  {program} check WORKFLOW.json          say what is wrong with it and what it would cost
"""

_SETTING = """\
--set node.param=value may be given many times, for any node of the workflow, inside zones too; a name that the
workflow exposes stands for its parameter (--set scale=3). Values are JSON; what is not is text:
  --set sample.steps=20 --set sample.solver=ddpm --set "prompt.classes=[3, 5]" --set photos.path=~/pictures

Exit codes: 0 done, 1 the run failed, 2 something is wrong with the workflow or the arguments, 130 stopped by you.
"""


def program() -> str:
    """What the user has to type to get here again."""
    name = Path(sys.argv[0]).name
    if name in ("__main__.py", "") or name.startswith("-"):
        return "python -m graph_runner"
    return name if shutil.which(name) else sys.argv[0]


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the arguments. Without a command's name they are those of `run`. Exits with 2 where they are wrong."""
    parser = build()
    if not argv:
        parser.print_help(sys.stderr)
        parser.exit(2)
    if argv[0] not in (*COMMANDS, "-h", "--help", "--version"):
        argv = ["run", *argv]
    return parser.parse_args(engine_options.apart(argv))


def _seed(text: str) -> int:
    from graph_runner.contract import LARGEST_SEED

    if not re.fullmatch(r"[0-9]{1,20}", text) or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text:.40} is no whole number from 0 to {LARGEST_SEED}")
    return int(text)


def build() -> argparse.ArgumentParser:
    """The parser of all commands."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(program(), description=_ABOUT.format(program=program()), formatter_class=raw)
    parser.add_argument("--version", action="store_true", help="say the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    run = commands.add_parser("run", help="run a workflow (what is done without a command, too)",
                              description="Run a workflow: everything in it that saves or shows something.",
                              epilog=_SETTING, formatter_class=raw)  # fmt: skip
    _workflow(run)
    _nodes(run)
    run.add_argument("--to", action="append", default=[], metavar="NODE", help="compute only this node and what it needs, and print what it gives (repeatable)")  # fmt: skip
    run.add_argument("--input", action="append", default=[], dest="inputs", metavar="NODE=FILE", help="give this node's result, or what goes into this port, from a .npy or .safetensors file, instead of computing it (repeatable)")  # fmt: skip
    run.add_argument("--output", action="append", default=[], dest="outputs", metavar="NODE=FILE", help="compute this node as well, and write its tensor to a .npy or .safetensors file (repeatable)")  # fmt: skip
    run.add_argument("--seed", type=_seed, default=0, help="seed of the whole run; each node's own seed comes on top (default 0)")  # fmt: skip
    engine_options.add_to(run, run=True)
    engine_options.add_to(run)
    _workspace(run)
    _only_below(run)
    run.add_argument("--fresh", action="store_true", help="take nothing from caches and checkpoints")
    run.add_argument("--continue", dest="origin", metavar="RUN", help="go on from the trainings of an earlier run with what is set otherwise here (rate, batch size, schedule, more steps) and the state of its optimizers: a run's name, 'last', or a checkpoint's folder")  # fmt: skip
    run.add_argument("--check-numbers", action="store_true", help="look at all that every node gives, and fail at the first NaN or infinite value; without it they are looked for once a node refused them")  # fmt: skip
    run.add_argument("--profile", action="store_true", help="count time, memory and calls of every node, tell the slowest, and write all of it and a trace for Perfetto into the run's folder")  # fmt: skip
    run.add_argument("--checkpoint-seconds", type=_seconds, default=30.0, metavar="S", help="time between checkpoints of a training (default 30)")  # fmt: skip
    run.add_argument("--log", action="append", default=[], metavar="NAME[:OPTION=VALUE,…]", help="write numbers and pictures for another program, too: csv, tensorboard, wandb, mlflow, or what an installed package brings (repeatable)")  # fmt: skip
    run.add_argument("--tensorboard", action="append_const", dest="log", const="tensorboard", help="the same as --log tensorboard")  # fmt: skip
    run.add_argument("--traceback", action="store_true", help="when a node fails, show where in its code")

    check = commands.add_parser("check", help="say what is wrong with a workflow and what it would cost, and compute nothing",
                                description="Say everything that is wrong with a workflow; then go through it on tensors without contents and tell shapes, operations and memory.")  # fmt: skip
    _workflow(check)
    _nodes(check)
    check.add_argument("--all", action="store_true", help="tell of every node, inside zones too")
    check.add_argument("--json", action="store_true", help="tell all of it as JSON, for programs")
    check.add_argument(
        "--graph-only", action="store_true", help="look at the graph alone: no shapes, no cost (quicker)"
    )
    check.add_argument("--devices", type=count, default=1, metavar="N", help="tell the memory of each of N processes that share a training (default 1)")  # fmt: skip
    check.add_argument("--shard", action="store_true", help="the same where they split the models that train")
    check.add_argument("--dtype", default="float32", choices=DTYPES, help="what the run would compute in (default float32)")  # fmt: skip
    check.add_argument("--weights", default="float32", choices=WEIGHTS, help="what it would keep the weights of models that do not train in (default float32)")  # fmt: skip
    _workspace(check)
    _only_below(check)

    export = commands.add_parser("export", help="write a workflow as a plain Python script that needs no engine, or for another program",
                                 description="Write a workflow as a plain Python script: it imports core and PyTorch, holds what it needs of the nodes, and computes to the same bits as the workflow does on a CPU in float32.")  # fmt: skip
    _workflow(export)
    _nodes(export)
    form = export.add_mutually_exclusive_group(required=True)
    form.add_argument("--python", action="store_true", help="as Python")
    form.add_argument("--as", metavar="PROGRAM", help="for another program: comfyui (its API's form), or what an installed package writes for")  # fmt: skip
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it to this file (default: print it)")
    export.add_argument("--table", action="store_true", help="print which lines came from which node")
    export.add_argument("--seed", type=_seed, default=0, help="seed of the whole run (default 0)")
    _workspace(export)

    brought = commands.add_parser("import", help="bring a workflow of another program (ComfyUI) here",
                                  description="Read a workflow that another program saved, or a PNG that carries one, and write it as one of ours. What has no counterpart stays as a placeholder with its wires, and is told. Nothing is executed.")  # fmt: skip
    brought.add_argument("workflow", type=Path, help="its file: ComfyUI's canvas' or API's JSON, or a PNG")
    brought.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it to this file (default: print it)")
    brought.add_argument("--overwrite", action="store_true", help="replace that file")
    brought.add_argument("--models", type=Path, metavar="DIR", help="the folder below which models lie by kind, as ComfyUI/models (default: models in the workspace)")  # fmt: skip
    brought.add_argument("--pictures", type=Path, metavar="DIR", help="the folder below which pictures lie, as ComfyUI/input (default: uploads in the workspace)")  # fmt: skip
    _nodes(brought)

    nodes = commands.add_parser("nodes", help="list the nodes, explain one, or find some by words")
    nodes.add_argument("node", nargs="*", help="the node to explain, or words to find nodes by: what other programs call them, choices (euler), parameters")  # fmt: skip
    nodes.add_argument("--markdown", type=Path, metavar="FILE", help="write the reference of all nodes to this file")
    nodes.add_argument("--check", action="store_true", help="with --markdown: only say whether the file is up to date")
    _nodes(nodes)

    plugins = commands.add_parser("plugins", help="list the packages that bring nodes, and what is wrong with those that cannot be loaded")  # fmt: skip
    plugins.add_argument("--json", action="store_true", help="tell it as JSON, for programs")
    _nodes(plugins)

    models = commands.add_parser("models", help="list the models that lie in a workspace and other folders: what they are, precision, size, hash, trigger words",
                                 description="Say of every model what it is. Weights are not loaded and nothing in a file is executed; what is broken or of no use here is told.")  # fmt: skip
    models.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="more folders, or single files, such as another program's models")  # fmt: skip
    models.add_argument("--json", action="store_true", help="tell it as JSON, for programs")
    models.add_argument("--no-hash", action="store_true", help="leave out the hashes, for which all of a file is read once")  # fmt: skip
    _nodes(models)
    _workspace(models)

    picture = commands.add_parser("picture", help="say how a picture was made, by A1111, ComfyUI or here, and write it as a workflow",
                                  description="Say what a PNG, JPEG or WebP tells of how it was made: prompts, seed, steps, sampler, scale, size, model. Nothing in it is executed.")  # fmt: skip
    picture.add_argument("picture", type=Path, metavar="PICTURE", help="the picture's file")
    picture.add_argument("--output", type=Path, metavar="FILE", help="write a workflow that does the same to this file, as far as it can be, and tell the rest")  # fmt: skip
    picture.add_argument("--json", action="store_true", help="tell it as JSON, for programs")
    _nodes(picture)

    runs = commands.add_parser("runs", help="list what was run in a workspace, newest first")
    runs.add_argument("--most", type=count, default=20, metavar="N", help="list so many (default 20)")
    _workspace(runs)

    kept = commands.add_parser("blueprints", help="definitions that lie in a workspace for all workflows: list, save, insert, delete",
                               description="A blueprint is a workflow file that holds a definition, and those that it uses: blueprints/NAME.json in the workspace.")  # fmt: skip
    kept.add_argument("action", nargs="?", default="list", choices=["list", "save", "insert", "delete"], help="save: a definition of WORKFLOW. insert: put the blueprint's definitions into the file WORKFLOW")  # fmt: skip
    kept.add_argument("name", nargs="?", help="the definition")
    kept.add_argument("workflow", nargs="?", type=Path, help="a workflow file, or for save a PNG that carries one")
    kept.add_argument("--overwrite", action="store_true", help="with save: replace a blueprint that says something else")  # fmt: skip
    _workspace(kept)

    clean = commands.add_parser("clean", help="say how much room a workspace takes, and make room",
                                description="Say how much room a workspace takes. With --keep, forget cached values and checkpoints, the longest unused first: they are computed again when they are needed. Runs and models stay.")  # fmt: skip
    clean.add_argument("--keep", type=size, metavar="SIZE", help="forget until cache and checkpoints take at most so much, such as 20GB or 500MB; nothing used in the last hour")  # fmt: skip
    _workspace(clean)

    lock = commands.add_parser("lock", help="check or record that nodes compute what their versions say")
    lock.add_argument("action", choices=["check", "update"], help="check: name nodes whose source changed without a raised version. update: record new nodes and raised versions")  # fmt: skip
    lock.add_argument("--same-result", action="store_true", help="with update: also record changed sources that compute the same as before")  # fmt: skip
    _nodes(lock)
    return parser


def _seconds(text: str) -> float:
    """A time of at least 0 seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def _workflow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workflow", type=Path, help="a workflow file, or a PNG that a run saved")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="NODE.PARAM=VALUE", help="set a parameter (repeatable)")  # fmt: skip


def _nodes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", action="append", default=[], metavar="PACKAGE", help="a module or package of more nodes, besides those installed (repeatable)")  # fmt: skip


def _workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workspace", type=workspace, default=Path("workspace"), metavar="DIR|ADDRESS", help="where runs, caches, checkpoints and models lie: a folder, or an address that many machines share, such as s3://bucket/path (default ./workspace)")  # fmt: skip


def workspace(text: str) -> Path:
    """The folder of a workspace, or of this machine's copy of one at an address."""
    try:
        return folder_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _only_below(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only-below", action="append", type=Path, default=[], metavar="DIR", help="read files below this folder only: for workflows of strangers (repeatable; default: anywhere)")  # fmt: skip
