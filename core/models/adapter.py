"""Low-rank adapters: small changes of a model's weights that train while the model itself stays as it is (Hu et al. 2021).

An `Adapter` is a model of its own. It holds, for each layer that it adapts, the factors of the change B · A, under the layer's own
path. `with_adapter` gives a model that computes with it (`core.models.graft`). As B starts at zero, that model first gives what the original
does, to the bit.

A change is scaled by alpha / rank, or by alpha / √rank where it is rank-stabilised (Kalajdzievski 2023). With DoRA (Liu et al. 2024,
equations 5 and 6; section 4.3: what is divided by takes no gradient) the rows of the changed weight have lengths that are learned.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from core.models.global_batch import GlobalDropout
from core.models.graft import Graft, Views, class_name
from core.models.registry import model

Model = TypeVar("Model", bound=nn.Module)

CHILD = "adapters"
"""What holds the factors within a layer."""


class Factors(Graft):
    """What changes one layer's weight (out, in, …): down (rank, in, …), up (out, rank), and with DoRA the lengths (out,) of its rows."""

    def __init__(self, shape: list[int], rank: int, scale: float, dropout: float, dora: bool) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Parameter(torch.empty(rank, *shape[1:]))
        self.up = nn.Parameter(torch.zeros(shape[0], rank))
        self.lengths = nn.Parameter(torch.ones(shape[0])) if dora else None
        self.dropout = GlobalDropout(dropout)
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, layer: nn.Module, x: Tensor, out: Tensor, weight: Tensor | None) -> Tensor:
        """What is added to `out`, what the layer made of x. weight: the layer's, (out, in, …) in float32, for DoRA."""
        x = self.dropout(x)
        down, up = self.down.to(x.dtype), self.up.to(x.dtype)
        if isinstance(layer, _ConvNd):
            hidden = layer._conv_forward(x, down, None)  # its stride and padding
            added = self.scale * F.linear(hidden.movedim(1, -1), up).movedim(-1, 1)
        else:
            added = self.scale * F.linear(F.linear(x, down.flatten(1)), up)
        if weight is None:
            return added
        aligned = (-1, *(1 for _ in weight.shape[2:])) if isinstance(layer, _ConvNd) else (-1,)
        ratio = self._ratio(weight).to(out.dtype).reshape(aligned)
        bias = cast("Tensor | None", layer.bias)
        plain = out if bias is None else out - bias.to(out.dtype).reshape(aligned)
        return (ratio - 1) * plain + ratio * added

    def change(self, weight: Tensor) -> Tensor:
        """What is added to a weight (out, in, …), in float32 and its shape."""
        weight = weight.float()
        added = self._product().reshape(weight.shape)
        if self.lengths is None:
            return added
        return self._ratio(weight).reshape(-1, *(1 for _ in weight.shape[1:])) * (weight + added) - weight

    def begin_with_lengths_of(self, weight: Tensor) -> None:
        """With DoRA, the lengths that the weight's rows have."""
        if self.lengths is not None:
            self.lengths.data.copy_(weight.float().flatten(1).norm(dim=1))

    def _product(self) -> Tensor:
        return self.scale * (self.up.float() @ self.down.float().flatten(1))

    def _ratio(self, weight: Tensor) -> Tensor:
        """The learned lengths by those of the changed rows, (out,)."""
        with torch.no_grad():
            now = (weight.flatten(1) + self._product()).norm(dim=1)
        ratio: Tensor = cast(Tensor, self.lengths) / now.clamp_min(torch.finfo(torch.float32).tiny)
        return ratio


@model
class Adapter(nn.Module):
    """The factors for layers of a model, under their paths.

    layers: the shape of each layer's weight, by its path. rank: of each change. alpha, stabilised, dora: see above. dropout: of what goes
    into the factors, in training.
    """

    config: dict[str, Any]

    def __init__(
        self,
        layers: Mapping[str, list[int]],
        rank: int = 8,
        alpha: float = 8.0,
        dropout: float = 0.0,
        stabilised: bool = False,
        dora: bool = False,
    ) -> None:
        super().__init__()
        self.layers = {path: list(shape) for path, shape in layers.items()}
        self.rank, self.alpha, self.stabilised, self.dora = rank, alpha, stabilised, dora
        scale = alpha / (math.sqrt(rank) if stabilised else rank)
        for path, shape in self.layers.items():
            *within, last = path.split(".")
            holder: nn.Module = self
            for name in within:
                if name not in holder._modules:
                    holder.add_module(name, nn.Module())
                holder = holder.get_submodule(name)
            holder.add_module(last, Factors(shape, rank, scale, dropout, dora))
        self.views = Views()

    def factors(self) -> Iterator[tuple[str, Factors]]:
        """The factors of each layer, by its path."""
        for path in self.layers:
            yield path, cast(Factors, self.get_submodule(path))


