"""Random numbers by row: those of a row are a hash of its key and place, whatever rows are drawn beside it, and where.

Counter-based, as Salmon et al. 2011 ("Parallel random numbers: as easy as 1, 2, 3"): number j of row r of a stream is
mix(mix(mix(stream + (r + 1)·γ)) ^ mix((j + 1)·γ)), where mix and γ are SplitMix64's (Steele, Lea & Flood 2014, "Fast
splittable pseudorandom number generators"). So a process draws its own rows of a batch and no others. Not for cryptography.

Whole numbers in int64, which wrap in the same way on every device; normal ones in float64, rounded to float32 at the end, so
that devices whose logarithm and cosine differ in the last place agree. (Inductor does not compile the wrapping constants:
draw outside of what is compiled.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _signed(word: int) -> int:
    """An int64 of the same 64 bits."""
    return (word + 2**63) % 2**64 - 2**63


_GAMMA = _signed(0x9E3779B97F4A7C15)
_FIRST, _SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser of int64 words, in place."""
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        x ^= _shifted(x, shift)
        x *= factor
    return x.bitwise_xor_(_shifted(x, 31))


def _shifted(x: Tensor, by: int) -> Tensor:
    """x >> by as of unsigned words: torch's shift repeats the sign."""
    return (x >> by).bitwise_and_(2 ** (64 - by) - 1)


def words(stream: int, rows: range, count: int, device: torch.device | str = "cpu") -> Tensor:
    """64 random bits each, (len(rows), count) int64: the first `count` of each of these rows of a stream."""
    keys = torch.arange(rows.start + 1, rows.stop + 1, device=device) * _GAMMA + _signed(stream)
    places = torch.arange(1, count + 1, device=device) * _GAMMA
    return mix(mix(mix(keys))[:, None] ^ mix(places))  # rows twice, or they would cancel against places in stream 0


def uniform(words: Tensor) -> Tensor:
    """float32 uniform in [0, 1), from 24 bits of each word."""
    return _shifted(words, 40).float().mul_(2.0**-24)


def whole(words: Tensor, high: int) -> Tensor:
    """int64 uniform in [0, high); none is likelier than another by more than high / 2^63 of itself."""
    return _shifted(words, 1).remainder_(high)


def normal(words: Tensor) -> Tensor:
    """float32 standard normal, two from each word: (b, n) to (b, 2·n), by the transform of Box & Muller 1958.

    40 bits make the radius, which reaches 7.5 and is never infinite, 24 the angle.
    """
    exact = torch.float32 if words.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    radius = _shifted(words, 24).to(exact).add_(0.5).mul_(2.0**-40).log_().mul_(-2).sqrt_()
    angle = (words & (2**24 - 1)).to(exact).mul_(math.tau * 2.0**-24)
    pairs = torch.stack([radius * angle.cos(), angle.sin_().mul_(radius)], dim=-1)
    return pairs.float().flatten(-2)
