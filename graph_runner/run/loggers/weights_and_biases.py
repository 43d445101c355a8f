"""A run's numbers, pictures and parameters for Weights & Biases."""

from __future__ import annotations

from typing import Literal

import wandb

from graph_runner.base.events import Ended, Event, Metric, Shown
from graph_runner.run.loggers import LoggedRun, step_of


class WeightsAndBiases:
    """One run there for each run here, of the same name. Numbers are NODE/NUMBER over NODE/step.

    Each node has a step of its own, for loops count for themselves, and a step of W&B's never goes back.

    project: in which the run is put. mode: "offline" writes into the run's folder, for `wandb sync` later.
    entity: the user or team, the account's own where it is left out.
    """

    def __init__(
        self,
        run: LoggedRun,
        project: str = "latent-loom",
        mode: Literal["online", "offline"] = "online",
        entity: str | None = None,
    ) -> None:
        self.run = run
        self._there = wandb.init(
            project=project,
            entity=entity,
            name=run.folder.name,
            notes=run.title,
            dir=run.folder,
            mode=mode,
            config=run.parameters(),
            reinit="create_new",  # beside a run that the host itself may have open
        )
        self._nodes: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Pass on what it can show."""
        if isinstance(event, Metric):
            values = {f"{event.node}/{name}": value for name, value in event.values.items()}
            self._there.log({**values, **self._at(event)})
        elif isinstance(event, Shown) and event.media.startswith("image/"):
            picture = wandb.Image(str(self.run.file(event)), caption=self.run.file(event).name)
            self._there.log({f"{event.node}/picture": picture, **self._at(event)})
        elif isinstance(event, Ended):
            self._there.finish(exit_code=0 if event.status == "done" else 1)

    def _at(self, event: Metric | Shown) -> dict[str, int]:
        step = step_of(event)
        if step is None:
            return {}
        if event.node not in self._nodes:
            self._nodes.add(event.node)
            self._there.define_metric(f"{event.node}/*", step_metric=f"{event.node}/step")
        return {f"{event.node}/step": step}
