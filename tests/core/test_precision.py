"""What stays float32 under autocast."""

from __future__ import annotations

import torch

from core.precision import in_float32


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Their matrix product."""
    return a @ b


def test_a_marked_function_computes_in_full_whatever_is_around_it() -> None:
    x = torch.full((2, 2), 1 / 3)
    exact = product(x, x)
    with torch.autocast("cpu", torch.bfloat16):
        assert product(x, x).dtype == torch.bfloat16
        assert torch.equal(in_float32(product)(x, b=x), exact)
        assert torch.equal(in_float32(product)(b=x, a=x), exact)
        assert product(x, x).dtype == torch.bfloat16  # and what is around it goes on as before


def test_it_stays_the_function_that_it_was() -> None:
    assert in_float32(product).__doc__ == product.__doc__
    assert in_float32(product).__name__ == "product"


def test_halves_stay_halves() -> None:
    half = torch.ones(2, 2, dtype=torch.bfloat16)
    assert in_float32(product)(half, half).dtype == torch.bfloat16
