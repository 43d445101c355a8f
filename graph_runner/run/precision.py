"""What a run computes in: entered at each call of a node, never around a loop.

Autocast keeps the half copies that it makes of weights until its outermost context ends; around a training it would go on
with those of the first step. So it is on while a node's function runs and at no other time: a zone's own code (solvers,
optimizers, averages) is float32, and so is the backward pass of a training, as PyTorch recommends. The copies are not even
kept within a call: they exist only of weights that train, and such a weight may change in the middle of a node that loops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from graph_runner.base.problems import Problem
from graph_runner.bind.graph import Scope
from graph_runner.contract import NodeSpec


@dataclass(frozen=True)
class Precision:
    """dtype: float32, bfloat16 or float16, in which the heavy operations of nodes run; weights stay float32.

    device: the kind of device ("cpu", "cuda", "mps").
    """

    dtype: torch.dtype = torch.float32
    device: str = "cpu"

    def around(self, spec: NodeSpec, function: Callable[..., Any]) -> Callable[..., Any]:
        """How the function of such a node is called, or another one that stands for it (see `graph_runner.run.call.Entered`)."""
        if self.dtype == torch.float32 or spec.body is not None:
            return function

        def call(**kwargs: Any) -> Any:
            with torch.autocast(self.device, self.dtype, cache_enabled=False):
                return function(**kwargs)

        return call

    def problems(self, top: Scope) -> list[Problem]:
        """What cannot run so: float16 gradients vanish below 6e-8, and a zone that trains has to say that it scales them."""
        if self.dtype != torch.float16:
            return []
        return [
            Problem(
                "it trains without scaling its gradients, and in float16 small ones vanish",
                bound.id,
                remedy="Run with --dtype bfloat16 or float32; a zone that scales them says so by asking for Dtype",
            )
            for bound in top.walk()
            if bound.spec.trains and "dtype" not in bound.spec.injected.values()
        ]


def allow_tf32(allow: bool | None) -> None:
    """Let GPUs compute float32 products in TensorFloat-32 (10 bits of fraction), or not; None leaves it as PyTorch has it.

    It is PyTorch's own switch, and so of the whole process. Keys do not tell of it: as between devices, results differ by rounding.
    """
    if allow is not None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allow


def told_tf32() -> dict[str, bool]:
    """Where TensorFloat-32 is allowed: of matrix products and of convolutions."""
    return {"matmul": torch.backends.cuda.matmul.allow_tf32, "conv": torch.backends.cudnn.allow_tf32}
