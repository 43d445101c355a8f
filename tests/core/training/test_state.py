"""What a training goes on from: the trainer's state alone, and with a stream where that stands."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from core.data.loader import Batches
from core.data.shapes import Shapes
from core.data.stream_batches import StreamBatches
from core.training.state import SHARED_STEPS, TrainingState
from core.training.trainer import Trainer
from tests.core.data.test_stream_batches import Files, same, some


def trainer() -> Trainer:
    return Trainer({"net": nn.Linear(2, 1)})


def stream() -> StreamBatches:
    return StreamBatches(Files([9, 4, 7]), 4, buffer=6, parts=2)


def test_batches_with_numbers_leave_the_checkpoint_as_it_was() -> None:
    own = trainer()
    state = TrainingState(own, Batches(Shapes(16, 9), 4)).state_dict()
    assert state.keys() == own.state_dict().keys()
    other = trainer()
    TrainingState(other, Batches(Shapes(16, 9), 4)).load_state_dict(state)
    other.finish()
    assert torch.equal(other.models["net"].weight, own.models["net"].weight)


def test_the_position_of_a_stream_is_a_part_of_the_checkpoint() -> None:
    first = stream()
    some(first, 0, 9)
    state = TrainingState(trainer(), first).state_dict()
    for kept in (state, trainer().state_dict()):  # and of a trainer alone: read from the start, the same batches
        again = stream()
        TrainingState(trainer(), again).load_state_dict(kept)
        assert all(map(same, some(again, 9, 14), some(stream(), 0, 14)[9:]))


def test_processes_tell_each_other_now_and_then() -> None:
    asked: list[Any] = []

    def gather(value: Any) -> list[Any]:
        asked.append(value)
        return []

    states = [TrainingState(trainer(), batches, gather) for batches in (stream(), Batches(Shapes(16, 9), 4))]
    for step in range(2 * SHARED_STEPS):
        for state in states:
            state.stepped(step)
    assert len(asked) == 2