@torch.no_grad()
def adapter_for(
    model: nn.Module,
    patterns: Iterable[str],
    rank: int = 8,
    alpha: float | None = None,
    dropout: float = 0.0,
    stabilised: bool = False,
    dora: bool = False,
) -> Adapter:
    """A fresh adapter for the linear layers and convolutions of a model whose paths match a pattern (as file names do: * for anything).

    alpha: None for the rank. Raises ValueError for a pattern that matches none.
    """
    known = dict(_adaptable(model))
    chosen: dict[str, list[int]] = {}
    for pattern in patterns:
        matched = {path: list(layer.weight.shape) for path, layer in known.items() if fnmatchcase(path, pattern)}
        if not matched:
            some = ", ".join(list(known)[:: max(1, len(known) // 4)][:4]) or "none"
            raise ValueError(
                f"no linear layer or convolution of the {type(model).__name__} matches {pattern!r}; there are {some}, …"
            )
        chosen |= matched
    if not chosen:
        raise ValueError("there is no pattern, so no layer to adapt; give one, such as *attn*")
    adapter = Adapter(chosen, rank, float(rank if alpha is None else alpha), dropout, stabilised, dora)
    for path, factors in adapter.factors():
        factors.begin_with_lengths_of(known[path].weight)
    return adapter


def with_adapter(model: Model, adapter: Adapter, strength: float = 1.0) -> Model:
    """The model, computing with an adapter: it shares the weights of both, and stays what it is for who has it without.

    strength: of the change; another adapter may be put on top. The same model, adapter and strength give the same object again.
    Raises ValueError for an adapter of another model.
    """

    def graft(shell: Model) -> None:
        for path, layer in _layers_for(shell, adapter).items():
            held = getattr(layer, CHILD, None)
            if not isinstance(held, _Held):
                held = _Held()
                layer.add_module(CHILD, held)
                layer.register_forward_hook(_add_changes)
            held.append(cast(Factors, adapter.get_submodule(path)))
            held.strengths.append(strength)

    return adapter.views.once(model, strength, graft)


@torch.no_grad()
def merged(model: Model, adapter: Adapter, strength: float = 1.0) -> Model:
    """A copy of the model with the changes added to its weights, which keep their dtypes. Raises as `with_adapter`."""
    layers = _layers_for(model, adapter)
    memo: dict[int, Any] = {id(parameter): parameter for parameter in model.parameters()}
    for layer in layers.values():
        memo.pop(id(layer.weight), None)
    made = copy.deepcopy(model, memo)
    for path, factors in adapter.factors():
        weight = cast(nn.Parameter, made.get_submodule(path).weight)
        weight.copy_(weight.float() + strength * factors.change(weight))
    return made.requires_grad_(False)


class _Held(nn.ModuleList):
    """The factors within one layer, the first to be added first, and the strength of each."""

    def __init__(self) -> None:
        super().__init__()
        self.strengths: list[float] = []


def _add_changes(layer: nn.Module, given: tuple[Any, ...], out: Tensor) -> Tensor:
    """Add to what a layer gave what its factors make of what it was given."""
    held = cast(_Held, getattr(layer, CHILD))
    before: Tensor | None = None
    if any(factors.lengths is not None for factors in cast("Iterable[Factors]", held)):
        before = cast(Tensor, layer.weight).float()
    for factors, strength in zip(cast("Iterable[Factors]", held), held.strengths, strict=True):
        weight = before if factors.lengths is not None else None
        added: Tensor = factors(layer, given[0], out, weight)
        if before is not None:
            before = before + strength * factors.change(before)
        out = out + strength * added
    return out


def _layers_for(model: nn.Module, adapter: Adapter) -> dict[str, Any]:
    known = dict(_adaptable(model))
    for path, shape in adapter.layers.items():
        found = list(known[path].weight.shape) if path in known else None
        if found != shape:
            here = "no such layer" if found is None else "×".join(map(str, found))
            raise ValueError(
                f"the adapter is for another model: {path} is {'×'.join(map(str, shape))} there, and the {class_name(model)} "
                f"has {here}; wire the model that it was made for"
            )
    return {path: known[path] for path in adapter.layers}


def _adaptable(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """The layers that can be adapted, by path: those that are called with what their weight is multiplied with."""
    unseen = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, nn.MultiheadAttention))
    for path, module in model.named_modules():
        convolution = isinstance(module, _ConvNd) and not isinstance(module, _ConvTransposeNd) and module.groups == 1
        if (convolution or isinstance(module, nn.Linear)) and not path.startswith(unseen):
            yield path, module
