"""Values that are no numbers are found, counted and named; what has no contents is not looked at."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from core.numbers import finite, holds_numbers, spoilt


def test_values_that_are_no_numbers_are_counted_and_named() -> None:
    good, bad = torch.ones(3), torch.tensor([1.0, float("nan"), float("-inf")])
    assert finite(good, "the weights") is good
    with pytest.raises(FloatingPointError, match="2 of the 3 values of the weights are no numbers"):
        finite(bad, "the weights")
    carried = bad.clone().requires_grad_()
    assert finite(carried, "what trains") is carried


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_first_spoilt_tensor_is_named_in_order(dtype: torch.dtype) -> None:
    good, bad = torch.ones(2, dtype=dtype), torch.tensor([float("inf"), 0], dtype=dtype)
    assert spoilt({"a": good, "n": torch.tensor([1, 2]), "empty": torch.zeros(0)}) == ""
    assert spoilt({"a": good, "b": bad, "c": bad}) == "b"


def test_what_has_no_contents_is_not_looked_at() -> None:
    meta = torch.zeros(2, device="meta")
    with FakeTensorMode():
        fake = torch.zeros(2)
    assert fake.device.type == "cpu"
    assert not holds_numbers(meta)
    assert not holds_numbers(fake)
    assert holds_numbers(torch.zeros(2))
    assert holds_numbers(torch.nn.Parameter(torch.zeros(2)))
    assert spoilt({"meta": meta, "fake": fake}) == ""
    assert finite(fake, "it") is fake
