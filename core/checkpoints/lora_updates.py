"""What an adapter adds to one module's weight and bias, in each of the forms that trainers write.

| form | change of the weight | source |
|-|-|-|
| LoRA | up · down | Hu et al. 2021, section 4.1 |
| LoHa | (w1a · w1b) ∘ (w2a · w2b) | Hyeon-Woo et al. 2021, equation 4; LyCORIS |
| LoKr | w1 ⊗ w2, each of them whole or a product | Yeh et al. 2023, section 3; LyCORIS |
| difference | as it is, of weights, biases and norms | kohya's and LyCORIS' "full" and "norm" |
| DoRA | any of them, then each row or column of the sum has the length that was learned | Liu et al. 2024, equation 5 |

Each product is multiplied by alpha / rank, or alpha / √rank where it is rank-stabilised (Kalajdzievski 2023).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

MOST_RANK = 16
"""Times the wider side of the weight: beyond once it, a rank gains nothing."""

Target = Literal["weight", "bias"]

FORMS: dict[str, tuple[frozenset[str], ...]] = {
    "LoRA": (frozenset({"down", "up"}),),
    "LoHa": (frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}),),
    "LoKr": tuple(
        frozenset({*one, *two})
        for one in (("lokr_w1",), ("lokr_w1_a", "lokr_w1_b"))
        for two in (("lokr_w2",), ("lokr_w2_a", "lokr_w2_b"))
    ),
    "difference": (frozenset({"diff"}), frozenset({"diff_b"}), frozenset({"w_norm"}), frozenset({"b_norm"})),
}
"""The parts that make up each form, of which one set must be there."""


@dataclass(frozen=True, eq=False)
class Update:
    """One module's update.

    parts: tensors by what trainers call them. alpha: None for the rank. stabilised: divide by √rank (rsLoRA).
    """

    parts: Mapping[str, Tensor]
    alpha: float | None = None
    stabilised: bool = False
    form: str = field(init=False)

    def __post_init__(self) -> None:
        """Raises ValueError where a part of each form is lacking."""
        for form, choices in FORMS.items():
            if any(choice <= self.parts.keys() for choice in choices):
                object.__setattr__(self, "form", form)
                return
        raise ValueError("half of the update is lacking")

    def changes(self, target: Target) -> bool:
        """Whether there is anything for the weight, or for the bias."""
        return (target == "weight" and self.form != "difference") or bool(self._plain(target))

    def is_zero(self) -> bool:
        """Whether it adds nothing: one of its factors is zero."""
        if self.form == "difference":
            return not any(bool(part.any()) for part in self.parts.values())
        return self.alpha == 0 or any(not bool(part.any()) for name, part in self.parts.items() if name != "bias")

    def apply(self, target: Target, before: Tensor, strength: float) -> Tensor:
        """The changed weight or bias, in float32 and the shape of what was before: `before` + strength · what is added at full strength.

        Raises RuntimeError where the shapes do not fit together.
        """
        before = before.float()
        added = torch.zeros_like(before)
        for part in self._plain(target):
            if part.numel() != before.numel():
                raise RuntimeError("the difference is of another shape")
            added = added + part.float().reshape(before.shape)
        if target == "weight" and self.form != "difference":
            added = added + self.delta(before.shape).to(before.device)
            if (rows := self.parts.get("magnitude")) is not None:
                added = _of_length(before + added, rows, by_row=True) - before
            elif (length := self.parts.get("dora_scale")) is not None:
                by_row = length.dim() > 0 and len(length) == len(before)
                added = _of_length(before + added, length, by_row) - before
        return before + strength * added

    def delta(self, shape: torch.Size) -> Tensor:
        """What the factors make up, of the shape, in float32. Raises RuntimeError where they do not fit together."""
        if not shape:
            raise RuntimeError("an update is of matrices")
        parts = {name: part.float() for name, part in self.parts.items()}
        if self.form == "LoRA":
            return self._scaled(_product(parts["up"], parts["down"], parts.get("mid"), shape), len(parts["down"]))
        if self.form == "LoHa":
            one = _tucker(parts["hada_w1_a"], parts["hada_w1_b"], parts.get("hada_t1"), shape)
            two = _tucker(parts["hada_w2_a"], parts["hada_w2_b"], parts.get("hada_t2"), shape)
            return self._scaled(one * two, len(parts["hada_w1_b"]))
        return self._kronecker(parts, shape)

    def _kronecker(self, parts: Mapping[str, Tensor], shape: torch.Size) -> Tensor:
        one = parts["lokr_w1"] if "lokr_w1" in parts else _bounded(parts["lokr_w1_a"], parts["lokr_w1_b"], shape)
        if "lokr_w2" in parts:
            two = parts["lokr_w2"]
        elif (core := parts.get("lokr_t2")) is not None:
            two = _with_core(parts["lokr_w2_a"], parts["lokr_w2_b"], core, math.prod(shape))
        else:
            two = _bounded(parts["lokr_w2_a"], parts["lokr_w2_b"].flatten(1), shape)
            two = two.reshape(len(two), *parts["lokr_w2_b"].shape[1:])
        if one.numel() * two.numel() != math.prod(shape):
            raise RuntimeError("the update is of another shape")
        one = one.reshape(*one.shape, *(1 for _ in range(two.dim() - one.dim())))
        whole = torch.kron(one, two.contiguous()).reshape(shape)
        ranks = [len(parts[name]) for name in ("lokr_w2_b", "lokr_w1_b") if name in parts]
        return self._scaled(whole, ranks[0]) if ranks else whole  # where neither is a product, there is no rank

    def _scaled(self, product: Tensor, rank: int) -> Tensor:
        alpha = float(rank) if self.alpha is None else self.alpha
        return product * (alpha / (math.sqrt(rank) if self.stabilised else rank))

    def _plain(self, target: Target) -> list[Tensor]:
        """What is added as it is. The bias of a LoRA's upper half is multiplied as its weight."""
        names = ("diff", "w_norm") if target == "weight" else ("diff_b", "b_norm")
        plain = [self.parts[name] for name in names if name in self.parts]
        if target == "bias" and "bias" in self.parts:
            plain.append(self._scaled(self.parts["bias"].float(), len(self.parts["down"])))
        return plain


