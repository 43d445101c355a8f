"""The losses of a training as a curve that is a part of its result, of a bounded number of points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from core.numbers import holds_numbers
from core.tables.table import Table, table_of

MOST = 1000
"""Points. Where there are so many, each two become one."""

Mean = Callable[[list[Tensor]], list[Tensor]]


class LossCurve:
    """The mean loss of each objective, over intervals of equally many steps.

    What it holds depends on the losses alone: neither on how often somebody looks, nor on how many steps are to come. So a
    training that goes on and one that went through have one curve. Losses stay on their device, and nothing waits for them.
    mean: averages scalars over processes, which all take their steps together.
    """

    def __init__(self, mean: Mean) -> None:
        self.mean = mean
        self._names: list[str] = []
        self._before = 0  # steps that were done before it began
        self._every = 1  # steps of a point
        self._points: list[Tensor] = []  # (objectives,) each
        self._sum: Tensor | None = None  # over the steps of the point that has begun
        self._count = 0
        self._losses: dict[str, list[Tensor]] = {}  # of the step that has begun

    def add(self, name: str, loss: Tensor) -> None:
        """The loss of an objective, a scalar; of a step in parts that of each part."""
        self._losses.setdefault(name, []).append(loss.detach().float())

    def stepped(self) -> None:
        """The step has ended. All steps have the same objectives."""
        if not self._losses:
            return
        losses = torch.stack(self.mean([torch.stack(parts).mean() for parts in self._losses.values()]))
        if not self._names:
            self._names = list(self._losses)
        elif self._points and self._points[0].device != losses.device:  # restored
            self._points = [point.to(losses.device) for point in self._points]
        self._losses = {}
        self._sum = losses if self._sum is None else self._sum.to(losses.device) + losses
        self._count += 1
        if self._count == self._every:
            self._points.append(self._sum / self._count)
            self._sum, self._count = None, 0
        if len(self._points) == MOST:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points, self._every = [(first + second) / 2 for first, second in pairs], 2 * self._every

    def table(self) -> Table:
        """A row for each point: `step`, the last that it is of, counted from 1, and `loss/NAME` of each objective.

        The last point may be of fewer steps than the others.
        """
        steps = [self._before + self._every * (i + 1) for i in range(len(self._points))]
        points = list(self._points)
        if self._sum is not None:
            steps.append(self._before + self._every * len(self._points) + self._count)
            points.append((self._sum / self._count).to(points[0].device if points else self._sum.device))
        names = [f"loss/{name}" for name in self._names]
        if not points or not holds_numbers(points[0]):
            return table_of({"step": steps, **{name: [None] * len(steps) for name in names}})
        columns = torch.stack(points).T.tolist()  # waits for the device once
        return table_of({"step": steps, **dict(zip(names, columns, strict=True))})

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        return {
            "names": self._names,
            "before": self._before,
            "every": self._every,
            "points": torch.stack(self._points) if self._points else None,
            "sum": self._sum,
            "count": self._count,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self._names, self._before, self._every = list(state["names"]), state["before"], state["every"]
        self._points = [] if state["points"] is None else list(state["points"])
        self._sum, self._count = state["sum"], state["count"]

    def begin_after(self, steps: int) -> None:
        """So many steps were done whose losses nobody wrote down: by a checkpoint that has no curve."""
        self._before = steps
