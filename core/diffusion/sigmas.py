"""Rows of sigmas between a largest and a smallest one, and of the levels that have them."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.diffusion.process import Level, Process

Sigmas = Literal["karras", "exponential", "beta"]


def between(kind: Sigmas, high: float, low: float, steps: int, rho: float = 7.0) -> list[float]:
    """Sigmas from high to low: even in σ^(1/ρ) (Karras et al. 2022), in log σ, or at the quantiles of Beta(0.6, 0.6) (Lee et al. 2024)."""
    sigmas: Any
    match kind:
        case "karras":
            sigmas = np.linspace(high ** (1 / rho), low ** (1 / rho), steps) ** rho
        case "exponential":
            sigmas = np.exp(np.linspace(math.log(high), math.log(low), steps))
        case "beta":
            sigmas = low + beta_quantiles(1 - np.linspace(0, 1, steps)) * (high - low)
    return [float(sigma) for sigma in sigmas]


def beta_quantiles(shares: NDArray[np.float64], alpha: float = 0.6, beta: float = 0.6) -> NDArray[np.float64]:
    """Quantiles of Beta(alpha, beta) (Lee et al. 2024, "Beta Sampling is All You Need"). Raises ValueError without scipy."""
    try:
        from scipy.special import betaincinv
    except ImportError as error:
        raise ValueError("beta sigmas want scipy: install it, or choose 'karras' or 'exponential'") from error
    quantiles: NDArray[np.float64] = betaincinv(alpha, beta, shares)
    return quantiles


def level_of(process: Process, noise: float) -> Level:
    """The level that has this much noise in the coordinates in which the process' paths are straight."""
    sigma = process.straight.sigma(noise)
    return process.level(process.last) if math.isinf(sigma) else process.level_at(sigma)
