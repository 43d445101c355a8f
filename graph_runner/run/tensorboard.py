"""A run's numbers and pictures for TensorBoard, written as they come into the run's folder.

`tensorboard --logdir WORKSPACE/runs` then shows the runs side by side.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graph_runner.base.events import Ended, Event, Metric, Planned, Shown

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


class TensorBoard:
    """A listener to one run. Raises ImportError where TensorBoard is not installed.

    The step of a number or picture is that of the canvas: the turns done of the innermost loop around.
    """

    def __init__(self, workspace: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.workspace, self._open = workspace, SummaryWriter
        self._writer: SummaryWriter | None = None

    def __call__(self, event: Event) -> None:
        """Write down what TensorBoard can show."""
        if isinstance(event, Planned):
            self._writer = self._open(str(self.workspace / "runs" / event.run / FOLDER))
        if self._writer is None:
            return
        if isinstance(event, Metric):
            for name, value in event.values.items():
                self._writer.add_scalar(f"{event.node}/{name}", value, _step(event))
        elif isinstance(event, Shown) and event.media.startswith("image/"):
            self._add_picture(self._writer, event)
        elif isinstance(event, Ended):
            self._writer.close()
            self._writer = None

    def _add_picture(self, writer: SummaryWriter, shown: Shown) -> None:
        import numpy as np
        from PIL import Image

        with Image.open(self.workspace / shown.path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        writer.add_image(shown.node, pixels, _step(shown), dataformats="HWC")


def _step(event: Metric | Shown) -> int | None:
    return None if event.turn is None else event.turn + 1
