"""The run manager: a queue that outlives the server, and a worker process for each device.

A run belongs to no request: pages and scripts submit, watch and cancel, and may come and go. All of this lives on the
server's event loop; the ledger keeps what must be kept.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from ui.ledger import Ledger, parsed, seed_of
from ui.process import WorkerProcess
from ui.refusal import RefusedError
from ui.remote import Cluster, RemoteWorker
from ui.schemas import LIVE, Queue, Run, RunEvent, Worker, WorkerMemory, printable

log = logging.getLogger(__name__)

LONGEST_TITLE = 200
MOST_WAITING = 1000
"""Runs in the queue; a script that submits without end is told."""
ANSWER_SECONDS, ANSWER_STEPS = 1.0, 20
"""How long a worker may take to tell its memory the first time, and how often it is looked meanwhile."""
RETRY_SECONDS = 5.0
"""Until what could not be written (most often because the disk was full) is tried again."""


class Watcher(Protocol):
    """Somebody who wants to know what changes: a page."""

    def runs_changed(self, runs: list[int]) -> None:
        """The summaries of these runs changed."""

    def runs_removed(self, runs: list[int]) -> None:
        """These runs are forgotten."""

    def events_added(self, run: int) -> None:
        """A run has new events."""

    def workers_changed(self) -> None:
        """A worker's state changed."""


