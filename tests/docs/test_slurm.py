"""The example of a run on Slurm, on submitit's stand-in for a cluster: this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.graph_runner.cli.test_launch import PACKAGES
from tests.graph_runner.cli.test_process import gathering, outputs

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_processes_of_a_job_run_one_graph(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    gathering(tmp_path, n=4, pause=0)
    command = [sys.executable, str(ROOT / "docs/examples/slurm.py"), "gather.json", "--cluster", "local"]
    command += ["--processes", "2", "--", "--device", "cpu", *PACKAGES]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    logs = "\n".join(path.read_text() for path in tmp_path.glob("slurm/*/*.err"))
    assert done.returncode == 0, done.stderr + logs
    assert outputs(tmp_path) == [2.0 * (0 + 1 + 2 + 3) * (1 + 2) / 2], "the mean over ranks 0 and 1"
    environment = json.loads(next(tmp_path.glob("workspace/runs/*/environment.json")).read_text())
    assert environment["processes"] == 2
