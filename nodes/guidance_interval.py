"""Guidance over time: its scale as a wire, which may be another at each noise level."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.diffusion import guidance
from graph_runner.contract import node
from nodes.wires import Schedule, Timestep

Sigma = Annotated[float, Field(ge=0, le=1e6)]


def _guided(t: Timestep, schedule: Schedule, scale: float, sigma_low: float, sigma_high: float) -> float:  # noqa: ARG001
    """In a dry run, where t has no value: guided, which costs most."""
    return scale


@node(
    category="guidance",
    dry=_guided,
    words=("limited interval", "cfg interval", "start_percent", "end_percent", "scale schedule"),
)
def guidance_interval(
    t: Timestep,
    schedule: Schedule,
    scale: Annotated[float, Field(ge=-100, le=100)] = 7.5,
    sigma_low: Sigma = 0.3,
    sigma_high: Sigma = 5.0,
) -> float:
    """The scale of guidance in an interval of noise levels, and 1 outside of it (Kynkäänniemi et al. 2024, eq. 5).

    Wired into the scale of cfg_combine, the null prediction is computed inside of the interval only.

    t: the sampling zone's own, equal in all rows.
    schedule: says how noisy t is; sigma is its ratio of noise to signal.
    scale: inside of the interval.
    sigma_low: guidance ends at this sigma and below.
    sigma_high: guidance begins below this sigma, or at it.
    """
    return guidance.in_interval(t, schedule, scale, sigma_low, sigma_high)
