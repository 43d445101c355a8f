"""How good it is: reconstruction, and distances of distributions (Rombach et al. 2022, appendix E.3)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from core.checkpoints.pretrained import pretrained_files
from core.checkpoints.weights import read_weights, refuse_spoilt
from core.data.loader import take
from core.metrics import distribution, reconstruction
from core.metrics.features import SmallFeatures, extract_features
from core.metrics.inception import InceptionV3, Place, Resizing
from core.metrics.pretrained import CLIPScore as _CLIPScore
from core.metrics.pretrained import DINOv2
from core.metrics.statistics import Statistics as _Statistics
from core.models.lpips import LPIPS
from core.models.perceptual import HaarDistance
from core.numbers import finite
from graph_runner.context import Device, Metrics, Saving
from graph_runner.contract import Axes, File, Name, Neutral, PathTo, Ports, node
from nodes.wires import CLIPScore, Dataset, FeatureNet, Features, Image, PerceptualNet, Scalar, Statistics, WeightFile

OfOneSize = Annotated[Image, Axes("b c h w")]
"""Images that are compared pixel by pixel."""
OfOneNetwork = Annotated[Features, Axes("_ d")]
"""Features that are compared, of any number of images each."""
PretrainedFolder = Annotated[str, PathTo("folder", pretrained_files)]
"""A folder of the transformers library: config.json and weights."""


class PrecisionRecall(NamedTuple):
    """How many generated images look real, and how many real ones could be generated."""

    precision: Scalar
    recall: Scalar


class DensityCoverage(NamedTuple):
    """How densely generated images lie among real ones, and how many real ones have a generated one near."""

    density: Scalar
    coverage: Scalar


class InceptionScore(NamedTuple):
    """Mean and standard deviation over the parts."""

    score: Scalar
    deviation: Scalar


@node(category="metrics", effect=True, formerly=("report",), words=("tensorboard", "log"))
def log_metrics(values: Ports[Scalar | list[Scalar]], metrics: Metrics) -> None:
    """Show numbers: as curves inside a loop, and in the run's record. What is NaN or infinite is refused.

    values: named numbers; those of a list are called NAME_0, NAME_1, … as for_each counts its items.
    """
    single = {name: value for name, value in values.items() if not isinstance(value, list)}
    listed = {
        f"{name}_{i}": x for name, value in values.items() if isinstance(value, list) for i, x in enumerate(value)
    }
    metrics(**{name: finite(torch.as_tensor(value), name) for name, value in (single | listed).items()})


@node(category="metrics")
def psnr(images: OfOneSize, originals: OfOneSize) -> Scalar:
    """Peak signal-to-noise ratio in dB, the mean over images."""
    return reconstruction.psnr(images, originals).mean()


@node(category="metrics")
def ssim(images: OfOneSize, originals: OfOneSize) -> Scalar:
    """Structural similarity, the mean over images."""
    return reconstruction.ssim(images, originals).mean()


@node(category="metrics")
def perceptual_distance(network: PerceptualNet, images: OfOneSize, originals: OfOneSize) -> Scalar:
    """The distance of images as a network sees it, the mean over images."""
    return network(finite(images, "the images"), finite(originals, "the originals")).mean()


@node(category="metrics")
def lpips_network(vgg: WeightFile, heads: WeightFile | None = None) -> PerceptualNet:
    """LPIPS with VGG-16 (Zhang et al. 2018), from weight files that you have.

    vgg: torchvision's VGG-16 (vgg16-397923af.pth), or one file that holds both.
    heads: the LPIPS heads (vgg.pth), where they are a file of their own.
    """
    files = {path: read_weights(path) for path in (vgg, heads) if path}
    for path, weights in files.items():
        refuse_spoilt(weights, path)
    return LPIPS.from_weights(*files.values())


@node(category="metrics")
def haar_network() -> PerceptualNet:
    """A perceptual distance that needs no weights: wavelet details compared."""
    return HaarDistance()


@node(category="metrics", words=("clean-fid", "sfid"))
def inception_network(
    path: WeightFile,
    resizing: Annotated[Resizing, Neutral("tensorflow")] = "tensorflow",
    place: Annotated[Place, Neutral("pool")] = "pool",
) -> FeatureNet:
    """Inception-v3 as FID is measured with it, from the weight file that you have.

    path: pt_inception-2015-12-05.
    resizing: to 299 × 299, as the paper's programs (tensorflow) or as clean-fid (clean); their figures differ.
    place: pool for FID, spatial for sFID (Nash et al. 2021).
    """
    return InceptionV3.load(path, resizing, place)


@node(category="metrics", words=("fd-dinov2", "fdd", "fid"))
def dinov2_network(path: PretrainedFolder) -> FeatureNet:
    """DINOv2 as FD-DINOv2 is measured with it (Stein et al. 2023), from a folder that you have; published figures take ViT-L/14.

    path: as transformers writes it, such as a download of facebook/dinov2-large.
    """
    return DINOv2.load(path)


@node(category="metrics", words=("clip score", "clipscore"))
def clip_score_network(path: PretrainedFolder) -> CLIPScore:
    """CLIP with both of its halves, to measure how well pictures go with texts, from a folder that you have.

    path: as transformers writes it, with its tokenizer, such as a download of openai/clip-vit-base-patch16.
    """
    return _CLIPScore.load(path)


@node(category="metrics", words=("clipscore", "text alignment"))
def clip_score(
    network: CLIPScore,
    images: Image,
    texts: Annotated[list[str], Field(min_length=1)] = [""],  # noqa: B006
) -> Scalar:
    """How well pictures go with texts: 100 · max(cos, 0) of CLIP's embeddings, the mean over pictures (Hessel et al. 2021).

    network: which CLIP; figures of another one are not comparable.
    images: the pictures.
    texts: one for each, or one for all; captions can be wired here.
    """
    return network(images, texts).mean()


@node(category="metrics")
def small_features() -> FeatureNet:
    """Features that need no weights: distances with them are relative only, for comparing runs with each other."""
    return SmallFeatures()


@node(category="metrics", keep=True)
def data_features(
    network: FeatureNet,
    data: Dataset,
    device: Device,
    count: Annotated[int, Field(ge=2)] = 10_000,
    batch_size: Annotated[int, Field(ge=1)] = 64,
) -> Features:
    """Features of a data set's images; the result stays on disk.

    network: images to features.
    data: real images.
    count: how many; the paper compares with the whole training set.
    batch_size: images at once.
    """
    total = min(count, len(data))
    starts = range(0, total, batch_size)
    batches = (take(data, range(start, min(start + batch_size, total)))["images"].to(device) for start in starts)
    return extract_features(network, batches)


@node(category="metrics")
def image_features(network: FeatureNet, images: Image, batch_size: Annotated[int, Field(ge=1)] = 64) -> Features:
    """Features of generated images.

    network: images to features.
    batch_size: images at once.
    """
    return extract_features(network, torch.split(images, batch_size))


@node(category="metrics")
def stack_features(features: list[Features]) -> Features:
    """Features of several batches as one set: what for_each collects."""
    return torch.cat(features)


@node(category="metrics", words=("fid",))
def frechet_distance(real: OfOneNetwork, generated: OfOneNetwork) -> Scalar:
    """Fréchet distance; with Inception features and 50,000 images it is FID (Heusel et al. 2017)."""
    return _scalar(distribution.frechet_distance(real, generated))


@node(category="metrics")
def feature_statistics(features: Features) -> Statistics:
    """Mean and covariance of a set's features: what the Fréchet distance needs of the real images, and small to keep.

    features: of at least two images.
    """
    return _Statistics.of(features)


@node(category="metrics", words=("clean-fid", "reference batch"))
def load_statistics(path: File, place: Place = "pool") -> Statistics:
    """Reference statistics from an .npz file: ours, or one that clean-fid, pytorch-fid or guided-diffusion publishes.

    The features to compare with must come from the same network, with the same resizing.

    path: with mu and sigma, or for sFID mu_s and sigma_s.
    place: which of the two: pool is FID's.
    """
    return _Statistics.load(path, place)


def _kept_statistics(name: str) -> str:
    return f"statistics/{name.removesuffix('.npz')}.npz"


@node(category="metrics", effect=True, saves=lambda given: [_kept_statistics(given["name"])], words=("clean-fid",))
def save_statistics(statistics: Statistics, saving: Saving, name: Name = "reference", place: Place = "pool") -> None:
    """Save reference statistics below the workspace's statistics folder, as .npz with the names that others read.

    statistics: of real images.
    name: of the file.
    place: where the features were read.
    """
    statistics.save(saving(_kept_statistics(name)), place)


@node(category="metrics", words=("fid", "clean-fid", "sfid"))
def frechet_to_statistics(statistics: Statistics, generated: Features) -> Scalar:
    """Fréchet distance to reference statistics in place of the real images' features.

    statistics: of the real images.
    generated: features of the same network.
    """
    return _scalar(distribution.frechet_distance(statistics, generated))


@node(category="metrics", words=("is",))
def inception_score(
    network: FeatureNet, generated: Features, splits: Annotated[int, Field(ge=1)] = 10
) -> InceptionScore:
    """Inception score (Salimans et al. 2016): how sure the classifier is of each image, and how varied they all are.

    network: Inception-v3; others have no classes.
    generated: its features; published figures take 50,000 images.
    splits: the score is the mean over so many parts.
    """
    if not isinstance(network, InceptionV3) or network.place != "pool":
        raise ValueError(f"a {type(network).__name__} knows no classes; wire inception_network, with its place at pool")
    with torch.no_grad():
        mean, deviation = distribution.inception_score(network.logits(generated.to(network.fc.weight)), splits)
    return InceptionScore(_scalar(mean), _scalar(deviation))


@node(category="metrics", words=("kid",))
def kernel_distance(real: OfOneNetwork, generated: OfOneNetwork) -> Scalar:
    """Kernel distance, unbiased at few images; with Inception features it is KID (Bińkowski et al. 2018)."""
    return _scalar(distribution.kernel_distance(real, generated).mean)


@node(category="metrics")
def precision_recall(
    real: OfOneNetwork, generated: OfOneNetwork, neighbours: Annotated[int, Field(ge=1)] = 3
) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al. 2019).

    neighbours: k of the nearest neighbours that span the manifolds.
    """
    found = distribution.precision_recall(real, generated, neighbours)
    return PrecisionRecall(_scalar(found.precision), _scalar(found.recall))


@node(category="metrics", words=("prdc",))
def density_coverage(
    real: OfOneNetwork, generated: OfOneNetwork, neighbours: Annotated[int, Field(ge=1)] = 5
) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020): like precision and recall, and steadier where there are outliers.

    neighbours: k of the nearest neighbours to which the balls around real images reach.
    """
    found = distribution.density_coverage(real, generated, neighbours)
    return DensityCoverage(_scalar(found.density), _scalar(found.coverage))


def _scalar(value: float) -> Tensor:
    return torch.tensor(float(value))
