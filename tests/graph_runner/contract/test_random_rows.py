"""Random numbers by row: which they are, that they are distributed as they should be, and that no row knows the others."""

from __future__ import annotations

import math

import pytest
import torch

from graph_runner.contract.random_rows import mix, normal, uniform, whole, words

# Tolerances are five standard errors.


def test_mix_is_splitmix64() -> None:
    gamma = 0x9E3779B97F4A7C15
    state = torch.tensor([(1234567 + n * gamma + 2**63) % 2**64 - 2**63 for n in range(1, 6)])
    assert [int(word) % 2**64 for word in mix(state)] == [
        *(6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821)
    ], "the outputs that the generator's authors' C code gives from 1234567"


def test_the_numbers_are_the_recorded_ones() -> None:
    drawn = words(5, range(3), 2)
    assert drawn[:2].tolist() == [
        [2262251712343789063, 7905445160439746563],
        [-2282098769890511400, -3575292816192878140],
    ]
    expected = [
        [0.2660, -2.0313, -0.7116, 1.0901],
        [-0.2193, 0.4648, 0.2702, -0.5982],
        [-1.4654, 0.1643, -0.2240, -1.2032],
    ]
    torch.testing.assert_close(normal(drawn), torch.tensor(expected), rtol=0, atol=5e-5)


@pytest.mark.parametrize("stream", [0, 1, 2**63 - 1, 2**64 - 1])
def test_a_rows_numbers_depend_on_no_other_row_and_not_on_how_many_are_drawn(stream: int) -> None:
    together = words(stream, range(100), 37)
    assert torch.equal(words(stream, range(60, 70), 37), together[60:70])
    assert torch.equal(words(stream, range(99, 100), 20), together[99:, :20])
    for made in (normal, uniform):
        assert torch.equal(
            made(words(stream, range(60, 61), 20)), made(together)[60:61, : made(together[:1, :20]).shape[1]]
        )
    assert len(set(together.flatten().tolist())) == 3700
    assert not torch.equal(words(stream ^ 1, range(100), 37), together)


def test_normal_numbers_are_normal() -> None:
    z = normal(words(11, range(256), 2048)).double()  # 256 rows of 4,096
    n = z.numel()
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.std() - 1) < 5 / math.sqrt(2 * n)
    assert abs((z**3).mean()) < 5 * math.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)
    for at in (0.5, 1.0, 2.0, 3.0, 4.0):
        beyond = math.erfc(at / math.sqrt(2))
        assert abs((z.abs() > at).double().mean() - beyond) < 5 * math.sqrt(beyond / n), f"tails beyond {at}"
    ordered = z.flatten().sort().values
    distance = (torch.special.ndtr(ordered) - torch.arange(1, n + 1) / n).abs().max()
    assert distance < 2.5 / math.sqrt(n), "Kolmogorov and Smirnov's, exceeded once in 130,000"


def test_rows_places_and_pairs_are_uncorrelated() -> None:
    z = normal(words(12, range(256), 2048))
    for sample in (z, z.T[:256], torch.cat([z[:128, 0::2], z[:128, 1::2]])):
        matrix = torch.corrcoef(sample.contiguous()) - torch.eye(256)
        largest = 6 / math.sqrt(sample.shape[1])  # of 32,640, each normal
        assert matrix.abs().max() < largest
    neighbours = z.flatten()
    lagged = (neighbours[:-1] * neighbours[1:]).mean()
    assert abs(lagged) < 5 / math.sqrt(len(neighbours))
    squares = z.square() - 1
    assert abs((squares[:, 0::2] * squares[:, 1::2]).mean()) < 5 * 2 / math.sqrt(z.numel() / 2), (
        "of a pair, one tells no other's size"
    )


def test_no_radius_is_infinite_and_none_is_lost() -> None:
    extremes = normal(torch.tensor([[0, -1, 2**24 - 1, -(2**24), 2**63 - 1, -(2**63)]]))
    assert extremes.isfinite().all()
    assert 7.4 < extremes.abs().max() < 7.6, "40 bits"


def test_uniform_numbers_are_uniform() -> None:
    u = uniform(words(13, range(64), 16384)).double()
    n = u.numel()
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 5 / math.sqrt(12 * n)
    counts = torch.histc(u, 256, 0, 1)
    assert abs(((counts - n / 256) ** 2 / (n / 256)).sum() - 255) < 5 * math.sqrt(2 * 255)
    assert float(uniform(torch.tensor([[-1]]))) < 1


@pytest.mark.parametrize("high", [1, 2, 7, 1000, 2**31 + 1, 2**62])
def test_whole_numbers_are_uniform(high: int) -> None:
    drawn = whole(words(14, range(64), 4096), high)
    n = drawn.numel()
    assert drawn.min() >= 0
    assert drawn.max() < high
    bins = min(high, 64)
    counts = torch.bincount((drawn.double() / high * bins).long().flatten().clamp(max=bins - 1), minlength=bins)
    expected = torch.tensor([n * (-(-(i + 1) * high // bins) - -(-i * high // bins)) / high for i in range(bins)])
    assert ((counts - expected) ** 2 / expected).sum() < bins - 1 + 5 * math.sqrt(2 * bins)


def test_every_bit_is_as_often_set_as_not() -> None:
    drawn = words(15, range(512), 128)
    for bit in range(64):
        share = ((drawn >> bit) & 1).double().mean()
        assert abs(share - 0.5) < 5 * 0.5 / math.sqrt(drawn.numel()), f"bit {bit}"
