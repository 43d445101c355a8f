"""Sets of generated images against sets of real ones, in the space of a feature network.

All take features (n, d), one row an image, as `extract_features` gives them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.metrics.statistics import Statistics
from core.numbers import finite
from core.precision import in_float32

ROWS = 4096
"""Of a matrix of distances that is in memory at once."""


class KernelDistance(NamedTuple):
    """Mean and standard deviation over the subsets."""

    mean: float
    std: float


class PrecisionRecall(NamedTuple):
    """Both in [0, 1]; higher is better."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density is 1 on average where both sets are alike, and may be larger; coverage is in [0, 1]."""

    density: float
    coverage: float


class _Given(nn.Module):
    """The features themselves, where torchmetrics expects a network."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


@in_float32
def frechet_distance(real: Tensor | Statistics, generated: Tensor) -> float:
    """Fréchet distance between Gaussians fitted to the features: FID with `InceptionV3`'s (Heusel et al. 2017).

    Published figures take 50,000 samples against the whole training set. It falls with the number of samples: compare
    equal numbers only.

    real, generated: (n, d) and (m, d); or in place of the real ones their statistics.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance  # seconds to import

    features = _beside(real.mean.expand(2, -1) if isinstance(real, Statistics) else real, generated, at_least=2)
    # Whoever asks has all the features: nothing to synchronise, and perhaps nobody to synchronise with.
    metric = FrechetInceptionDistance(feature=_Given(generated.shape[1]), sync_on_compute=False).to(generated.device)
    if isinstance(real, Statistics):
        rows = 2  # any number: what the metric makes of these sums are the statistics again
        total, products = real.sums(rows)
        metric.real_features_sum, metric.real_features_cov_sum = (
            total.to(generated.device),
            products.to(generated.device),
        )
        metric.real_features_num_samples += rows
    else:
        metric.update(features, real=True)
    metric.update(generated, real=False)
    return max(0.0, float(metric.compute()))


@in_float32
def kernel_distance(
    real: Tensor, generated: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Kernel distance, KID with `InceptionV3`'s features (Bińkowski et al. 2018): cubic kernel, unbiased.

    Means over random subsets of `subset_size`, or of as many samples as there are, if those are fewer.

    real, generated: (n, d) and (m, d).
    """
    from torchmetrics.image.kid import poly_mmd

    real = _beside(real, generated, at_least=2)
    size = min(subset_size, len(real), len(generated))
    generator = torch.Generator().manual_seed(seed)

    def some(features: Tensor) -> Tensor:
        return features[torch.randperm(len(features), generator=generator)[:size]].double()

    distances = torch.stack([poly_mmd(some(real), some(generated)) for _ in range(subsets)])
    return KernelDistance(float(distances.mean()), float(distances.std(correction=0)))


@in_float32
def precision_recall(real: Tensor, generated: Tensor, neighbours: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al. 2019).

    Precision: the share of generated samples within reach of a real one, that is, not farther from it than its own
    `neighbours`-th nearest real neighbour. Recall: the same with the roles exchanged. Published figures take 50,000
    samples of each.

    real, generated: (n, d) and (m, d).
    """
    real = _beside(real, generated, at_least=neighbours + 1)
    real, generated = real.float(), generated.float()
    return PrecisionRecall(_covered(generated, real, neighbours), _covered(real, generated, neighbours))


@in_float32
def density_coverage(real: Tensor, generated: Tensor, neighbours: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020, eq. 3 and 4), which one outlier among the real images does not change much.

    Around each real sample lies a ball that reaches to its `neighbours`-th nearest real neighbour. Density: in how many balls
    a generated sample lies, divided by `neighbours`. Coverage: the share of balls that hold a generated sample.

    real, generated: (n, d) and (m, d).
    """
    real = _beside(real, generated, at_least=neighbours + 1)
    real, generated = real.float(), generated.float()
    inside, nearest = 0, []
    for block in torch.split(real, ROWS):
        distances = torch.cdist(block, generated)
        reach = _reach(block, real, neighbours)
        inside += int((distances < reach[:, None]).sum())
        nearest.append(distances.amin(1) < reach)
    return DensityCoverage(inside / (neighbours * len(generated)), float(torch.cat(nearest).float().mean()))


@in_float32
def inception_score(logits: Tensor, splits: int = 10) -> tuple[float, float]:
    """Inception score (Salimans et al. 2016): mean and standard deviation over consecutive splits.

    logits: (n, classes), from `InceptionV3.logits` for published figures, with 50,000 samples.
    """
    if len(logits) < splits:
        raise ValueError(f"inception_score: {len(logits)} samples cannot be split into {splits}.")
    finite(logits, "the logits")
    scores = []
    for part in logits.double().tensor_split(splits):
        log_p = part.log_softmax(dim=1)
        log_mean = log_p.logsumexp(dim=0) - math.log(len(part))
        scores.append((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp())
    values = torch.stack(scores)
    return float(values.mean()), float(values.std(correction=0))


def _reach(points: Tensor, support: Tensor, neighbours: int) -> Tensor:
    """How far the nearest neighbours in the support are from points that belong to it: the nearest of all is the point itself."""
    return torch.cdist(points, support).kthvalue(neighbours + 1, dim=1).values


def _covered(points: Tensor, support: Tensor, neighbours: int) -> float:
    """The share of points that lie within the reach of at least one of the support."""
    reach = torch.cat([_reach(block, support, neighbours) for block in torch.split(support, ROWS)])
    inside = [(torch.cdist(block, support) <= reach).any(dim=1) for block in torch.split(points, ROWS)]
    return float(torch.cat(inside).float().mean())


def _beside(real: Tensor, generated: Tensor, at_least: int) -> Tensor:
    """The real features, on the device of the generated ones: what was kept is handed out on the run's device, what was just
    extracted lies on the CPU. Raises ValueError where the two do not go together, FloatingPointError for what is no number."""
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise ValueError(f"Features must be (n, d) with one d, not {tuple(real.shape)} and {tuple(generated.shape)}.")
    if min(len(real), len(generated)) < at_least:
        raise ValueError(f"At least {at_least} samples of each are needed, not {len(real)} and {len(generated)}.")
    finite(generated, "the generated features")
    return finite(real, "the real features").to(generated.device)
