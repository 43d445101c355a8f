"""A run's numbers and pictures for TensorBoard, written as they come into the run's folder.

`tensorboard --logdir WORKSPACE/runs` then shows the runs side by side.
"""

from __future__ import annotations

import numpy as np
import tensorboard as tensorboard  # torch's writer needs it, and says so less plainly
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from graph_runner.base.events import Ended, Event, Metric, Shown
from graph_runner.run.loggers import LoggedRun, step_of

FOLDER = "tensorboard"


class TensorBoard:
    """Writes scalars named NODE/NUMBER, and pictures under the names of their nodes."""

    def __init__(self, run: LoggedRun) -> None:
        self.run = run
        self._writer = SummaryWriter(str(run.folder / FOLDER))

    def __call__(self, event: Event) -> None:
        """Write down what TensorBoard can show."""
        if isinstance(event, Metric):
            for name, value in event.values.items():
                self._writer.add_scalar(f"{event.node}/{name}", value, step_of(event))
        elif isinstance(event, Shown) and event.media.startswith("image/"):
            with Image.open(self.run.file(event)) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            self._writer.add_image(event.node, pixels, step_of(event), dataformats="HWC")
        elif isinstance(event, Ended):
            self._writer.close()
