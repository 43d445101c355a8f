"""A run's numbers, pictures and parameters for MLflow."""

from __future__ import annotations

import time

from mlflow.entities import Metric as Number
from mlflow.entities import Param
from mlflow.tracking import MlflowClient

from graph_runner.base.events import Ended, Event, Metric, Shown
from graph_runner.run.loggers import LoggedRun, step_of

LONGEST_VALUE = 6000
"""Characters of a parameter that MLflow takes."""
MOST_PARAMETERS = 100
"""That it takes at once."""
STATUS = {"done": "FINISHED", "stopped": "KILLED"}


class MLflow:
    """One run there for each run here, of the same name. Numbers are NODE/NUMBER; pictures are artifacts, by their nodes.

    uri: of the tracking server; left out, MLFLOW_TRACKING_URI says it. experiment: in which the run is put.
    """

    def __init__(self, run: LoggedRun, uri: str | None = None, experiment: str = "latent-loom") -> None:
        self.run = run
        # The client alone: MLflow's global "active run" would be one for all threads of the host.
        self._client = MlflowClient(uri)
        known = self._client.get_experiment_by_name(experiment)
        place = known.experiment_id if known is not None else self._client.create_experiment(experiment)
        there = self._client.create_run(place, run_name=run.folder.name, tags={"mlflow.note.content": run.title})
        self._id = there.info.run_id
        told = [Param(name, str(value)[:LONGEST_VALUE]) for name, value in run.parameters().items()]
        for first in range(0, len(told), MOST_PARAMETERS):
            self._client.log_batch(self._id, params=told[first : first + MOST_PARAMETERS])

    def __call__(self, event: Event) -> None:
        """Pass on what it can show."""
        if isinstance(event, Metric):
            now, step = round(time.time() * 1000), step_of(event) or 0
            numbers = [Number(f"{event.node}/{name}", value, now, step) for name, value in event.values.items()]
            self._client.log_batch(self._id, metrics=numbers)
        elif isinstance(event, Shown) and event.media.startswith("image/"):
            self._client.log_artifact(self._id, str(self.run.file(event)), event.node)
        elif isinstance(event, Ended):
            self._client.set_terminated(self._id, STATUS.get(event.status, "FAILED"))
