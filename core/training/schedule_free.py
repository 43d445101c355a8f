"""Optimizers that train at other weights than those that are the model: schedule-free ones (Defazio et al. 2024).

They say so by two methods, as the authors' own have them: `eval()` puts the averaged weights in place, which are the model, and
`train()` those that gradients are taken at. The way there and back is arithmetic, and rounds; here it changes no bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def averages(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer has two sets of weights."""
    return hasattr(optimizer, "eval") and hasattr(optimizer, "train")


def parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """The parameters that an optimizer steps, in its order."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@contextmanager
def averaged(optimizers: Iterable[torch.optim.Optimizer]) -> Iterator[None]:
    """The averaged weights in place of those to train at, which are put back to the bit."""
    switching = [optimizer for optimizer in optimizers if averages(optimizer)]
    kept = [(p, p.detach().clone()) for optimizer in switching for p in parameters(optimizer)]
    stay_averaged(switching)
    try:
        yield
    finally:
        for optimizer in switching:
            optimizer.train()  # type: ignore[attr-defined]
        with torch.no_grad():
            for parameter, weights in kept:
                parameter.copy_(weights)


def stay_averaged(optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """The averaged weights in place, at the end of a training."""
    for optimizer in optimizers:
        if averages(optimizer):
            optimizer.eval()  # type: ignore[attr-defined]


def trained_at(
    models: Mapping[str, nn.Module], optimizers: Iterable[torch.optim.Optimizer]
) -> dict[str, dict[str, Tensor]]:
    """Of the parameters that have two sets of weights, those to train at, by model and name."""
    switching = {id(p) for optimizer in optimizers if averages(optimizer) for p in parameters(optimizer)}
    named = {
        name: {key: p.detach() for key, p in model.named_parameters() if id(p) in switching}
        for name, model in models.items()
    }
    return {name: weights for name, weights in named.items() if weights}


def refuse_second_average(optimizers: list[torch.optim.Optimizer], names: list[str], others: bool) -> None:
    """Raise ValueError, with the name of its objective, for an optimizer that averages weights which another one trains too,
    or that are averaged besides (`others`)."""
    for name, optimizer in zip(names, optimizers, strict=True):
        if not averages(optimizer):
            continue
        own = {id(parameter) for parameter in parameters(optimizer)}
        shared = any(id(p) in own for other in optimizers if other is not optimizer for p in parameters(other))
        if others or shared:
            told = "set ema to 0" if others else "let no other objective train its models"
            raise ValueError(f"objective {name!r}: {type(optimizer).__name__} averages the weights by itself; {told}")
