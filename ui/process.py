"""A worker process as the server sees it: started, spoken to, watched, killed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ui.channel import LARGEST, heard, packed
from ui.schemas import Worker, WorkerMemory

log = logging.getLogger(__name__)


class WorkerProcess:
    """The process of one device. What it says goes to `heard`, its end (with the reason) to `ended`."""

    def __init__(
        self,
        device: str,
        options: Sequence[str],
        log: Path,
        heard: Callable[[WorkerProcess, dict[str, Any]], None],
        ended: Callable[[WorkerProcess, str], None],
    ) -> None:
        self.device, self.name = device, device
        self.run: int | None = None
        self.state: str = "down"
        self.ready = False
        self.memory: WorkerMemory | None = None
        self._options, self._log = options, log
        self._heard, self._ended = heard, ended
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._watch: asyncio.Task[None] | None = None
        self._reason = ""

    @property
    def alive(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def describe(self) -> Worker:
        """What the page shows of it."""
        pid = self._process.pid if self._process is not None else None
        return Worker.model_validate(
            {"device": self.device, "name": self.name, "state": self.state, "run": self.run, "pid": pid}
        )

    async def start(self) -> None:
        """Start the process; it is idle once it says that it is ready."""
        self.state, self.ready, self._reason = "starting", False, ""
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._log.open("wb") as written:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "ui.worker", *self._options, "--device", self.device),
                    *("--channel", str(theirs.fileno())),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=written,
                    stderr=written,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl+C in the terminal is for the server, which stops its workers gently
                )
        except OSError as error:
            ours.close()
            self.state = "down"
            self._ended(self, f"the worker process could not be started: {error}")
            return
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._watch = asyncio.create_task(self._listen(self._process, reader))

    def say(self, **message: Any) -> None:
        """Send one message; a process that has died is noticed by its end."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(packed(message))

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def close(self, grace: float) -> None:
        """Let it stop its run at the end of a step and leave; after `grace` seconds, or without a run, by force."""
        if self._process is None or self._watch is None:
            return
        if self.run is None:
            self.kill()
        if self._writer is not None:
            self._writer.write_eof()
        try:
            await asyncio.wait_for(asyncio.shield(self._watch), grace)
        except TimeoutError:
            self.kill()
            await self._watch

    async def _listen(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader) -> None:
        async for message in heard(reader):
            try:
                self._take(message)
            except Exception as error:
                # Whatever it is, it must not end this task: without it nothing of the device would ever run again.
                log.error("a message of the worker for %s was not taken in: %r", self.device, error)
                self._reason = f"what the worker process told could not be kept: {error}"
                self.kill()
                break  # else what it said before it died would free it for another run
        code = await process.wait()
        if self._writer is not None:
            self._writer.close()
        self._process, self.state, self.memory = None, "down", None
        self._ended(self, self._reason or self._why(code))

    def _take(self, message: dict[str, Any] | int) -> None:
        if isinstance(message, int):
            told = f"a message of {message >> 20} MiB was left out: no more than {LARGEST >> 20} MiB are kept"
            event = {"time": time.time(), "event": "log", "message": told, "level": "warning"}
            message = {"event": event}
        elif "ready" in message:
            self.name, self.state, self.ready = message["ready"]["name"], "idle", True
        self._heard(self, message)

    def _why(self, code: int) -> str:
        """Why the process ended, in a sentence."""
        if code == -signal.SIGKILL:
            return "the worker process was killed: most often the system ran out of memory"
        if code < 0:
            return f"the worker process crashed ({signal.strsignal(-code) or f'signal {-code}'})"
        return f"the worker process ended (exit code {code})"

    def last_words(self, size: int = 4000) -> str:
        """The end of what it wrote to standard error."""
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - size))
                return log.read().decode(errors="replace")
        except OSError:
            return ""
