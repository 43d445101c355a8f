"""The content of values, hashed: equal where they are equal, and nowhere else."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from graph_runner.base.values import content_hash

plain = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=4),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(plain, plain)
def test_equal_hashes_mean_equal_values(one: Any, other: Any) -> None:
    assert (content_hash(one) == content_hash(other)) == (repr(one) == repr(other))


@pytest.mark.parametrize(
    "same",
    [
        lambda x: x.clone(),
        lambda x: x.t().contiguous().t(),
        lambda x: torch.stack([x, x])[1],
        lambda x: torch.nn.Parameter(x),
        lambda x: x.to(torch.float64).to(torch.float32),
    ],
)
def test_a_tensor_is_its_numbers_however_they_lie(same: Any) -> None:
    x = torch.arange(6.0).view(2, 3)
    assert content_hash(same(x)) == content_hash(x)


def test_where_one_value_ends_and_the_next_begins_counts() -> None:
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0])
    assert content_hash([a, b]) != content_hash([torch.tensor([1.0]), torch.tensor([2.0, 3.0])])
    assert content_hash(["ab", "c"]) != content_hash(["a", "bc"])
    assert content_hash({"a": [], "b": 1}) != content_hash({"a": ["b", 1]})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex64, torch.bool, torch.uint8], ids=str)
def test_every_kind_of_number(dtype: torch.dtype) -> None:
    zeros, ones = torch.zeros(3, dtype=dtype), torch.ones(3, dtype=dtype)
    assert content_hash(zeros) == content_hash(zeros.clone()) != content_hash(ones)
    assert content_hash(torch.zeros((), dtype=dtype)) is not None
    assert content_hash(torch.zeros(0, dtype=dtype)) != content_hash(torch.zeros(0, 1, dtype=dtype))


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, b"bytes", [object()], {"a": object()}, torch.zeros(2, 2).to_sparse(), torch.nn.Linear(1, 1)],
    ids=repr,
)
def test_what_has_no_content_that_can_be_seen(value: Any) -> None:
    assert content_hash(value) is None


def test_mappings_of_python_count() -> None:
    assert content_hash(MappingProxyType({"a": 1})) == content_hash({"a": 1})


def test_half_a_character_is_a_text_too() -> None:
    assert content_hash("\ud800") not in (None, content_hash("?"))
