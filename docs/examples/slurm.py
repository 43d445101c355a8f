"""A workflow on a Slurm cluster: `python docs/examples/slurm.py WORKFLOW --nodes 2 --gpus 8 --partition NAME -- OPTIONS`.

One process for each GPU of each machine; what stands behind `--` goes to `python -m graph_runner` (the workspace has to lie
where all machines see it). A job that runs out of time, or gives way to another one, is queued again and goes on from its
checkpoint. Needs `pip install "latent-loom[slurm]"`. `--cluster local` does the same on this machine, to try it out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import submitit
from submitit.helpers import DelayedSubmission, TorchDistributedEnvironment


class Training:
    """One process of a run, as submitit starts it."""

    def __call__(self, arguments: Sequence[str]) -> int:
        """Run, as one of many. Returns the exit code: 0 done, 1 failed, 2 a wrong workflow, 130 stopped."""
        TorchDistributedEnvironment().export()  # who takes part, in the words of torchrun
        from graph_runner.__main__ import main

        return main(arguments)

    def checkpoint(self, arguments: Sequence[str]) -> DelayedSubmission:
        """What is queued when the time is up: the same, for a run goes on from its checkpoint."""
        return DelayedSubmission(self, arguments)


def main(words: Sequence[str]) -> int:
    """Submit a run, say where its logs are, and wait for its end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workflow")
    parser.add_argument("--nodes", type=int, default=1, help="machines")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of each machine, and so processes")
    parser.add_argument("--processes", type=int, default=1, help="processes of each machine where there are no GPUs")
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--partition", help="of the cluster")
    parser.add_argument("--cluster", choices=["slurm", "local"], default="slurm")
    parser.add_argument("--logs", default="slurm", metavar="FOLDER")
    split = words.index("--") if "--" in words else len(words)
    asked = parser.parse_args(words[:split])
    executor = submitit.AutoExecutor(folder=f"{asked.logs}/%j", cluster=asked.cluster)
    executor.update_parameters(
        name="latent-loom",
        nodes=asked.nodes,
        tasks_per_node=asked.gpus or asked.processes,
        timeout_min=round(asked.hours * 60),
        **({"gpus_per_node": asked.gpus} if asked.gpus else {}),
        **({"slurm_partition": asked.partition} if asked.partition else {}),
    )
    job = executor.submit(Training(), ["run", asked.workflow, *words[split + 1 :]])
    print(f"Job {job.job_id}; its logs are in {job.paths.folder}", flush=True)
    codes = job.results()
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
