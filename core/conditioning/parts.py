"""The parts of a condition: what a denoiser may be told, each kind a class that says how its rows are handled.

Latent diffusion conditions in three ways (Rombach et al. 2022, section 3.3): tokens read by cross-attention, channels concatenated
to the latent, and a class or vector added to the time embedding. A kind of one's own is a frozen dataclass of tensors:

    @PARTS.mark
    @dataclass(frozen=True, eq=False)
    class Pose(Part):
        name = "pose"
        about = "joints of a body"
        shape = "b joints 2"
        joints: Tensor

Whatever of `Part` is otherwise with it, it says anew.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from core.kinds import Kinds

Place = tuple[slice, slice]
"""Rows and columns of a tile."""


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a condition: its fields are tensors, or tuples of tensors, with a row for each sample or one row for all.

    name: in a condition and in files. about: what it is, for messages. shape: of each tensor, einops style, rows first; "..."
    at the end stands for any further axes. joined_along: the axis on which another's tensors follow these where both are told
    at once; None where a denoiser takes one.

    Raises ValueError for tensors of other shapes, or that differ in their number of rows.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    shape: ClassVar[str] = "b ..."
    joined_along: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        axes = self.shape.removesuffix(" ...").split()
        for tensor in self.tensors():
            if tensor.ndim < len(axes) or (tensor.ndim > len(axes) and not self.shape.endswith("...")):
                raise ValueError(
                    f"Conditioning.{self.name} must have shape ({self.shape.replace(' ', ', ')}), not {tuple(tensor.shape)}."
                )
        if len({len(tensor) for tensor in self.tensors()} - {1}) > 1:
            sizes = [len(tensor) for tensor in self.tensors()]
            raise ValueError(f"The tensors of Conditioning.{self.name} differ in their number of rows: {sizes}.")

    def tensors(self) -> list[Tensor]:
        """All tensors that it holds, in a fixed order."""
        return [tensor for value in self._held().values() for tensor in _leaves(value)]

    @property
    def rows(self) -> int:
        """How many samples it is for; 1 stands for any number."""
        return max((len(tensor) for tensor in self.tensors()), default=1)

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same with `change` applied to every tensor, each (b, …); itself where that changes none."""
        held = self._held()
        changed = {name: made for name, value in held.items() if (made := _changed(value, change)) is not value}
        return replace(self, **changed) if changed else self

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """Move to a device; change the dtype of floating-point tensors (class numbers stay whole)."""
        return self.map(lambda tensor: tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None))

    def expand(self, n: int) -> Self:
        """For n samples: one row is repeated (a view, no copy). Raises ValueError where there is another number of rows."""

        def expanded(tensor: Tensor) -> Tensor:
            if len(tensor) == n:
                return tensor
            if len(tensor) != 1:
                raise ValueError(f"A conditioning of batch {len(tensor)} does not fit a latent of batch {n}.")
            return tensor.expand(n, *tensor.shape[1:])

        return self.map(expanded)

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """One batch out of several, in order. Raises ValueError where they differ in more than rows."""
        return cls.together([part.expand(part.rows) for part in parts], lambda tensors: cls._joined(tensors, dim=0))

    def drop(self, null: Self, dropped: Tensor) -> Self:
        """The rows of `null`, a part of the same shapes or of one row, where `dropped`, (b,) booleans, says so.

        Gradients reach a learned null condition.
        """
        return self.together([self, null], lambda pair: replace_rows(pair[0], pair[1], dropped))

    def null(self) -> Self:
        """What says nothing in its place: zero everywhere."""
        return self.map(torch.zeros_like)

    def join(self, other: Self) -> Self:
        """Both at once, in one call. Raises ValueError where a denoiser takes one, or where they do not fit together."""
        dim = self.joined_along
        if dim is None:
            raise ValueError(f"Both conditions hold {self.name} ({self.about}); a denoiser call takes one.")
        return self.together([self, other], lambda pair: self._joined(pair, dim))

    def cut(self, place: Place, size: tuple[int, int]) -> Self:  # noqa: ARG002 - for what lies on the latent's plane
        """What belongs to a tile of a latent of this size; all of it unless it lies on the latent's plane."""
        return self

    def to_tree(self) -> dict[str, Any]:
        """What the disk keeps: tensors, tuples of them, and JSON values, by field."""
        return self._held()

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Self:
        """The part that `to_tree` took apart."""
        return cls(**tree)

    @classmethod
    def together(cls, parts: Sequence[Self], change: Callable[[Sequence[Tensor]], Tensor]) -> Self:
        """One part of several: each of its tensors, (b, …), is what `change` makes of theirs.

        Raises ValueError where they hold another number of tensors, or differ in what is no tensor.
        """
        if any(part._settings() != parts[0]._settings() for part in parts):
            raise ValueError(f"Conditionings do not fit together: {cls.name} differs in more than its tensors.")
        made = iter([change(tensors) for tensors in zip(*(part.tensors() for part in parts), strict=True)])
        return parts[0].map(lambda _: next(made))

    @classmethod
    def _joined(cls, tensors: Sequence[Tensor], dim: int) -> Tensor:
        shapes = [tuple(tensor.shape) for tensor in tensors]
        if len({shape[:dim] + shape[dim + 1 :] for shape in shapes}) > 1:
            raise ValueError(f"Conditionings do not fit together: {cls.name} of shapes {', '.join(map(str, shapes))}.")
        return torch.cat(list(tensors), dim=dim)

    def _held(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def _settings(self) -> list[Any]:
        """What it holds besides tensors, and how these are arranged."""
        return [_without_tensors(value) for value in self._held().values()]


@dataclass(frozen=True, eq=False)
class Context(Part):
    """Tokens that cross-attention reads: of a text, a layout, a class, a picture. tokens: (b, n, d)."""

    name = "context"
    about = "tokens for cross-attention"
    shape = "b n d"
    joined_along = 1
    tokens: Tensor


@dataclass(frozen=True, eq=False)
class ContextMask(Part):
    """Which of a context's tokens are read; the others fill up a short text. read: (b, n) booleans."""

    name = "context_mask"
    about = "which tokens of the context are read"
    shape = "b n"
    joined_along = 1
    read: Tensor

    @classmethod
    def whole(cls, tokens: Tensor) -> Self:
        """All of these tokens, (b, n, d), are read."""
        return cls(torch.ones_like(tokens[..., 0], dtype=torch.bool))

    def null(self) -> ContextMask:
        """The same: a context that says nothing is read as far as the text was."""
        return self


@dataclass(frozen=True, eq=False)
class Concat(Part):
    """Channels that follow the latent's own: a map, a low-resolution image, a masked image. channels: (b, c, h, w), or on
    whatever axes the latent has."""

    name = "concat"
    about = "channels beside the latent"
    shape = "b c ..."
    joined_along = 1
    channels: Tensor

    def cut(self, place: Place, size: tuple[int, int]) -> Concat:
        """The channels of a tile. Raises ValueError where they are not at the latent's size."""
        self._refuse_other_size(size)
        return Concat(self.channels[..., place[0], place[1]])

    def beside(self, z: Tensor) -> Tensor:
        """z (b, c, …) and after it these channels. Raises ValueError where they are not at its size."""
        self._refuse_other_size(tuple(z.shape[2:]))
        return torch.cat([z, self.channels], dim=1)

    def _refuse_other_size(self, size: tuple[int, ...]) -> None:
        if self.channels.shape[2:] != size:
            raise ValueError(
                f"The concatenated condition is {tuple(self.channels.shape[2:])} and the latent {size}; "
                "resize the condition to the latent's height and width."
            )


@dataclass(frozen=True, eq=False)
class ClassNumber(Part):
    """A class, embedded with the time step. numbers: (b,)."""

    name = "y"
    about = "class numbers"
    shape = "b"
    numbers: Tensor


@dataclass(frozen=True, eq=False)
class Vector(Part):
    """A pooled vector of the whole condition, embedded with the time step; another's numbers follow. values: (b, d)."""

    name = "vector"
    about = "a vector for the time embedding"
    shape = "b d"
    joined_along = 1
    values: Tensor


PARTS: Kinds[Part] = Kinds(
    "condition part", lambda kind: kind.name, (Context, ContextMask, Concat, ClassNumber, Vector)
)
"""Every kind of part that a file may hold."""


def replace_rows(given: Tensor, others: Tensor | int, where: Tensor) -> Tensor:
    """`given`, (b, …), with the rows of `others`, of its shape, of one row, or one number, where `where`, (b,) booleans, holds."""
    rows = where.to(given.device).reshape(-1, *[1] * (given.ndim - 1))
    return torch.where(rows, torch.as_tensor(others, device=given.device, dtype=given.dtype), given)


def _leaves(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _leaves(item)


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if not isinstance(value, tuple | list):
        return value
    items = [_changed(item, change) for item in value]
    return value if all(map(operator.is_, items, value)) else type(value)(items)


def _without_tensors(value: Any) -> Any:
    if isinstance(value, Tensor):
        return Tensor
    return [_without_tensors(item) for item in value] if isinstance(value, tuple | list) else value
