"""Models that remember how they were built."""

from __future__ import annotations

import json
from typing import Any

import pytest
from torch import nn

from core.models.config import remember_config


class Layered(nn.Module):
    @remember_config
    def __init__(self, width: int, depths: tuple[int, ...] = (1, 2), act: Any = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in depths)


def test_a_configuration_is_json_and_builds_the_same() -> None:
    model = Layered(3, depths=(1, 1, 1))
    assert model.config == {"width": 3, "depths": [1, 1, 1], "act": None}
    again = Layered(**json.loads(json.dumps(model.config)))
    assert [p.shape for p in again.parameters()] == [p.shape for p in model.parameters()]


def test_what_json_cannot_hold_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="parameter 'act' is a SiLU"):
        Layered(1, act=nn.SiLU())
