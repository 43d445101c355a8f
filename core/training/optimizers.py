"""Optimizers as plain values: their settings, and how they are built for the parameters that they train.

A value is an optimizer where it has a `build` that makes a `torch.optim.Optimizer`; the trainer owns what is built and its
state. So another package's optimizer is a small class too. What PyTorch lacks comes from libraries that are optional:
pytorch-optimizer (Lion, Prodigy, schedule-free AdamW) and bitsandbytes (8-bit Adam).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch

from core.training.half_state import keeping_half

State = Literal["float32", "bfloat16"]
"""What an optimizer keeps its running means in (see `core.training.half_state`)."""
Groups = list[dict[str, Any]]
"""Parameters as PyTorch's optimizers take them: groups of {"params": [(name, parameter), …], and settings of its own}."""
FACTOR = "lr_factor"
"""In a group: what the learning rate is multiplied by there. It is the trainer's; an optimizer need not look at it."""


@runtime_checkable
class Optimizer(Protocol):
    """An optimizer's settings: any value with this method is one.

    Where it has an attribute `lr` too, that is read anew in each step, so that it may change from step to step; where it has
    a method `measures(optimizer)`, the numbers that this gives by name become curves; where it has an attribute `needs_whole`, a
    clause that says why it cannot step parts of weights, it refuses models that are split among processes. Schedules, groups, frozen parameters
    and clipping are not its business (see `core.training.recipe`).
    """

    def build(self, groups: Groups) -> torch.optim.Optimizer:
        """The optimizer of these parameters. A group's settings, such as its weight decay, go before the optimizer's own,
        as PyTorch's optimizers have it: they can be handed the groups as they are."""
        ...


@dataclass(frozen=True)
class _Adaptive:
    """Settings of Adam and what descends from it (Kingma & Ba 2015), with AdamW's defaults (Loshchilov & Hutter 2019)."""

    lr: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01

    def _settings(self) -> dict[str, Any]:
        """The settings as PyTorch's optimizers, and the libraries', call them."""
        betas = (self.beta1, self.beta2)
        return {"lr": self.lr, "betas": betas, "eps": self.eps, "weight_decay": self.weight_decay}


@dataclass(frozen=True)
class AdamW(_Adaptive):
    """AdamW (Loshchilov & Hutter 2019)."""

    state: State = "float32"

    def build(self, groups: Groups) -> torch.optim.Optimizer:
        """PyTorch's AdamW."""
        return _kept(torch.optim.AdamW, self.state)(groups, **self._settings(), fused=_on_gpu(groups))


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013)."""

    lr: float = 1e-2
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    state: State = "float32"

    def __post_init__(self) -> None:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")

    def build(self, groups: Groups) -> torch.optim.Optimizer:
        """PyTorch's SGD."""
        return _kept(torch.optim.SGD, self.state)(
            groups,
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            fused=_on_gpu(groups),
        )


@dataclass(frozen=True)
class Adafactor:
    """Adafactor (Shazeer & Stern 2018): of a matrix's squared gradients it keeps the rows' and the columns' means alone; of
    a convolution's those of each kernel, which are two thirds of 3 × 3.

    lr: the step relative to the weights' own size; it is at most 1/√step too, as the paper has it. beta2_decay: the running
    square keeps 1 − step^beta2_decay. clip_threshold: largest root mean square of an update.
    """

    lr: float = 1e-2
    beta2_decay: float = -0.8
    clip_threshold: float = 1.0
    weight_decay: float = 0.0
    needs_whole: ClassVar[str] = "it keeps means of whole rows and columns"

    def build(self, groups: Groups) -> torch.optim.Optimizer:
        """PyTorch's Adafactor."""
        return torch.optim.Adafactor(
            groups, lr=self.lr, beta2_decay=self.beta2_decay, d=self.clip_threshold, weight_decay=self.weight_decay
        )


