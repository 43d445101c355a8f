"""Jobs on a Ray cluster: each item is a Ray task with the resources that the dry run predicts.

Ray does all the scheduling: where and when an item runs, and that it runs again when its process or machine was lost. What items
tell goes through a queue of Ray's, to which each process sends what has gathered ten times a second.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Annotated, Any, cast

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reads these when it is imported: no telemetry,
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # and a task without GPUs sees none of them

import ray
from pydantic import Field
from ray._private import worker
from ray.exceptions import RayError, RayTaskError
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from graph_runner.estimate.needs import Needs, needs
from graph_runner.run.executors import Again, Hear, Job, LostError, Work
from graph_runner.run.part import Iterations
from graph_runner.run.together import together

TELL_SECONDS = 0.1
LOOK_SECONDS = 0.2
"""How long to wait for an item before looking again at what they tell."""
GRACE_SECONDS = 60.0
"""How long items that were told to stop may take for the end of their step and its checkpoint."""


_IN_TASK = ContextVar("in a task", default=False)
"""Whether this is a task of Ray's itself: what it waits for shares the memory that it holds, for Ray lends out processors alone."""


class Ray:
    """Does items on a Ray cluster.

    address: "ray://HOST:PORT" of a cluster's client server, "auto" or HOST:PORT where this process is on a machine of the cluster;
    without one a cluster of this machine alone is started, and ended afterwards. A cluster that the program has joined already is
    taken as it is. retries: how often an item is done again whose process or machine was lost. cpus: of a cluster that is
    started; all where it is 0. processes: so many of one machine train an item together, each on a GPU of its own where there are
    GPUs.
    """

    def __init__(
        self, address: str = "", retries: int = 3, cpus: int = 0, processes: Annotated[int, Field(ge=1)] = 1
    ) -> None:
        self.address, self.retries, self.cpus, self.processes = address, retries, cpus, processes

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Join the cluster, or start one. Raises LostError where there is none at the address."""
        if ray.is_initialized():
            yield
            return
        # It prints a paragraph for each process that is lost, whatever it is told; we say it in a sentence.
        worker.print_to_stdstream = lambda *_, **__: None
        before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
        own: dict[str, Any] = {"include_dashboard": False, "num_cpus": self.cpus or None} if not self.address else {}
        try:
            ray.init(self.address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
        except Exception as error:  # Ray raises what it likes, to the plain `Exception` of a machine that is too busy
            ray.shutdown()
            raise LostError(f"no Ray cluster answers at {self.address or 'this machine'}: {error}") from error
        finally:
            if threading.current_thread() is threading.main_thread():  # Ray would end this process at once at a SIGTERM
                for each, handler in before.items():
                    signal.signal(each, handler)
        try:
            yield
        finally:
            ray.shutdown()

    def __call__(
        self, job: Job, hear: Hear, stop: threading.Event, at_once: threading.Event
    ) -> Iterator[tuple[int, Any]]:
        """See `graph_runner.run.executors.Executor`."""
        processes = self.processes if job.shared else 1
        wanted = self._resources(job, processes)
        # Where this process is: a machine that is lost should not take with it what all others tell.
        near = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        told = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": near})
        heard = _Heard(told, hear)
        task = ray.remote(max_retries=self.retries, retry_exceptions=[LostError], **wanted)(_do)
        work = ray.put(job.work)
        items = {
            task.options(name=f"{job.name} {item}").remote(work, item, told, processes): item for item in job.items
        }
        ending = _Ending(items)
        try:
            while items:
                if at_once.is_set() or stop.is_set():
                    ending.ask(force=at_once.is_set())
                done, _ = ray.wait(list(items), num_returns=1, timeout=LOOK_SECONDS)
                heard.now()
                for each in done:
                    item = items.pop(each)
                    try:
                        yield item, ray.get(each)
                    except RayError as error:
                        if not ending.asked:
                            raise self._failure(error, item) from error
        finally:
            ending.wait()
            told.shutdown(force=True)

    def _resources(self, job: Job, processes: int) -> dict[str, Any]:
        """What to ask of Ray for an item. Raises LostError where no machine of the cluster has it."""
        wanted = needs(job, processes)
        machines = [each["Resources"] for each in ray.nodes() if each["Alive"]]
        if wanted.gpus is None:  # as on a single machine: one where there is one
            wanted = Needs(wanted.cpus, int(any(each.get("GPU") for each in machines)), wanted.memory)
        gpus = (wanted.gpus or 0) * processes
        memory = 0 if _IN_TASK.get() else wanted.memory * processes
        cpus = min(wanted.cpus * processes, int(max(each.get("CPU", 0) for each in machines)))
        asked = {"CPU": cpus, "GPU": gpus, "memory": memory}
        if not any(all(each.get(name, 0) >= amount for name, amount in asked.items()) for each in machines):
            most = max(each.get("memory", 0) for each in machines)
            raise LostError(
                f"an item needs {gpus} GPUs and {memory / 1e9:.1f} GB of memory, by its dry run, and no machine of the "
                f"Ray cluster has both (the largest has {most / 1e9:.1f} GB); add one, or make the item smaller"
                + (f", or let fewer than {processes} processes share it" if processes > 1 else "")
            )
        return {"num_cpus": cpus, "num_gpus": gpus, "memory": memory}

    def _failure(self, error: RayError, item: int) -> Exception:
        """What is told of an item: what its work raised, or that it is lost."""
        cause = getattr(error, "cause", None)
        if isinstance(error, RayTaskError) and isinstance(cause, Exception) and not isinstance(cause, LostError):
            return cause
        why = str(cause or error).strip().partition("\n")[0].rstrip(".")
        return LostError(
            f"item {item} is lost, tried {self.retries + 1} times ({why}); the same command goes on from its checkpoint"
        )


class _Ending:
    """Ends tasks before they are done: items by their tasks, as long as they are waited for."""

    def __init__(self, items: Mapping[Any, int]) -> None:
        self.items = items
        self.asked = self._forced = False
        self._since = 0.0

    def ask(self, force: bool = False) -> None:
        """Ask for an end. A task that runs is interrupted, which it takes as the wish to stop at the end of a step; by force, or
        where that takes too long, its process is killed.
        """
        late = self.asked and time.monotonic() - self._since > GRACE_SECONDS
        if self.asked and (self._forced or not (force or late)):
            return
        self.asked, self._forced, self._since = True, force or late, time.monotonic()
        for each in list(self.items):
            with suppress(RayError):
                ray.cancel(each, force=self._forced, recursive=False)

    def wait(self) -> None:
        """Leave nothing behind, whatever happened."""
        while self.items and not self._forced:
            self.ask()
            done, _ = ray.wait(list(self.items), num_returns=len(self.items), timeout=LOOK_SECONDS)
            if len(done) == len(self.items):
                return


class _Heard:
    """Takes out of the queue what items told, on the thread that asks."""

    def __init__(self, told: Queue, hear: Hear) -> None:
        self.told, self.hear = told, hear
        self._begun: set[int] = set()

    def now(self) -> None:
        """Hear all that is there."""
        for item, events in self.told.get_nowait_batch(self.told.size()):
            if events is None and item in self._begun:
                self.hear(item, Again())
            self._begun.add(item)
            for event in events or ():
                self.hear(item, event)


class _Telling:
    """Sends what an item tells, gathered: a call for every event would take as long as many a step.

    Nothing waits for the queue but the end: Ray lends the processor of a task that waits to the next one.
    """

    def __init__(self, item: int, told: Queue) -> None:
        self.item = item
        self._put = cast("Any", told.actor.put_nowait)
        self._gathered: list[Any] = []
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._sent = self._put.remote((item, None))
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def __call__(self, event: Any) -> None:
        """Tell it soon."""
        with self._lock:
            self._gathered.append(event)

    def close(self) -> None:
        """Send what is left; it is there when this returns."""
        self._over.set()
        self._thread.join()
        with suppress(RayError):  # the caller is gone, and nobody listens
            ray.get(self._sent)

    def _send(self) -> None:
        while True:
            over = self._over.wait(TELL_SECONDS)
            with self._lock:
                gathered, self._gathered = self._gathered, []
            if gathered:
                self._sent = self._put.remote((self.item, gathered))
            if over:
                return


def _do(work: Work, item: int, told: Queue, processes: int) -> Any:
    """What Ray runs, in a process of the cluster. Ray's wish to end it is the wish to stop."""
    stop = threading.Event()
    _IN_TASK.set(True)
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    telling = _Telling(item, told)
    try:
        if processes > 1:
            return together(cast("Iterations", work), item, telling, stop, processes)
        return work(item, telling, stop)
    finally:
        telling.close()
        signal.signal(signal.SIGINT, before)
