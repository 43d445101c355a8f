"""Distances between sets of features, against their definitions."""

import numpy as np
import pytest
import scipy.linalg
import torch

from core.metrics.distribution import (
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)


def features(n: int, d: int, scale: float, shift: float, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * scale + shift


def test_frechet_distance_equals_its_formula() -> None:
    real, generated = features(400, 12, 1.0, 0.0, 1), features(300, 12, 1.5, 0.5, 2)
    a, b = real.double().numpy(), generated.double().numpy()
    root = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    assert frechet_distance(real, generated) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-4)


def test_kernel_distance_equals_its_formula_and_leaves_the_generator_alone() -> None:
    real, generated = features(50, 8, 1.0, 0.0, 1), features(50, 8, 1.0, 0.3, 2)

    def kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x.double() @ y.double().T / 8 + 1) ** 3

    within = [(kernel(x, x).sum() - kernel(x, x).trace()) / (50 * 49) for x in (real, generated)]
    expected = float(within[0] + within[1] - 2 * kernel(real, generated).mean())
    state = torch.get_rng_state()
    whole = kernel_distance(real, generated, subsets=2)
    assert whole.mean == pytest.approx(expected, rel=1e-4)
    assert whole.std == pytest.approx(0, abs=1e-5)
    parts = kernel_distance(real, generated, subsets=5, subset_size=20)
    assert parts == kernel_distance(real, generated, subsets=5, subset_size=20)
    assert parts != kernel_distance(real, generated, subsets=5, subset_size=20, seed=1)
    assert torch.equal(torch.get_rng_state(), state)


def test_precision_and_recall_tell_missing_modes_from_bad_samples() -> None:
    left, right, far = (features(100, 4, 0.1, shift, seed) for shift, seed in ((-5, 1), (5, 2), (50, 3)))
    real = torch.cat([left, right])
    missing = precision_recall(real, features(100, 4, 0.1, -5, 4))
    assert missing.precision > 0.8
    assert 0.4 < missing.recall <= 0.5
    bad = precision_recall(real, torch.cat([real, far, far]))
    assert bad.precision == 0.5
    assert bad.recall == 1
    assert precision_recall(real, real) == (1, 1)
    # On a line, with one neighbour: reach 1 around 0, 1 and 2.
    line = torch.tensor([[0.0], [1.0], [2.0]])
    assert precision_recall(line, torch.tensor([[2.9], [3.1], [-5.0], [1.5]]), neighbours=1).precision == 0.5


def test_inception_score_counts_certain_and_even_classes() -> None:
    certain = torch.eye(8).repeat(50, 1) * 100
    assert inception_score(certain, splits=5) == pytest.approx((8, 0), abs=1e-4)
    assert inception_score(torch.zeros(100, 8)) == pytest.approx((1, 0), abs=1e-6)


def test_too_few_samples_and_other_features_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(3, 4\)"):
        frechet_distance(torch.zeros(3, 2), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="At least 4"):
        precision_recall(torch.zeros(3, 2), torch.zeros(9, 2))
    with pytest.raises(ValueError, match="cannot be split into 10"):
        inception_score(torch.zeros(5, 2))


def test_density_and_coverage_equal_their_definitions() -> None:
    real, generated = features(60, 5, 1.0, 0.0, 1), features(45, 5, 1.2, 0.4, 2)
    a, b = real.double().numpy(), generated.double().numpy()
    among = np.linalg.norm(a[:, None] - a[None], axis=2)
    reach = np.sort(among, axis=1)[:, 4]  # the fourth neighbour; the sample itself comes first
    inside = np.linalg.norm(a[:, None] - b[None], axis=2) < reach[:, None]
    found = density_coverage(real, generated, neighbours=4)
    assert found.density == pytest.approx(inside.sum() / (4 * 45), rel=1e-6)
    assert found.coverage == pytest.approx(inside.any(axis=1).mean(), rel=1e-6)


def test_an_outlier_covers_a_manifold_for_precision_and_hardly_for_density() -> None:
    real, elsewhere = features(200, 4, 1.0, 0.0, 1), features(200, 4, 0.1, 6.0, 2)
    spread = torch.cat([real, torch.full((1, 4), 12.0)])
    assert precision_recall(spread, elsewhere).precision > 0.9, "the outlier's ball reaches all of them"
    assert density_coverage(spread, elsewhere).density < 0.3
    assert density_coverage(real, elsewhere).density == 0
    same = density_coverage(real, features(2000, 4, 1.0, 0.0, 3))
    assert same.density == pytest.approx(1, abs=0.15)
    assert same.coverage > 0.95
