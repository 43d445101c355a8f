"""Gradients of several processes travel in buckets while the backward pass goes on, and are those of one flat message."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from core.training.gradients import WholeGradients

LAYERS, WIDTH = 6, 8


class Wire:
    """Stands in for the other processes: notes what leaves when, and gives twice what it got once it is waited for."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def __call__(self, tensors: list[Tensor]) -> Callable[[], list[Tensor]]:
        self.seen.append("leaves")
        kept = [tensor.clone() for tensor in tensors]

        def wait() -> list[Tensor]:
            self.seen.append("waited for")
            return [2 * tensor for tensor in kept]

        return wait


def net() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)))


def loss_of(model: nn.Module, part: int) -> Tensor:
    x = torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(part))
    loss: Tensor = model(x).square().mean()
    return loss


def test_the_first_bucket_leaves_long_before_the_backward_pass_ends() -> None:
    model, seen = net(), list[str]()
    for i, layer in enumerate(model):
        layer.register_full_backward_hook(lambda *_, i=i: seen.append(f"layer {i}"))
    gradients = WholeGradients(list(model.parameters()), Wire(seen), bucket=WIDTH * WIDTH * 4)
    x = torch.randn(4, WIDTH, requires_grad=True)
    gradients.add(model(x).square().mean(), torch.ones(()), keep_graph=False, last=True)
    assert seen.index("leaves") < seen.index(f"layer {LAYERS - 3}")
    assert seen.count("leaves") >= LAYERS
    assert "waited for" not in seen
    gradients.finish()
    assert seen.count("waited for") == seen.count("leaves")


@pytest.mark.parametrize("bucket", [1, WIDTH * 4, 2**20])
@pytest.mark.parametrize("told", [True, False])
def test_buckets_hold_the_sums_of_all_parts(bucket: int, told: bool) -> None:
    model, seen = net(), list[str]()
    unused = nn.Parameter(torch.ones(3))
    own = [*model.parameters(), unused]
    gradients = WholeGradients(own, Wire(seen), bucket)
    for part in range(3):
        gradients.add(loss_of(model, part), torch.full((), 1 / 3), keep_graph=False, last=told and part == 2)
        assert told or not seen, "nothing travels before the last part"
    found = gradients.finish()
    alone = WholeGradients(own, None)
    for part in range(3):
        alone.add(loss_of(model, part), torch.full((), 1 / 3), keep_graph=False, last=part == 2)
    wanted = alone.finish()
    assert found[-1] is None
    assert wanted[-1] is None
    for mine, theirs in zip(found[:-1], wanted[:-1], strict=True):
        assert mine is not None
        assert theirs is not None
        assert torch.equal(mine, 2 * theirs)
    assert gradients.finish() == [], "all are forgotten"


def test_two_objectives_on_one_graph_each_send_their_own() -> None:
    maker, critic, seen = net(), net(), list[str]()
    fooling = critic(maker(torch.ones(2, WIDTH))).mean()
    first = WholeGradients(list(maker.parameters()), Wire(seen), bucket=1)
    second = WholeGradients(list(critic.parameters()), Wire(seen), bucket=1)
    first.add(fooling, torch.ones(()), keep_graph=True, last=True)
    assert seen.count("leaves") == 2 * LAYERS, "the critic's are on the way, and nobody asked for them"
    second.add(fooling, torch.ones(()), keep_graph=False, last=True)
    assert seen.count("leaves") == 4 * LAYERS
    wanted = torch.autograd.grad(critic(maker(torch.ones(2, WIDTH))).mean(), list(maker.parameters()))
    for mine, theirs in zip(first.finish(), wanted, strict=True):
        assert mine is not None
        assert torch.equal(mine, 2 * theirs)
