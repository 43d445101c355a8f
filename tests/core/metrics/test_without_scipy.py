"""No metric needs scipy, which is for tests and for other people's schedulers only; and no solver needs torchsde."""

import os
import subprocess
import sys
from pathlib import Path

import torch

PROGRAM = """
import importlib.util
assert importlib.util.find_spec("scipy") is importlib.util.find_spec("torchsde") is None
import torch
from core.metrics.distribution import frechet_distance, inception_score, kernel_distance, precision_recall
from core.metrics.reconstruction import psnr, ssim
a, b = torch.randn(2, 40, 5)
images = torch.rand(2, 3, 16, 16)
for metric in (frechet_distance, kernel_distance, precision_recall):
    metric(a, b)
inception_score(a)
psnr(images, images / 2), ssim(images, images)
import core.diffusion.solvers, graph_runner.run.engine, nodes.diffusion, nodes.metrics, nodes.sampling
"""


def test_metrics_and_solvers_run_without_scipy_and_torchsde(tmp_path):
    """In an interpreter that sees all that is installed but those two."""
    for installed in Path(torch.__file__).parents[1].iterdir():
        if not installed.name.startswith(("scipy", "torchsde")):
            (tmp_path / installed.name).symlink_to(installed)
    seen = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": seen},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
