"""`python -m ui`: open the canvas in a browser."""

from __future__ import annotations

import argparse
import ipaddress
import os
import signal
import sys
import threading
import webbrowser
from pathlib import Path

from filelock import FileLock, Timeout

DEFAULT_PORT = 7860


def main(arguments: list[str] | None = None) -> int:
    """Start the server and serve until it is told to end."""
    parser = _parser()
    options = parser.parse_args(arguments)
    credentials = _credentials(parser, options.auth or os.environ.get("LOOM_AUTH"))
    reachable = options.share or not _is_loopback(options.listen)
    if credentials is None and reachable:
        parser.error("others could reach this server: give it a password with --auth user:password (or LOOM_AUTH)")
    workspace: Path = options.workspace.expanduser().resolve()
    from graph_runner.space import prepare

    try:
        prepare(workspace)
        (workspace / ".server").mkdir(exist_ok=True)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    lock = FileLock(workspace / ".server" / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        parser.error(f"another server uses the workspace {workspace}; end it, or choose another --workspace")
    _quiet_gradio(workspace)
    from graph_runner.engine import choose_device
    from graph_runner.problems import WorkflowError
    from ui.server import Settings, build

    devices = tuple(dict.fromkeys(options.device.split(",")))
    try:
        for device in devices:
            choose_device(device)
        server = build(
            Settings(
                workspace,
                devices,
                options.dtype,
                nodes=tuple(options.nodes),
                credentials=credentials,
                hosts=tuple(options.host),
                confined=reachable,
                lent=tuple(folder.expanduser().resolve() for folder in options.files),
                grace=options.grace,
            )
        )
    except (ValueError, WorkflowError) as error:
        parser.error(str(error))
    try:
        public = server.serve(options.listen, options.port, options.share)
    except OSError:
        parser.error(f"the port {options.port} is taken; choose another with --port")
    address = f"http://{'127.0.0.1' if options.listen in ('0.0.0.0', '::') else options.listen}:{options.port}/"
    print(f"Latent Loom is at {address}", flush=True)
    if options.share:
        print(f"and at {public}" if public else "without a public address: the tunnel could not be made", flush=True)
    if options.open:
        webbrowser.open(address)
    told = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: told.set())
    told.wait()
    print("stopping", flush=True)
    server.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m ui", description=__doc__)
    parser.add_argument(
        "--workspace", type=Path, default=Path("workspace"), help="folder of all data (default: workspace)"
    )
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--listen", nargs="?", const="0.0.0.0", default="127.0.0.1", metavar="ADDRESS",
                        help="the address to listen on: alone, every address of this machine (demands --auth)")  # fmt: skip
    parser.add_argument(
        "--auth", metavar="USER:PASSWORD", help="ask for these (also from LOOM_AUTH, which no process list shows)"
    )
    parser.add_argument(
        "--host", action="append", default=[], metavar="NAME", help="a further name of this server, e.g. behind a proxy"
    )
    parser.add_argument(
        "--share", action="store_true", help="a public address through Gradio's tunnel (demands --auth)"
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, mps, or several: cuda:0,cuda:1 (a worker each)"
    )
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--nodes", action="append", default=[], metavar="MODULE", help="a further module with nodes")
    parser.add_argument("--files", action="append", default=[], type=Path, metavar="FOLDER",
                        help="where others reach this server, let workflows read files below this folder too, besides the workspace (repeatable)")  # fmt: skip
    parser.add_argument("--grace", type=float, default=15.0, help="seconds a cancelled run has before it is killed")
    parser.add_argument("--open", action="store_true", help="open the browser")
    return parser


def _credentials(parser: argparse.ArgumentParser, given: str | None) -> tuple[str, str] | None:
    if given is None:
        return None
    user, _, password = given.partition(":")
    if not user or not password:
        parser.error("--auth takes user:password, both not empty")
    return user, password


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
