"""What is looked at before a training's state is kept; how it is split is `test_sharding.py`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from core.training.states import refuse_spoilt, split


def state(moment: float) -> dict[str, Any]:
    moments = {"exp_avg": torch.tensor([1.0, moment]), "deeper": {"state1": torch.ones(2)}, "step": 3}
    return {"models": {"m": {"w": torch.ones(2)}}, "averages": {}, "optimizers": [{"state": {0: moments}}]}


def test_a_moment_that_is_no_number_is_named() -> None:
    refuse_spoilt(state(2.0), 7)
    with pytest.raises(FloatingPointError, match=r"at step 7 \(optimizer 0, exp_avg of parameter 0\)"):
        refuse_spoilt(state(float("nan")), 7)


def test_a_state_stays_whole_where_parameters_are() -> None:
    optimizer = torch.optim.AdamW(nn.Linear(2, 2).parameters())
    moments = {0: {"exp_avg": torch.ones(2, 2), "step": torch.tensor(1.0)}}
    found = split({"state": moments, "param_groups": []}, optimizer)
    assert found["param_groups"] == []
    assert found["state"][0]["exp_avg"] is moments[0]["exp_avg"]