def _product(up: Tensor, down: Tensor, mid: Tensor | None, shape: torch.Size) -> Tensor:
    """up (o, r, …) · down (r, i, …), for some convolutions with mid (r, r, kh, kw) between them."""
    if any(part.dim() < 2 for part in (up, down)):
        raise RuntimeError("an update is of matrices")
    if mid is None:
        return _bounded(up.flatten(1), down.flatten(1), shape).reshape(shape)
    return _with_core(up.flatten(1).T, down.flatten(1), mid, math.prod(shape)).reshape(shape)


def _tucker(a: Tensor, b: Tensor, core: Tensor | None, shape: torch.Size) -> Tensor:
    """a (o, r) · b (r, i); where there is a core, a is (r, o), as LyCORIS has them."""
    whole = _bounded(a, b.flatten(1), shape) if core is None else _with_core(a, b, core, math.prod(shape))
    return whole.reshape(shape)


def _with_core(a: Tensor, b: Tensor, core: Tensor, most: int) -> Tensor:
    """a (r, o), core (r, s, …), b (s, i) → (o, i, …), of at most so many numbers."""
    if core.dim() < 2 or a.dim() != 2 or b.dim() != 2 or core.shape[:2] != (len(a), len(b)):
        raise RuntimeError("the factors do not fit together")
    if a.shape[1] * b.shape[1] * math.prod(core.shape[2:]) > most:
        raise RuntimeError("the update is of another shape")
    return torch.einsum("rs...,ro,si->oi...", core, a, b)


def _bounded(a: Tensor, b: Tensor, shape: torch.Size) -> Tensor:
    """a · b. Refuses before it is computed what would take memory out of all proportion to the weight."""
    if a.dim() != 2 or b.dim() != 2 or not len(b):
        raise RuntimeError("an update is of matrices")
    if len(a) * b.shape[1] > math.prod(shape):
        raise RuntimeError("the update is of another shape")
    if len(b) > MOST_RANK * max(shape[0], math.prod(shape[1:])):
        raise RuntimeError(f"its rank {len(b)} is beyond all need")
    return a @ b


def _of_length(weight: Tensor, length: Tensor, by_row: bool) -> Tensor:
    """The weight with the length of its rows (peft, LyCORIS by output) or of its columns (LyCORIS otherwise) as given."""
    axis = 0 if by_row else 1
    if length.numel() != weight.shape[axis]:
        raise RuntimeError("the magnitude is of another shape")
    others = [other for other in range(weight.dim()) if other != axis]
    norm: Tensor = torch.linalg.vector_norm(weight, dim=others, keepdim=True)  # of a matrix, `norm` takes two at most
    length = length.float().to(weight.device).reshape(norm.shape)
    scaled: Tensor = weight * (length / norm.clamp_min(torch.finfo(weight.dtype).tiny))
    return scaled