class RunManager:
    """Queues runs, hands them to workers, keeps what these tell, and cancels.

    grace: seconds that a cancelled run has to stop by itself (it ends its step and writes a checkpoint) before its process
    is killed. cluster: does all runs, instead of worker processes on these devices.
    """

    def __init__(
        self,
        ledger: Ledger,
        logs: Path,
        devices: Sequence[str],
        worker_options: Sequence[str],
        grace: float = 15.0,
        cluster: Cluster | None = None,
    ) -> None:
        self.ledger, self.grace = ledger, grace
        self.watchers: set[Watcher] = set()
        self._cluster = cluster
        self._workers: list[WorkerProcess | RemoteWorker] = [
            WorkerProcess(
                device, worker_options, logs / f"worker-{device.replace(':', '-')}.log", self._heard, self._ended
            )
            for device in (devices if cluster is None else ())
        ]
        self._numbers: dict[int, int] = {}  # of runs that go on: the number of the last event
        self._forced: dict[int, asyncio.TimerHandle] = {}
        self._crashed: dict[
            int, tuple[str, str]
        ] = {}  # runs whose worker ended: why, and its last words; not yet written
        self._retry: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._former: set[WorkerProcess | RemoteWorker] = (
            set()
        )  # workers whose process loaded nodes that are others by now

    def open(self) -> None:
        """Join the cluster, if there is one, or start it: before the server listens, for it takes long. Raises LostError."""
        if self._cluster is not None:
            self._cluster.open()

    async def start(self) -> None:
        """Take up the queue where a former server left it, and start the workers."""
        self.ledger.interrupt()
        if self._cluster is not None:
            self._keep_one_place()
            return
        for worker in self._workers:
            await worker.start()

    async def close(self) -> None:
        """Stop the workers, gently; a run that goes on is interrupted and can be submitted again."""
        self._closing = True
        for timer in [*self._forced.values(), *filter(None, [self._retry])]:
            timer.cancel()
        await asyncio.gather(*(worker.close(self.grace) for worker in self._workers))
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.close)
        self.ledger.interrupt()

    @property
    def on_cluster(self) -> bool:
        """Whether a cluster does the runs."""
        return self._cluster is not None

    def workers(self) -> list[Worker]:
        """The workers and what they do."""
        return [worker.describe() for worker in self._workers]

    def queue(self) -> Queue:
        """What runs and what waits."""
        live = self.ledger.with_status(*LIVE)
        return Queue(
            running=[run for run in live if run.status != "queued"],
            queued=[run for run in live if run.status == "queued"],
            workers=self.workers(),
        )

    def submit(
        self,
        title: str,
        text: str,
        targets: list[str],
        only: bool,
        seed: int,
        fresh: bool,
        device: str,
        check_numbers: bool = False,
        profile: bool = False,
        options: Mapping[str, Any] = {},
        changes: Sequence[str] = (),
    ) -> Run:
        """Put a (valid) workflow at the end of the queue. device: of a worker; "" is any."""
        devices = [worker.device for worker in self._workers]
        if device and device not in devices:
            raise RefusedError(400, f"there is no worker for the device {device!r}; there is {', '.join(devices)}")
        if self.ledger.waiting() >= MOST_WAITING:
            raise RefusedError(409, f"{MOST_WAITING} runs wait already; cancel some, or submit when they are done")
        asked = (targets, only, seed, fresh, device, check_numbers, profile, options, changes)
        run = self.ledger.add(title[:LONGEST_TITLE], text, *asked)
        self._dispatch()
        self._tell_runs([run])
        return self.get(run)

    def renew(self) -> None:
        """Give every worker a fresh process, which loads the nodes as they are now; one that has a run finishes it first."""
        for worker in self._workers:
            if isinstance(worker, WorkerProcess) and worker.alive:
                self._former.add(worker)
                self._leave(worker)

    def _leave(self, worker: WorkerProcess | RemoteWorker) -> bool:
        """End a worker's process that is to be another one, once it is ready and has no run; its end starts the next."""
        if worker not in self._former or not worker.ready or worker.run is not None:
            return False
        self._former.discard(worker)
        worker.state = "down"
        worker.kill()
        return True

    def get(self, run: int) -> Run:
        """A run's summary. Raises RefusedError where there is no such run."""
        summary = self.ledger.get(run)
        if summary is None:
            raise RefusedError(404, f"there is no run {run}")
        return summary

    def cancel(self, run: int, force: bool) -> Run:
        """Take a run out of the queue, or stop it: at the end of its step, or at once."""
        summary = self.get(run)
        if summary.status == "queued":
            self._withdraw([run])
            self._tell_runs([waiting.run for waiting in self.ledger.with_status("queued")])
        worker = next((worker for worker in self._workers if worker.run == run), None)
        if worker is not None and summary.status in LIVE:
            if summary.status == "running":
                self.ledger.update(run, status="stopping")
                worker.say(stop=run)
                self._forced[run] = asyncio.get_running_loop().call_later(self.grace, worker.kill)
                self._tell_runs([run])
            if force:
                worker.kill()
        return self.get(run)

    def clear(self) -> list[Run]:
        """Take all that waits out of the queue."""
        waiting = [run.run for run in self.ledger.with_status("queued")]
        self._withdraw(waiting)
        return [self.get(run) for run in waiting]

    def _withdraw(self, runs: Sequence[int]) -> None:
        """End runs that wait: all of them, or none."""
        with self.ledger.together():
            for run in runs:
                self._append(run, {"time": time.time(), "event": "ended", "status": "stopped", "seconds": 0.0})
                self._over(run, status="stopped")

    def move(self, run: int, position: int) -> list[Run]:
        """Put a run at this position of the queue, 1 being next, if it still waits. Returns what waits then."""
        if self.get(run).status == "queued":
            self.ledger.move(run, position)
        waiting = self.ledger.with_status("queued")
        self._tell_runs([each.run for each in waiting])
        return waiting

    async def memory(self) -> list[WorkerMemory]:
        """What each worker takes. They are asked, and those that have not answered soon are left out, or known from before."""
        for worker in self._workers:
            worker.say(memory=True)
        for _ in range(ANSWER_STEPS):
            if all(worker.memory is not None for worker in self._workers):
                break
            await asyncio.sleep(ANSWER_SECONDS / ANSWER_STEPS)
        return [worker.memory for worker in self._workers if worker.memory is not None]

    def remove(self, run: int) -> Run:
        """Forget a run that is over; returns what it was."""
        summary = self.get(run)
        if summary.status in LIVE:
            raise RefusedError(409, f"run {run} is {summary.status}; cancel it first")
        self.ledger.remove(run)
        for watcher in self.watchers:
            watcher.runs_removed([run])
        return summary

    def _dispatch(self) -> None:
        """Write down which runs lost their worker, and give every idle worker its next run; later, where it cannot be written."""
        try:
            for run, (why, words) in list(self._crashed.items()):
                self._crash(run, why, words)
                del self._crashed[run]
            for worker in list(self._workers):
                self._hand(worker)
            self._keep_one_place()
        except sqlite3.Error as error:
            self._dispatch_later(error)

    def _dispatch_later(self, error: sqlite3.Error) -> None:
        log.error("the queue waits: %s cannot be written (%s)", self.ledger.path, error)
        if self._retry is None and not self._closing:
            self._retry = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._dispatch_again)

    def _dispatch_again(self) -> None:
        self._retry = None
        self._dispatch()

    def _keep_one_place(self) -> None:
        """On a cluster there is always one more place, which takes the next run: when that begins is for the cluster to say."""
        if self._cluster is None or self._closing:
            return
        free = [worker for worker in self._workers if worker.state != "busy"]
        for spare in free[1:]:
            self._workers.remove(spare)
        if not free:
            taken = {worker.device for worker in self._workers}
            name = next(name for n in itertools.count(1) if (name := f"cluster {n}") not in taken)
            worker = RemoteWorker(name, self._cluster, self._heard, self._ended)
            self._workers.append(worker)
            self._start(worker)

    def _hand(self, worker: WorkerProcess | RemoteWorker) -> None:
        """Give a worker its next run, if it is idle and there is one."""
        row = self.ledger.next_for(worker.device) if not self._closing else None
        if row is None:
            return
        if worker.state == "down" and not worker.alive:
            self._start(worker)
        if worker.state == "idle":
            run = row["run"]
            self.ledger.update(run, status="running", device=worker.device, started=time.time())
            worker.run, worker.state = run, "busy"
            self._numbers[run] = self.ledger.last(run)
            worker.say(
                run=run,
                text=row["text"],
                targets=parsed(row["targets"], []),
                only=bool(row["only_targets"]),
                seed=seed_of(row),
                fresh=bool(row["fresh"]),
                check_numbers=bool(row["check_numbers"]),
                profile=bool(row["profile"]),
                options=parsed(row["options"], {}),
            )
            self._tell_runs([run, *(waiting.run for waiting in self.ledger.with_status("queued"))])
            self._tell_workers()

    def _start(self, worker: WorkerProcess | RemoteWorker) -> None:
        worker.state = "starting"
        task = asyncio.create_task(worker.start())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._tell_workers()

    def _heard(self, worker: WorkerProcess | RemoteWorker, message: dict[str, Any]) -> None:
        """A message from a worker (see `ui.worker`)."""
        if "event" in message and worker.run is not None:
            event = message["event"]
            if event["event"] == "planned":
                self.ledger.update(worker.run, folder=f"runs/{event['run']}")
                self._tell_runs([worker.run])
            elif event["event"] == "shown" and str(event["media"]).startswith("image/"):
                self.ledger.update(worker.run, picture=printable(event["path"]))
                self._tell_runs([worker.run])
            self._append(worker.run, event)
        elif "over" in message and worker.run is not None:
            over = message["over"]
            told = {"error": printable(over["error"]), "node": printable(over["node"])}
            self._over(worker.run, status=over["status"], problems=json.dumps(over["problems"]), **told)
            worker.run = None
            worker.state = "idle" if over["fit"] else "down"  # an unfit one leaves, and its end starts another
            self._leave(worker)
            self._tell_workers()
            self._dispatch()
        elif "ready" in message:
            self._leave(worker)
            self._tell_workers()
            self._dispatch()
        elif "memory" in message:
            worker.memory = WorkerMemory(device=worker.device, **message["memory"])

    def _ended(self, worker: WorkerProcess | RemoteWorker, why: str) -> None:
        """A worker's process ended: that of a run is an error on the node it was at; the next gets a fresh one."""
        run, worker.run = worker.run, None
        self._former.discard(worker)
        if run is not None and not self._closing:
            self._crashed[run] = why, worker.last_words()
        elif not worker.ready and not self._closing:
            try:
                self._could_not_start(worker, why)
            except sqlite3.Error as error:
                self._dispatch_later(error)
        self._tell_workers()
        if not self._closing and worker.ready:
            self._start(worker)
        if self._crashed:
            self._dispatch()

    def _crash(self, run: int, why: str, words: str) -> None:
        now = time.time()
        self._numbers.pop(run, None)
        summary = self.get(run)
        node = self.ledger.running_node(run)
        stopped = summary.status == "stopping"
        if stopped:
            said = {"event": "log", "message": "stopped by force", "level": "warning"}
        else:
            message = f"{why}. The next run gets a fresh one"
            said = {"event": "failed", "node": node, "message": message, "traceback": words}
        status = "stopped" if stopped else "failed"
        seconds = round(now - (summary.started or now), 3)
        with self.ledger.together():
            self._append(run, {"time": now, **said})
            self._append(run, {"time": now, "event": "ended", "status": status, "seconds": seconds})
            self._over(run, status=status, **({"error": said["message"]} if stopped else {"error": why, "node": node}))

    def _could_not_start(self, worker: WorkerProcess | RemoteWorker, why: str) -> None:
        """Without a worker no run of its device can be done: the waiting ones fail, each with the reason."""
        words = worker.last_words()
        reason = f"the worker for {worker.device} could not start: {words.strip().rpartition(chr(10))[2] or why}"
        while (row := self.ledger.next_for(worker.device)) is not None:
            run, now = row["run"], time.time()
            with self.ledger.together():
                self._append(run, {"time": now, "event": "failed", "node": "", "message": reason, "traceback": words})
                self._append(run, {"time": now, "event": "ended", "status": "failed", "seconds": 0.0})
                self._over(run, status="failed", error=reason)

    def _append(self, run: int, event: RunEvent) -> None:
        n = self._numbers.get(run, 0) or self.ledger.last(run)
        self.ledger.append(run, n + 1, event)
        self._numbers[run] = n + 1
        for watcher in self.watchers:
            watcher.events_added(run)

    def _over(self, run: int, **fields: Any) -> None:
        self.ledger.update(run, ended=time.time(), **fields)
        self._numbers.pop(run, None)
        with suppress(KeyError):
            self._forced.pop(run).cancel()
        self._tell_runs([run])

    def _tell_runs(self, runs: list[int]) -> None:
        for watcher in self.watchers:
            watcher.runs_changed(runs)

    def _tell_workers(self) -> None:
        for watcher in self.watchers:
            watcher.workers_changed()
