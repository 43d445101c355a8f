"""Layers over the rows of all processes equal torch's own over the whole batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.metrics.distribution import frechet_distance
from core.models.global_batch import GlobalBatchNorm2d, GlobalDropout
from core.models.quantizer import VectorQuantizer, codebook_usage
from graph_runner.contract.processes import Processes
from tests.world import in_two

ROWS = 6


def _batch(seed: int = 0) -> Tensor:
    rows = torch.randn(ROWS, 3, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return rows * torch.arange(1, ROWS + 1).view(-1, 1, 1, 1) + 100  # shares that differ, far from zero


def _norm(kind: type[nn.BatchNorm2d], **options: Any) -> nn.BatchNorm2d:
    torch.manual_seed(1)
    norm = kind(3, **options).double()
    if norm.affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return norm


def _through_norm(norm: nn.BatchNorm2d, x: Tensor, weigh: Tensor, processes: Processes) -> dict[str, Tensor]:
    """Output, gradients of first and second order, and buffers; `weigh` makes the loss of each row its own."""
    x = x.clone().requires_grad_()
    y = norm(x)
    loss = (y.tanh() * weigh).mean()
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    slope = slope / processes.world  # each loss is one of `world` whose mean is the whole batch's
    penalty = slope.square().sum() * processes.world
    parameters = dict(norm.named_parameters())
    gradients = torch.autograd.grad(loss + penalty, parameters.values()) if parameters else ()
    (loss, *gradients) = processes.mean([loss.detach(), *gradients])
    buffers = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    return (
        {"y": y.detach(), "slope": slope.detach(), "loss": loss}
        | dict(zip(parameters, gradients, strict=True))
        | buffers
    )


def in_a_world(processes: Processes) -> dict[str, Any]:
    """What this process finds with its share of the rows."""
    share = slice(processes.rank * ROWS // 2, (processes.rank + 1) * ROWS // 2)
    found: dict[str, Any] = {}
    with processes.together():
        for name, options in OPTIONS.items():
            norm = _norm(GlobalBatchNorm2d, **options)
            for _ in range(2):
                found[name] = _through_norm(norm, _batch()[share], _batch(1)[share], processes)
            found[f"{name}, evaluating"] = norm.eval()(_batch()[share]).detach()
        torch.manual_seed(5)
        found["dropout"] = GlobalDropout(0.4)(_batch()[share].float())
        found["codes"] = _revived(_batch()[share].float(), processes)
        if processes.rank == 0:  # whoever asks has all features, and is alone
            found["distance"] = frechet_distance(*_features())
    return found


def _revived(z: Tensor, processes: Processes) -> dict[str, Tensor]:
    torch.manual_seed(3)
    quantizer = VectorQuantizer(8, 3, revive_after=2)
    for _ in range(3):
        indices = quantizer(z).indices
    used, perplexity = codebook_usage(indices, 8, processes.mean)
    return {"codes": quantizer.embedding.weight.detach(), "used": used, "perplexity": perplexity}


def _features() -> tuple[Tensor, Tensor]:
    return torch.randn(40, 5, generator=torch.Generator().manual_seed(0)), torch.ones(40, 5).cumsum(0)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "cumulative": {"momentum": None},
    "without weights": {"affine": False},
    "without memory": {"track_running_stats": False},
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return in_two("tests.core.models.test_global_batch:in_a_world", tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("name", OPTIONS)
def test_batch_norm_over_two_processes_is_that_of_the_whole_batch(name: str, both: list[dict[str, Any]]) -> None:
    norm = _norm(nn.BatchNorm2d, **OPTIONS[name])
    for _ in range(2):
        whole = _through_norm(norm, _batch(), _batch(1), Processes())
    for key, value in whole.items():
        found = torch.cat([each[name][key] for each in both]) if key in ("y", "slope") else both[0][name][key]
        assert torch.allclose(found, value, rtol=1e-9, atol=1e-11), key
    for key in set(whole) - {"y", "slope"}:
        assert torch.equal(both[0][name][key], both[1][name][key]), f"{key} differs from process to process"
    rows = torch.cat([each[f"{name}, evaluating"] for each in both])
    if norm.track_running_stats:  # else it looks at the batch in eval mode too, as torch's, and at its own
        assert torch.allclose(rows, norm.eval()(_batch()), rtol=1e-9, atol=1e-11)


def test_dropout_drops_what_one_process_would(both: list[dict[str, Any]]) -> None:
    torch.manual_seed(5)
    assert torch.equal(torch.cat([each["dropout"] for each in both]), F.dropout(_batch().float(), 0.4))


def test_a_codebook_sees_the_whole_batch(both: list[dict[str, Any]]) -> None:
    whole = _revived(_batch().float(), Processes())
    for key, value in whole.items():
        assert torch.equal(both[0]["codes"][key], both[1]["codes"][key])
        assert torch.allclose(both[0]["codes"][key], value, rtol=1e-6), key
    assert (whole["codes"] > 50).any(), "no code was revived"


def test_a_distance_waits_for_no_other_process(both: list[dict[str, Any]]) -> None:
    assert both[0]["distance"] == frechet_distance(*_features())


def test_alone_they_are_torchs_own_to_the_bit() -> None:
    ours, theirs = _norm(GlobalBatchNorm2d).float(), _norm(nn.BatchNorm2d).float()
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    x = _batch().float()
    assert torch.equal(ours(x), theirs(x))
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))
    torch.manual_seed(0)
    dropped = GlobalDropout(0.5)(x)
    torch.manual_seed(0)
    assert torch.equal(dropped, nn.Dropout(0.5)(x))
