"""Align your steps: the levels at which ten steps were found to be best (Sabour et al. 2024), and others between them.

The numbers are the paper's, as its authors and ComfyUI give them: sigmas, of Stable Diffusion at whole timesteps.
"""

from __future__ import annotations

import numpy as np

from core.diffusion.process import EXPLODING, Level, Process

SD = (14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092, 0.9642583904, 0.6523686016,
      0.3977456272, 0.1515232662, 0.0291671582)  # fmt: skip
SDXL = (14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141, 0.5550693289, 0.3798540708,
        0.2332364134, 0.1114188177, 0.0291671582)  # fmt: skip
SVD = (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002)


def ays_sd(process: Process, steps: int) -> list[Level]:
    """Align your steps (Sabour et al. 2024), found for Stable Diffusion 1; other than 10 steps lie between them, even in log σ."""
    return _between(SD, process, steps)


def ays_sdxl(process: Process, steps: int) -> list[Level]:
    """The same, found for Stable Diffusion XL."""
    return _between(SDXL, process, steps)


def ays_svd(process: Process, steps: int) -> list[Level]:
    """The same, found for Stable Video Diffusion: from σ = 700."""
    return _between(SVD, process, steps)


def _between(sigmas: tuple[float, ...], process: Process, steps: int) -> list[Level]:
    """The first `steps` of steps + 1 levels: from the last of them a step leads to no noise at all."""
    if process.straight is not EXPLODING:
        raise ValueError(
            f"align-your-steps levels were found for z0 + sigma · eps, not for {type(process).__name__}: choose trailing"
        )
    places = np.linspace(0, len(sigmas) - 1, steps + 1)[:-1]
    found = np.exp(np.interp(places, range(len(sigmas)), np.log(sigmas)))
    return [process.level_at(sigma) for sigma in found.tolist()]
