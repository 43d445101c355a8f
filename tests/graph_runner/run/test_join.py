"""Calls made as one: what is the same from call to call is joined once, and what may change is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch

from core.conditioning.conditioning import Conditioning
from graph_runner.compile.plan import Joined
from graph_runner.run.join import Joiner


def pair() -> Joined:
    """Two calls that differ in z and condition."""
    member = SimpleNamespace(singles=[("z", 0), ("condition", 1)])
    return cast(Joined, _Pair(SimpleNamespace(batched=("z", "condition")), [member, member]))


class _Pair:
    def __init__(self, spec: Any, members: list[Any]) -> None:
        self.spec, self.members = spec, members


def test_two_conditions_that_stay_are_one_object_in_each_step_and_latents_are_not() -> None:
    joiner, joined, given = Joiner(), pair(), list[dict[str, Any]]()
    cond, uncond = (Conditioning(torch.randn(1, 3, 4)) for _ in range(2))
    z = torch.zeros(2, 4)

    def call(whole: dict[str, Any]) -> Any:
        given.append(whole)
        return whole["z"]

    def step(*conditions: Conditioning) -> None:
        with torch.no_grad():
            made = joiner.together(joined, [{"z": z, "condition": each} for each in conditions], call)
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
