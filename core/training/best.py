"""The best models of a training so far by what is measured of them, and whether it is over (early stopping, Prechelt 1998)."""

from __future__ import annotations

import copy
import math
from typing import Any, Literal, NamedTuple

from core.training.trainer import Trainer

Mode = Literal["min", "max"]


class Measurement(NamedTuple):
    """What was measured of a training's models, and what is made of it.

    value: of the metric. mode: whether smaller or larger is better. min_delta: by how much, to count. patience: measurements in a row
    without a better one after which the training is over; 0 never ends it.
    """

    value: float
    mode: Mode = "min"
    min_delta: float = 0.0
    patience: int = 0

    def beats(self, best: float) -> bool:
        """Whether it is better than the best before. No number is better than what is none."""
        if math.isnan(self.value):
            return False
        gain = best - self.value if self.mode == "min" else self.value - best
        return math.isnan(best) or gain > self.min_delta


class Best:
    """Keeps the weights of the best measured models, and counts how often since then none was better.

    over: whether the training has ended. value, step: of the best; not a number, and 0, before anything was measured. kept: its models' and
    averages' states, by name; None before.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.anew()

    def anew(self) -> None:
        """Nothing was measured yet."""
        self.value, self.step, self.waited, self.over = math.nan, 0, 0, False
        self.kept: dict[str, Any] | None = None

    def measured(self, told: Measurement) -> None:
        """Hear what was measured of the models as they are."""
        if self.kept is None or told.beats(self.value):
            self.value, self.step, self.waited = told.value, self.trainer.steps, 0
            state = self.trainer.state_dict()
            self.kept = {part: copy.deepcopy(state[part]) for part in ("models", "averages")}
        else:
            self.waited += 1
        self.over = 0 < told.patience <= self.waited

    def state_dict(self) -> dict[str, Any]:
        """All that decides how the training goes on and what it gives; empty before anything was measured."""
        if self.kept is None:
            return {}
        value = None if math.isnan(self.value) else self.value  # JSON knows no NaN
        return {"value": value, "step": self.step, "waited": self.waited, "over": self.over, **self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.anew()
        if state:
            self.value = math.nan if state["value"] is None else state["value"]
            self.step = state["step"]
            self.waited, self.over = state["waited"], state["over"]
            self.kept = {part: state[part] for part in ("models", "averages")}
