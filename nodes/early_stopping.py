"""What ends a training and chooses the models that it gives: a metric that is measured now and then."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Protocol

from pydantic import Field

from core.training.best import Measurement, Mode
from graph_runner.context import Metrics, Watch
from graph_runner.contract import Body, node


class Metric(NamedTuple):
    """What is measured: one number."""

    metric: Any


class Measure(Protocol):
    """A body without ports that measures the models of the training around it."""

    def __call__(self) -> Metric:
        """The metric."""
        ...


def _measured(body: Body[Measure], **_: Any) -> None:
    """In a dry run, where a metric has no value."""
    body()


@node(
    category="training",
    aside="steps",
    dry=_measured,
    words=("validation", "patience", "best checkpoint", "best so far", "model selection", "early stop", "overfitting"),
)
def early_stopping(
    body: Body[Measure],
    watch: Watch,
    metrics: Metrics,
    steps: Annotated[int, Field(ge=1)] = 100,  # noqa: ARG001 - the loop around counts
    patience: Annotated[int, Field(ge=0, le=10**6)] = 5,
    mode: Mode = "min",
    min_delta: Annotated[float, Field(ge=0)] = 0.0,
    name: str = "validation",
) -> None:
    """Measure the models every so many steps of the training around it; what that gives are the best measured models.

    Where the metric has not become better for some measurements in a row, the training ends there (early stopping, Prechelt 1998). The body
    gives `metric`, one number; it sees the models in eval mode and without gradients. Unlike a preview this decides what is trained: a
    change trains anew.

    steps: from one measurement to the next.
    patience: measurements in a row without a better one after which the training ends; 0 never ends it, and chooses the models alone.
    mode: whether a smaller or a larger metric is better.
    min_delta: by how much it must be better to count.
    name: what the metric's curve is called.
    """
    value = float(body().metric)
    metrics(**{name: value})
    watch(Measurement(value, mode, min_delta, patience))
