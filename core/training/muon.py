"""Muon (Jordan et al. 2024) for whole models: its orthogonal steps for matrices and convolutions, AdamW's for all else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, overload

import torch
from torch import nn

from core.training.optimizers import Groups

NAMES = ("params", "param_names")


@dataclass(frozen=True)
class Muon:
    """Muon's settings, and those of the AdamW beside it.

    Muon's steps are scaled to the size of AdamW's (Liu et al. 2025, "Muon is scalable for LLM training"), so that both go by
    one learning rate and one weight decay. A group with {"muon": False} is AdamW's, matrices too: embeddings and last
    layers are (see `core.training.recipe.Group`).

    momentum, nesterov: of the gradients. iterations: Newton-Schulz steps by which a matrix is made orthogonal. beta1,
    beta2, eps: AdamW's.
    """

    lr: float = 1e-4
    momentum: float = 0.95
    nesterov: bool = True
    weight_decay: float = 0.01
    iterations: int = 5
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    needs_whole: ClassVar[str] = "its steps are made of whole matrices"

    def build(self, groups: Groups) -> torch.optim.Optimizer:
        """PyTorch's Muon and PyTorch's AdamW as one optimizer."""
        muon = {"momentum": self.momentum, "nesterov": self.nesterov, "ns_steps": self.iterations}
        adamw = {"betas": (self.beta1, self.beta2), "eps": self.eps}
        return MuonAndAdamW(groups, muon, adamw, lr=self.lr, weight_decay=self.weight_decay)


class MuonAndAdamW(torch.optim.Optimizer):
    """One optimizer of groups that are each stepped by `torch.optim.Muon` or by `torch.optim.AdamW`.

    torch's Muon takes matrices alone. Here a convolution's kernel, out × in × h × w, is seen as the matrix out × (in · h · w)
    (Jordan et al. 2024). The states of both lie in this optimizer's, so that it is saved and restored like any other.

    groups: those with "muon" False go to AdamW whole, others as far as they are no matrices. muon, adamw: settings of each.
    """

    def __init__(
        self, groups: Groups, muon: dict[str, Any], adamw: dict[str, Any], *, lr: float, weight_decay: float
    ) -> None:
        parted: Groups = []
        for group in groups:
            rest = {key: value for key, value in group.items() if key != "params"}
            wanted = rest.pop("muon", True)
            for is_muon, own in ((True, muon), (False, adamw)):
                params = [(n, p) for n, p in group["params"] if (wanted and p.ndim >= 2) is is_muon]
                if params:
                    parted.append({"params": params, "muon": is_muon, **own, **rest})
        super().__init__(parted, {"lr": lr, "weight_decay": weight_decay})
        self._inner: list[torch.optim.Optimizer] = []
        for group in self.param_groups:
            if group["muon"]:
                # Views: what changes in them changes in the weights.
                flat = [nn.Parameter(p.detach().view(len(p), -1), requires_grad=False) for p in group["params"]]
                self._inner.append(torch.optim.Muon(flat, adjust_lr_fn="match_rms_adamw"))
            else:
                self._inner.append(torch.optim.AdamW(group["params"]))

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Step each group by its own optimizer."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, inner in zip(self.param_groups, self._inner, strict=True):
            (own,) = inner.param_groups
            own |= {key: value for key, value in group.items() if key not in NAMES}
            for parameter, seen in zip(group["params"], own["params"], strict=True):
                if parameter.grad is not None:
                    inner.state[seen] = self.state[parameter]
                    if group["muon"]:
                        seen.grad = parameter.grad.reshape(seen.shape)
            inner.step()
            if group["muon"]:
                inner.zero_grad()
        return loss
