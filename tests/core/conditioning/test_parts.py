"""What holds for every kind of part: batched, dropped, joined, moved, cut and kept."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from core.conditioning.conditioning import Conditioning
from core.conditioning.dropout import drop_conditioning
from core.conditioning.parts import PARTS, ClassNumber, Concat, Context, ContextMask, Part, Vector


@dataclass(frozen=True, eq=False, slots=True)
class Levels(Part):
    """A kind that no package brings: a tuple of tensors, one for all rows, one that may be left out, and a number."""

    name = "levels"
    about = "features of several levels"
    maps: tuple[Tensor, ...]
    mean: Tensor
    mask: Tensor | None = None
    strength: float = 1.0


def parts(rows: int, seed: int = 0) -> list[Part]:
    draw = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(rows, *shape, generator=draw)

    return [
        Context(randn(3, 4)),
        Concat(randn(2, 8, 8)),
        ClassNumber(torch.randint(1, 9, (rows,), generator=draw)),
        Vector(randn(5)),
        Levels((randn(2, 4, 4), randn(3, 2, 2)), randn(1)[:1], strength=0.5),
        ContextMask(randn(3) > 0),
    ]


def equal(a: Part, b: Part) -> bool:
    return type(a) is type(b) and all(
        x.dtype == y.dtype and torch.equal(x, y) for x, y in zip(a.tensors(), b.tensors(), strict=True)
    )


every_kind = pytest.mark.parametrize("i", range(6), ids=[type(part).__name__ for part in parts(1)])


def test_every_kind_of_ours_is_tried_here() -> None:
    ours = {kind for kind in PARTS.values() if kind.__module__ == Part.__module__}
    assert ours == {type(part) for part in parts(1)} - {Levels}


@every_kind
def test_rows_are_joined_in_order_and_one_row_stands_for_any_number(i: int) -> None:
    a, b = parts(2)[i], parts(3, seed=1)[i]
    both = type(a).cat([a, b])
    assert both.rows == 5
    for whole, first, last in zip(both.tensors(), a.expand(2).tensors(), b.expand(3).tensors(), strict=True):
        assert torch.equal(whole, torch.cat([first, last]))
    assert a.expand(2).rows == 2
    assert parts(1)[i].expand(4).rows == 4
    with pytest.raises(ValueError, match="batch 2 does not fit a latent of batch 3"):
        a.expand(3)


@every_kind
def test_a_dropped_row_is_the_null_conditions_in_every_tensor(i: int) -> None:
    given = parts(3)[i].expand(3)
    for null in (given.null(), parts(1, seed=2)[i]):
        found = given.drop(null, torch.tensor([True, False, True]))
        for made, kept, empty in zip(found.tensors(), given.tensors(), null.tensors(), strict=True):
            assert torch.equal(made[1], kept[1])
            assert torch.equal(made[2], empty.expand_as(kept)[2])
            assert made.dtype == kept.dtype


@every_kind
def test_only_floating_tensors_change_their_type_and_nothing_is_made_anew_in_vain(i: int) -> None:
    part = parts(2)[i]
    assert part.to("cpu", torch.float32) is part
    moved = part.to(dtype=torch.float16)
    assert {tensor.dtype for tensor in moved.tensors()} <= {torch.float16, torch.int64, torch.bool}
    assert [tensor.is_floating_point() for tensor in moved.tensors()] == [t.is_floating_point() for t in part.tensors()]


@every_kind
def test_what_the_disk_keeps_is_the_same_again(i: int) -> None:
    part = parts(2)[i]
    assert equal(type(part).from_tree(part.to_tree()), part)


@every_kind
def test_both_at_once_are_joined_or_refused(i: int) -> None:
    a, b = parts(2)[i], parts(2, seed=1)[i]
    if a.joined_along is not None:
        joined = a.join(b)
        assert joined.tensors()[0].shape[1] == 2 * a.tensors()[0].shape[1]
        assert joined.rows == 2
    else:
        with pytest.raises(ValueError, match=f"Both conditions hold {a.name} .*takes one"):
            a.join(b)


def test_a_tile_gets_its_channels_and_all_of_the_rest() -> None:
    place = (slice(0, 4), slice(4, 8))
    for part in parts(2):
        cut = part.cut(place, (8, 8))
        assert equal(cut, Concat(part.channels[..., :4, 4:]) if isinstance(part, Concat) else part)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Context(torch.zeros(3, 4)), r"context must have shape \(b, n, d\), not \(3, 4\)"),
        (lambda: Concat(torch.zeros(3)), r"concat must have shape \(b, c, ...\)"),
        (lambda: ClassNumber(torch.zeros(3, 1)), r"y must have shape \(b\), not"),
        (lambda: Vector(torch.zeros(3)), r"vector must have shape \(b, d\)"),
        (
            lambda: Levels((torch.zeros(2, 1), torch.zeros(3, 1)), torch.zeros(1, 1)),
            r"levels differ in .* rows: \[2, 3, 1\]",
        ),
        (lambda: Levels((torch.tensor(1.0),), torch.zeros(1, 1)), r"levels must have shape \(b, ...\), not \(\)"),
    ],
)
def test_wrong_shapes_are_refused_where_they_are_made(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_a_condition_is_kept_part_by_part_and_one_of_version_0_1_is_read() -> None:
    context, concat, y, vector = (part.tensors()[0] for part in parts(2)[:4])
    told = Conditioning(context, concat, y)
    again = Conditioning.from_tree(told.to_tree())
    assert [equal(a, b) for a, b in zip(told.parts.values(), again.parts.values(), strict=True)] == [True] * 3
    old = Conditioning.from_tree({"context": context, "concat": None, "y": vector})
    assert torch.equal(old.context, context)
    assert old.concat is None
    assert torch.equal(old[Vector].values, vector)
    with pytest.raises(ValueError, match=r"A Levels cannot be kept: mark its class with @PARTS.mark"):
        Conditioning(parts=[parts(2)[4]]).to_tree()


def test_one_part_of_each_kind_in_one_batch() -> None:
    with pytest.raises(ValueError, match="one part of each kind, not context, context"):
        Conditioning(torch.zeros(1, 2, 3), parts=[Context(torch.zeros(1, 2, 3))])
    with pytest.raises(ValueError, match=r"differ in batch size: \{'context': 3, 'vector': 2\}"):
        Conditioning(torch.zeros(3, 2, 3), parts=[Vector(torch.zeros(2, 3))])


def test_an_unwilling_null_condition_is_named() -> None:
    with pytest.raises(ValueError, match="The null condition lacks y"):
        drop_conditioning(Conditioning(y=torch.tensor([1])), Conditioning(), torch.zeros(1), 0.5)


def test_gradients_reach_a_learned_null_condition() -> None:
    null = torch.zeros(1, 3, 4, requires_grad=True)
    given = Conditioning(parts(2)[0].tensors()[0])
    found = drop_conditioning(given, Conditioning(null), torch.tensor([0.2, 0.9]), 0.5)
    found.context.sum().backward()
    assert null.grad.eq(1).all()
