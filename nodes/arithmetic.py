"""Arithmetic on numbers and tensors, to draw any algorithm. Axes are lined up from the batch (`core.broadcasting`)."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from core import expressions, tensor_arithmetic
from core.broadcasting import aligned, shape_of
from core.elementwise import RELATIONS
from core.elementwise import clamp as clamped
from core.elementwise import where as chosen
from graph_runner.context import Device
from graph_runner.contract import NamesIn, NumberOrTensor, Ports, node
from nodes.wires import AnyTensor, Loss, Scalar

N = TypeVar("N", bound=NumberOrTensor)
X = TypeVar("X", bound=Tensor)
Y = TypeVar("Y", bound=Tensor)

Formula = Annotated[str, AfterValidator(expressions.checked)]
Weight = Annotated[float, Field(ge=-1000, le=1000)]
Axis = Annotated[int, Field(ge=-8, le=7)]
Count = Annotated[int, Field(ge=0, le=2**31)]


@node(
    category="arithmetic",
    version=2,
    words=("formula", "math", "equation", "calculate", "subtract", "divide", "sqrt", "exp", "minus"),
)
def expression(
    formula: Formula = "a + s * (b - a)",
    values: Annotated[Ports[N], NamesIn("formula", expressions.NAMES, expressions.FRACTIONS)] | None = None,
) -> N:
    """A formula, such as a + s * (b - a): each name in it is a port, for a number or a tensor.

    + - * / // % **, comparisons (1 or 0), and, or, not, pi; sqrt, exp, log, sin, cos, tan, tanh, sigmoid, abs, sign, floor, ceil,
    round, min, max, clamp(x, low, high), where(condition, then, otherwise). Element by element; gradients flow. Axes are counted from the
    batch: one number for each sample goes with a batch of latents. The result is of the kind with most axes, among alike ones of
    the first in the formula; of whole numbers it is a whole one where nothing in the formula makes fractions.

    formula: names are of small letters, digits and _.
    values: one for each name.
    """
    return expressions.expression(formula)(values or {})  # type: ignore[arg-type]


@node(category="arithmetic", words=("plus", "sum", "math"))
def add_values(a: N, b: N) -> N:
    """a + b, broadcast from the batch on."""
    return expressions.expression("a + b")({"a": a, "b": b})  # type: ignore[dict-item]


@node(category="arithmetic", words=("times", "product", "scale", "math"))
def multiply_values(a: N, b: N) -> N:
    """a · b, broadcast from the batch on."""
    return expressions.expression("a * b")({"a": a, "b": b})  # type: ignore[dict-item]


@node(category="arithmetic", words=("linear combination", "merge", "average", "math"))
def weighted_sum(values: list[X], weights: list[Weight]) -> X:
    """Σ wᵢ · xᵢ of several tensors, broadcast from the batch on.

    values: the tensors.
    weights: one for each.
    """
    return tensor_arithmetic.weighted_sum(values, weights)  # type: ignore[return-value]


@node(category="arithmetic", words=("interpolate", "mix", "blend", "linear interpolation"))
def lerp(a: X, b: X, weight: Weight = 0.5) -> X:
    """(1 − weight) · a + weight · b: on the straight line from a to b.

    weight: 0 is a, 1 is b; beyond, the line goes on.
    """
    return tensor_arithmetic.lerp(a, b, weight)  # type: ignore[return-value]


@node(category="arithmetic", words=("interpolate", "spherical interpolation", "latent walk", "blend"))
def slerp(a: X, b: X, weight: Weight = 0.5) -> X:
    """On the arc from a to b, each sample a vector (Shoemake 1985): between two noises there is noise again.

    weight: 0 is a, 1 is b; beyond, the arc goes on.
    """
    return tensor_arithmetic.slerp(a, b, weight)  # type: ignore[return-value]


@node(category="arithmetic", words=("clip", "limit", "math"))
def clamp(x: N, low: float = -1.0, high: float = 1.0) -> N:
    """x, kept within bounds.

    low: what is smaller becomes this.
    high: what is larger becomes this.
    """
    if low > high:
        raise ValueError(f"low is {low:g} and high {high:g}; low must not be larger")
    return clamped(x, low, high)


@node(category="arithmetic", words=("less", "greater", "equal", "condition", "math"))
def compare(a: N, b: N, relation: Literal["<", "<=", ">", ">=", "==", "!="] = ">") -> N:
    """1 where the relation of a to b holds, 0 elsewhere; broadcast from the batch on.

    relation: how a must be to b.
    """
    lined_up = aligned({"a": a, "b": b})  # type: ignore[dict-item]
    return RELATIONS[relation](lined_up["a"], lined_up["b"])


@node(category="arithmetic", words=("if", "select", "switch", "choose", "masked"))
def where(then: N, otherwise: N, condition: N) -> N:
    """One where a condition is not 0, the other where it is; broadcast from the batch on. Both are calculated.

    then: chosen where the condition is not 0.
    otherwise: chosen where it is 0.
    condition: what compare gives, a mask, a number.
    """
    lined_up = aligned({"then": then, "otherwise": otherwise, "condition": condition})  # type: ignore[dict-item]
    return chosen(lined_up["condition"], lined_up["then"], lined_up["otherwise"])


@node(category="arithmetic", words=("length", "magnitude", "size"))
def norm(x: X, kind: tensor_arithmetic.Norm = "l2", axes: list[Axis] = []) -> X:  # noqa: B006
    """The size of a tensor along axes, which stay with size 1, so that it goes with x again.

    kind: √Σx², Σ|x|, the largest |x|, or √mean(x²).
    axes: counted from the batch, which is 0; none for all but it.
    """
    return tensor_arithmetic.norm(x, kind, axes)  # type: ignore[return-value]


@node(category="arithmetic", words=("average", "reduce"))
def mean(x: X, axes: list[Axis] = []) -> X:  # noqa: B006
    """The mean of a tensor along axes, which stay with size 1, so that it goes with x again.

    axes: counted from the batch, which is 0; none for all but it. In a training that processes share, the batch is what each has.
    """
    return tensor_arithmetic.mean(x, axes)  # type: ignore[return-value]


@node(category="arithmetic", words=("concatenate", "concat", "join", "batch"))
def cat(items: list[X], axis: Axis = 0) -> X:
    """Several tensors as one, one after the other along an axis.

    items: alike in all other axes.
    axis: 0 is the batch, 1 the channels.
    """
    return tensor_arithmetic.cat(items, axis)  # type: ignore[return-value]


@node(category="arithmetic", words=("slice", "select", "crop batch", "latent from batch"))
def rows(x: X, first: Count = 0, count: Annotated[int, Field(ge=1, le=2**31)] = 1) -> X:
    """Some samples of a batch.

    first: counted from 0.
    count: how many.
    """
    return tensor_arithmetic.rows(x, first, count)  # type: ignore[return-value]


@node(category="arithmetic", words=("chunk", "channels"))
def split(x: X, sizes: list[Annotated[int, Field(ge=1)]], axis: Axis = 1) -> list[X]:
    """A tensor in parts along an axis: a list, of which list_item takes one.

    sizes: of the parts; together the whole.
    axis: 0 is the batch, 1 the channels.
    """
    return tensor_arithmetic.split(x, sizes, axis)  # type: ignore[return-value]


@node(category="arithmetic", words=("reshape", "transpose", "permute", "einops", "view", "flatten"))
def rearrange(x: X, pattern: str, sizes: dict[str, Annotated[int, Field(ge=1)]] = {}) -> AnyTensor:  # noqa: B006
    """Axes reordered, merged and taken apart by an einops pattern: "b c (h p) (w q) -> b (c p q) h w".

    pattern: axes before and after; those in brackets are one.
    sizes: of letters that the shape leaves open: {"p": 2, "q": 2}.
    """
    return tensor_arithmetic.rearrange(x, pattern, sizes)


@node(category="arithmetic", words=("cast", "convert", "reinterpret", "retype"))
def as_kind_of(x: X, like: Y) -> Y:
    """The same tensor, said to be of the kind of another one, with as many axes: a prediction taken for a latent.

    like: what it is to be like; only its kind counts.
    """
    if x.ndim != like.ndim:
        raise ValueError(f"x is {shape_of(x)} and like is {shape_of(like)}; they must have as many axes")
    return x  # type: ignore[return-value]


@node(category="arithmetic", words=("item", "float", "scalar"))
def to_number(x: X) -> float:
    """The number that a tensor of one element holds: a loss, a timestep, the mean of all."""
    return tensor_arithmetic.number(x)


@node(category="arithmetic", words=("tensor", "constant"))
def to_scalar(value: float, device: Device) -> Scalar:
    """A number as a tensor, for ports that take one.

    value: the number.
    """
    return torch.tensor(value, dtype=torch.float32, device=device)


@node(category="arithmetic", words=("loss", "objective", "reduce", "mse"))
def mean_loss(x: X) -> Loss:
    """The mean of all numbers of a tensor, as a loss: what was calculated by hand is made small."""
    return x.mean()
