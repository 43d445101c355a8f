"""Rows of sigmas between a largest and a smallest one."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Sigmas = Literal["karras", "exponential", "beta"]


def between(kind: Sigmas | None, high: float, low: float, steps: int) -> list[float]:
    """Sigmas from high to low: even in σ^(1/7) (Karras et al. 2022), in log σ, or at the quantiles of Beta(0.6, 0.6) (Lee et al. 2024)."""
    sigmas: Any
    match kind:
        case "karras":
            sigmas = np.linspace(high ** (1 / 7), low ** (1 / 7), steps) ** 7
        case "exponential":
            sigmas = np.exp(np.linspace(math.log(high), math.log(low), steps))
        case _:
            sigmas = low + beta_quantiles(1 - np.linspace(0, 1, steps)) * (high - low)
    return [float(sigma) for sigma in sigmas]


def beta_quantiles(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles of Beta(0.6, 0.6) (Lee et al. 2024, "Beta Sampling is All You Need"). Raises ValueError without scipy."""
    try:
        from scipy.special import betaincinv
    except ImportError as error:
        raise ValueError("beta sigmas want scipy: install it, or choose 'karras' or 'exponential'") from error
    quantiles: NDArray[np.float64] = betaincinv(0.6, 0.6, shares)
    return quantiles
