"""Names of a transformer's weights here and in diffusers, where one projection of ours is several of theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.checkpoints.weights import State


@dataclass
class Names:
    """What is called what: ours by theirs, both ways.

    plain: modules that are the same. fused: modules of ours that are these of theirs, one after the other. turned: modules whose
    halves stand in the other order (shift and scale). tensors: whole keys, of what is no module's weight or bias. sparse: some blocks
    are without some of the fused modules.
    """

    plain: dict[str, str]
    fused: dict[str, Sequence[str]] = field(default_factory=dict)
    turned: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)
    sparse: bool = False

    def add_block(self, ours: str, theirs: str, plain: Mapping[str, str], fused: Mapping[str, Sequence[str]]) -> None:
        """The modules of one block, under its name in each."""
        self.plain |= {f"{ours}.{name}": f"{theirs}.{module}" for name, module in plain.items()}
        self.fused |= {f"{ours}.{name}": [f"{theirs}.{part}" for part in parts] for name, parts in fused.items()}

    def from_theirs(self, state: Mapping[str, Tensor]) -> State:
        """Their weights under our names. Raises KeyError for a part that lacks, and ValueError for what has no name here."""
        rest = dict(state)
        out: State = {ours: rest.pop(name) for ours, name in self.tensors.items()}
        for leaf in ("weight", "bias"):
            for ours, name in self.plain.items():
                if f"{name}.{leaf}" in rest:
                    out[f"{ours}.{leaf}"] = rest.pop(f"{name}.{leaf}")
            for ours, parts in self.fused.items():
                if not self.sparse or f"{parts[0]}.{leaf}" in rest:
                    out[f"{ours}.{leaf}"] = torch.cat([rest.pop(f"{name}.{leaf}") for name in parts])
            for ours, name in self.turned.items():
                out[f"{ours}.{leaf}"] = _turned(rest.pop(f"{name}.{leaf}"))
        if rest:
            raise ValueError(f"these weights do not fit the configuration (unknown: {', '.join(sorted(rest)[:3])})")
        return out

    def to_theirs(self, state: Mapping[str, Tensor]) -> State:
        """Our weights under their names."""
        out: State = {}
        for key, tensor in state.items():
            module, _, leaf = key.rpartition(".")
            if key in self.tensors:
                out[self.tensors[key]] = tensor
            elif module in self.fused:
                parts = zip(self.fused[module], tensor.chunk(len(self.fused[module])), strict=True)
                out |= {f"{name}.{leaf}": part.clone() for name, part in parts}
            elif module in self.turned:
                out[f"{self.turned[module]}.{leaf}"] = _turned(tensor)
            else:
                out[f"{self.plain[module]}.{leaf}"] = tensor
        return out


def _turned(tensor: Tensor) -> Tensor:
    """Shift and scale in the other order."""
    first, second = tensor.chunk(2)
    return torch.cat([second, first])