@dataclass(frozen=True)
class Lion:
    """Lion (Chen et al. 2023): the sign of a running mean. Its rate is three to ten times smaller than AdamW's, its weight
    decay as much larger. Raises ValueError where pytorch-optimizer is not installed."""

    lr: float = 1e-5
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.1
    state: State = "float32"

    def __post_init__(self) -> None:
        _refuse_absent("Lion", "pytorch_optimizer")

    def build(self, groups: Groups) -> torch.optim.Optimizer:
        """pytorch-optimizer's Lion."""
        kind = _kept(import_module("pytorch_optimizer").Lion, self.state)
        return kind(groups, lr=self.lr, betas=(self.beta1, self.beta2), weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Prodigy(_Adaptive):
    """Prodigy (Mishchenko & Defazio 2024): Adam that finds its own step size; `lr` is a factor of it, and 1 as a rule.

    d0: the first estimate of the distance to the solution. d_coef: a factor of the estimate. bias_correction: Adam's.
    safeguard_warmup: leave the rate out of the estimate, for a warm-up. Raises ValueError where pytorch-optimizer is not
    installed.
    """

    lr: float = 1.0
    weight_decay: float = 0.0
    d0: float = 1e-6
    d_coef: float = 1.0
    bias_correction: bool = False
    safeguard_warmup: bool = False
    needs_whole: ClassVar[str] = "it finds one step size from all weights"

    def __post_init__(self) -> None:
        _refuse_absent("Prodigy", "pytorch_optimizer")

    def build(self, groups: Groups) -> torch.optim.Optimizer:
        """pytorch-optimizer's Prodigy. Raises ValueError where groups differ in their rates: it finds one step size for all."""
        if len({group.get(FACTOR, 1.0) for group in groups}) > 1:
            raise ValueError("Prodigy finds one step size for all parameters; leave lr of the parameter groups at 1")
        prodigy: torch.optim.Optimizer = import_module("pytorch_optimizer").Prodigy(
            groups,
            d0=self.d0,
            d_coef=self.d_coef,
            bias_correction=self.bias_correction,
            safeguard_warmup=self.safeguard_warmup,
            **self._settings(),
        )
        return prodigy

    def measures(self, optimizer: torch.optim.Optimizer) -> dict[str, float]:
        """The step size that it found."""
        return {"d": float(optimizer.param_groups[0]["d"])}


@dataclass(frozen=True)
class ScheduleFreeAdamW(_Adaptive):
    """Schedule-free AdamW (Defazio et al. 2024): it trains at one place and averages another, which is the model.

    The averaged weights are what everybody but the training itself sees. It needs no falling rate, only a warm-up.
    Raises ValueError where pytorch-optimizer is not installed.
    """

    lr: float = 2.5e-3
    weight_decay: float = 0.0
    needs_whole: ClassVar[str] = "it puts other weights in place of those it trains whenever somebody looks"

    def __post_init__(self) -> None:
        _refuse_absent("schedule-free AdamW", "pytorch_optimizer")

    def build(self, groups: Groups) -> torch.optim.Optimizer:
        """pytorch-optimizer's ScheduleFreeAdamW."""
        free: torch.optim.Optimizer = import_module("pytorch_optimizer").ScheduleFreeAdamW(groups, **self._settings())
        return free


@dataclass(frozen=True)
class Adam8bit(_Adaptive):
    """AdamW whose running means are kept in 8 bits, block by block (Dettmers et al. 2022): a quarter of the memory.

    Parameters of less than 4,096 numbers keep 32 bits. Raises ValueError where bitsandbytes is not installed.
    """

    needs_whole: ClassVar[str] = "its blocks of 8-bit numbers end elsewhere than the parts"

    def __post_init__(self) -> None:
        _refuse_absent("8-bit Adam", "bitsandbytes")

    def build(self, groups: Groups) -> torch.optim.Optimizer:
        """bitsandbytes' AdamW8bit."""
        # On a CPU it warns that it has no kernels for 4-bit inference, which is nobody's concern here.
        logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
        adam: torch.optim.Optimizer = import_module("bitsandbytes.optim").AdamW8bit(groups, **self._settings())
        return adam


def refuse_split(optimizer: Optimizer) -> None:
    """Raise ValueError for an optimizer that cannot step parts of weights (`needs_whole`)."""
    if why := getattr(optimizer, "needs_whole", ""):
        raise ValueError(
            f"{type(optimizer).__name__} cannot train sharded models: {why}; take AdamW, or let each process hold whole models"
        )


def _kept(kind: type[torch.optim.Optimizer], state: State) -> Callable[..., torch.optim.Optimizer]:
    """The class of an optimizer that keeps its running means so."""
    return keeping_half(kind) if state == "bfloat16" else kind


def _on_gpu(groups: Groups) -> bool | None:
    """True where one kernel can step all parameters, which waits for nothing; None for PyTorch's own choice, on a CPU as ever."""
    return all(parameter.is_cuda for group in groups for _, parameter in group["params"]) or None


def _refuse_absent(name: str, module: str) -> None:
    if find_spec(module) is None:
        package = module.replace("_", "-")
        raise ValueError(f"{name} needs the package {package}, which is not installed; pip install {package}")
