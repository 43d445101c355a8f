"""What one item of a job will need, by its dry run."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from graph_runner.estimate.dry import dry_run
from graph_runner.run.executors import Job


@dataclass(frozen=True)
class Needs:
    """cpus: threads that compute. gpus: None for one where there is one. memory: bytes of the machine's, where it computes there."""

    cpus: int
    gpus: int | None
    memory: int


def needs(job: Job, processes: int = 1) -> Needs:
    """What each of the processes that share an item needs: no more than the whole graph, gone through once, has at once."""
    kind = job.device.partition(":")[0]
    gpus = None if kind == "auto" else int(kind == "cuda")
    estimate = dry_run(
        job.graph,
        job.workspace,
        dtype=getattr(torch, job.dtype),
        roots=job.roots,
        injectables=job.injectables,
        processes=processes,
    )
    return Needs(job.threads, gpus, 0 if kind == "cuda" else estimate.memory)
