"""`python -m ui`: open the canvas in a browser."""

from __future__ import annotations

import argparse
import errno
import ipaddress
import os
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from pathlib import Path

from filelock import FileLock, Timeout

from graph_runner.base.home import home_of
from graph_runner.cli import arguments, engine_options

DEFAULT_PORT = 7860
SHORTEST_TOKEN = 16


def main(argv: list[str] | None = None) -> int:
    """Start the server and serve until it is told to end."""
    parser = _parser()
    options = parser.parse_args(argv)
    credentials = _credentials(parser, options.auth or os.environ.get("LOOM_AUTH"))
    token = _token(parser, os.environ.get("LOOM_TOKEN") if options.token is None else options.token)
    reachable = options.share or not _is_loopback(options.listen)
    if credentials is None and token is None and reachable:
        parser.error(
            "others could reach this server: give it a password with --auth user:password (or LOOM_AUTH), or a --token"
        )
    _check_address(parser, options.listen, options.port)
    workspace: Path = options.workspace.expanduser().resolve()
    lock = _lock(parser, workspace)
    _quiet_gradio(workspace)
    from graph_runner.base.problems import WorkflowError
    from graph_runner.run import executors, loggers
    from graph_runner.run.acceleration import Acceleration
    from graph_runner.run.devices import choose_device
    from ui.server import Settings, build

    devices = tuple(dict.fromkeys(options.device.split(",")))
    try:
        loggers.chosen(options.log)
        Acceleration(options.compile, options.attention, options.channels_last)
        for device in devices:
            choose_device(device)
        server = build(
            Settings(
                workspace,
                devices,
                engine_options.chosen(options),
                nodes=tuple(options.nodes),
                credentials=credentials,
                token=token,
                hosts=tuple(options.host),
                prefix=options.root_path,
                confined=reachable,
                lent=tuple(folder.expanduser().resolve() for folder in options.files),
                grace=options.grace,
                log=tuple(options.log),
                on=options.on,
                threads=options.threads or 0,
            )
        )
        server.manager.open()
    except (ValueError, OSError, WorkflowError, executors.LostError) as error:
        parser.error(str(error))
    try:
        public = server.serve(options.listen, options.port, options.share)
    except OSError:
        parser.error(f"{options.listen}:{options.port} cannot be listened on; choose another with --listen and --port")
    host = "127.0.0.1" if options.listen in ("0.0.0.0", "::") else options.listen
    address = f"http://{f'[{host}]' if ':' in host else host}:{options.port}/"
    query = f"?token={token}" if token else ""
    print(f"Latent Loom is at {address}{query}", flush=True)
    if server.notice:
        print(server.notice, flush=True)
    if options.share:
        print(
            f"and at {public}/{query}" if public else "without a public address: the tunnel could not be made",
            flush=True,
        )
    if options.open:
        webbrowser.open(address + query)
    told = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: told.set())
    told.wait()
    print("stopping", flush=True)
    server.stop()
    lock.release()
    return 0


def _lock(parser: argparse.ArgumentParser, workspace: Path) -> FileLock:
    """Make the workspace, and be its only server until the lock is released."""
    from graph_runner.store.space import prepare

    lock = FileLock(workspace / ".server" / "lock")
    try:
        prepare(workspace)
        home_of(workspace).prepare()
        (workspace / ".server").mkdir(exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        parser.error(f"another server uses the workspace {workspace}; end it, or choose another --workspace")
    except (OSError, ValueError) as error:
        parser.error(f"{error}; choose another folder with --workspace" if isinstance(error, OSError) else str(error))
    return lock


def _check_address(parser: argparse.ArgumentParser, listen: str, port: int) -> None:
    """Find out before anything is loaded whether this address is to be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(listen, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            parser.error(f"the port {port} is taken; choose another with --port")
        parser.error(
            f"{listen}:{port} cannot be listened on ({error.strerror or error}); choose another --listen or --port"
        )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no port; give a number from 1 to 65535")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m ui", description=__doc__)
    parser.add_argument(
        "--workspace",
        type=arguments.workspace,
        default=Path("workspace"),
        metavar="DIR|ADDRESS",
        help="folder of all data, or an address such as s3://bucket/path (default: workspace)",
    )
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="1 to 65535 (default: 7860)")
    parser.add_argument("--listen", nargs="?", const="0.0.0.0", default="127.0.0.1", metavar="ADDRESS",
                        help="the address to listen on: alone, every address of this machine (demands --auth or --token)")  # fmt: skip
    parser.add_argument(
        "--auth", metavar="USER:PASSWORD", help="ask for these (also from LOOM_AUTH, which no process list shows)"
    )
    parser.add_argument(
        "--token",
        nargs="?",
        const="",
        metavar="TOKEN",
        help="ask for a token, also on this machine: alone, a new one, printed with the address (also from LOOM_TOKEN)",
    )
    parser.add_argument(
        "--root-path", default="", metavar="/PREFIX", type=_prefix, help="a proxy puts the server below this path"
    )
    parser.add_argument(
        "--host", action="append", default=[], metavar="NAME", help="a further name of this server, e.g. behind a proxy"
    )
    parser.add_argument(
        "--share", action="store_true", help="a public address through Gradio's tunnel (demands --auth or --token)"
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, mps, or several: cuda:0,cuda:1 (a worker each)"
    )
    parser.add_argument("--on", default="here", metavar="NAME[:OPTION=VALUE,…]", help="who does the runs: here (a worker process for each device), ray (a cluster of this machine), ray://HOST:PORT, or what an installed package brings")  # fmt: skip
    engine_options.add_to(parser)
    parser.add_argument("--threads", **engine_options.OF_A_RUN["threads"])
    parser.add_argument("--nodes", action="append", default=[], metavar="MODULE", help="a further module with nodes")
    parser.add_argument("--files", action="append", default=[], type=Path, metavar="FOLDER",
                        help="where others reach this server, let workflows read files below this folder too, besides the workspace (repeatable)")  # fmt: skip
    parser.add_argument("--grace", type=float, default=15.0, help="seconds a cancelled run has before it is killed")
    parser.add_argument("--log", action="append", default=[], metavar="NAME[:OPTION=VALUE,…]",
                        help="write every run's numbers and pictures for another program, too, as `--log` of a run does (repeatable)")  # fmt: skip
    parser.add_argument("--open", action="store_true", help="open the browser")
    return parser


def _credentials(parser: argparse.ArgumentParser, given: str | None) -> tuple[str, str] | None:
    if given is None:
        return None
    user, _, password = given.partition(":")
    if not user or not password:
        parser.error("--auth takes user:password, both not empty")
    return user, password


def _token(parser: argparse.ArgumentParser, given: str | None) -> str | None:
    if given is None:
        return None
    if given and (len(given) < SHORTEST_TOKEN or not given.isascii() or not given.isalnum()):
        parser.error(f"--token takes {SHORTEST_TOKEN} letters and digits or more; alone it makes a token itself")
    return given or secrets.token_hex(24)


def _prefix(text: str) -> str:
    from ui.guard import PREFIX

    if text and not PREFIX.fullmatch(text.rstrip("/")):
        raise argparse.ArgumentTypeError(f"{text!r} is no path like /loom")
    return text.rstrip("/")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _quiet_gradio(workspace: Path) -> None:
    """Gradio reads these when it is imported: no telemetry, no other server in front, files within the workspace."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_SSR_MODE"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(workspace / ".gradio")


if __name__ == "__main__":
    sys.exit(main())
