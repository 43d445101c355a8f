"""A worker process as the server sees it: started, spoken to, watched, killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ui.models import Worker

LINE_LIMIT = 2**26
"""The longest message in bytes (a traceback may be long)."""


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
        self._options, self._log = options, log
        self._heard, self._ended = heard, ended
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

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
        self.state, self.ready = "starting", False
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "ui.worker",
                *self._options,
                "--device",
                self.device,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LINE_LIMIT,
                start_new_session=True,  # Ctrl+C in the terminal is for the server, which stops its workers gently
            )
        self._watch = asyncio.create_task(self._listen(self._process))

    def say(self, **message: Any) -> None:
        """Send one message; a process that has died is noticed by its end."""
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def close(self, grace: float) -> None:
        """Let it stop its run at the end of a turn and leave; after `grace` seconds, or without a run, by force."""
        if self._process is None or self._watch is None:
            return
        if self.run is None:
            self.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(asyncio.shield(self._watch), grace)
        except TimeoutError:
            self.kill()
            await self._watch

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            message = json.loads(line)
            if "ready" in message:
                self.name, self.state, self.ready = message["ready"]["name"], "idle", True
            self._heard(self, message)
        code = await process.wait()
        self._process, self.state = None, "down"
        self._ended(self, self._why(code))

    def _why(self, code: int) -> str:
        """Why the process ended, in a sentence."""
        if code == -signal.SIGKILL:
            return "the worker process was killed: most often the system ran out of memory"
        if code < 0:
            return f"the worker process crashed ({signal.Signals(-code).name})"
        return f"the worker process ended (exit code {code})"

    def last_words(self, size: int = 4000) -> str:
        """The end of what it wrote to standard error."""
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - size))
                return log.read().decode(errors="replace")
        except OSError:
            return ""
