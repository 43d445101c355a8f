"""Calls made as one: what is the same from call to call is joined once, and what may change is not."""

from __future__ import annotations

from typing import Any

import torch

from core.conditioning.conditioning import Conditioning
from graph_runner.run.join import Joiner

NAMES = ["z", "condition"]


def test_two_conditions_that_stay_are_one_object_in_each_step_and_latents_are_not() -> None:
    joiner, joined, given = Joiner(), "two calls", list[dict[str, Any]]()
    cond, uncond = (Conditioning(torch.randn(1, 3, 4)) for _ in range(2))
    z = torch.zeros(2, 4)

    def call(whole: dict[str, Any]) -> Any:
        given.append(whole)
        return whole["z"]

    def step(*conditions: Conditioning) -> None:
        with torch.no_grad():
            made = joiner.together(joined, NAMES, [{"z": z, "condition": each} for each in conditions], call)
        assert made is not None
        assert torch.equal(made[0], z)

    step(cond, uncond)
    z += 1  # in place: the same object, other numbers
    step(cond, uncond)
    assert given[0]["condition"] is given[1]["condition"]
    assert torch.equal(given[1]["z"], torch.ones(4, 4))
    step(uncond, cond)
    assert given[2]["condition"] is not given[0]["condition"]
    assert torch.equal(given[2]["condition"].context[0], uncond.tensors()[0][0])
