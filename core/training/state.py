"""All that a training goes on from: its trainer, the best models so far, and where its data stands if that is a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from core.data.loader import Batches
from core.data.stream_batches import StreamBatches
from core.training.best import Best
from core.training.trainer import Trainer

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

SHARED_STEPS = 100
"""Steps after which several processes tell each other where they stand in a stream: who resumes reads at most so many again."""


class TrainingState:
    """A trainer's state, and beside it the position in a stream.

    Batches that have numbers need none, and their checkpoints are the trainer's. gather: every process' value, on the one that
    writes checkpoints. best: the best models so far.
    """

    def __init__(
        self,
        trainer: Trainer,
        batches: Batches | StreamBatches,
        gather: Callable[[Any], list[Any]] = lambda value: [value],
        best: Best | None = None,
    ) -> None:
        self.trainer, self.gather, self.best = trainer, gather, best or Best(trainer)
        self.stream = batches if isinstance(batches, StreamBatches) else None

    @property
    def models(self) -> dict[str, nn.Module]:
        """The models that train, by name."""
        return self.trainer.models

    def held(self) -> dict[str, list[Tensor]]:
        """As `Trainer.held`; a position in a stream holds no tensors."""
        return self.trainer.held()

    @property
    def mesh(self) -> DeviceMesh | None:
        """The processes that each hold a part of the models; None where each holds them whole."""
        return self.trainer.mesh

    def stepped(self, step: int) -> None:
        """Step `step`, counted from 0, is done; all processes say so."""
        if self.stream is not None and (step + 1) % SHARED_STEPS == 0:
            self.stream.share(self.gather)

    def state_dict(self) -> dict[str, Any]:
        """As `Trainer.state_dict`, with `data`, and with the `best` models where any were measured."""
        state = self.trainer.state_dict()
        if best := self.best.state_dict():
            state = {**state, "best": best}
        return state if self.stream is None else {**state, "data": self.stream.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, or what a trainer's alone did."""
        if self.stream is not None:
            self.stream.load_state_dict(state.get("data", {}))
        self.best.load_state_dict(state.get("best", {}))
        self.trainer.load_state_dict(state)
