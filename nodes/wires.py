"""The wire types of latent diffusion: a name and a symbolic shape for the graph, plain values at run time."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor, nn

from core.checkpoints.weights import weight_files
from core.conditioning.classes import ClassEmbedder
from core.conditioning.conditioning import Conditioning as _Conditioning
from core.conditioning.image_embedder import ImageEmbedder as _ImageEmbedder
from core.conditioning.image_encoder import ImageEncoder as _ImageEncoder
from core.conditioning.layouts import LayoutTokenizer as _LayoutTokenizer
from core.conditioning.learned_word import LearnedWord as _LearnedWord
from core.conditioning.spatial import SpatialRescaler
from core.conditioning.tokenizer import TextTokenizer
from core.data.latents import LatentData
from core.data.loader import MapData
from core.data.shards import ShardedData
from core.data.stream import StreamData
from core.diffusion.kinds import from_dict
from core.diffusion.process import Process
from core.looks import adopt_images, adopt_masks, contact_sheet, mask_sheet
from core.metrics.features import FeatureNetwork
from core.metrics.pretrained import CLIPScore as _CLIPScore
from core.metrics.statistics import Statistics as _Statistics
from core.models.adapter import Adapter as _Adapter
from core.models.autoencoder import DiagonalGaussian
from core.models.classifier import NoisyClassifier
from core.models.controlnet import ControlNet as _ControlNet
from core.models.discriminator import NLayerDiscriminator
from core.models.ema import Averaging as _Averaging
from core.models.first_stage import FirstStage as _FirstStage
from core.models.ip_adapter import IPAdapter as _IPAdapter
from core.models.t2i_adapter import T2IAdapter as _T2IAdapter
from core.models.unet import UNet as _UNet
from core.plots.plot import Plot as _Plot
from core.tables.table import Table as _Table
from core.training.learning_rate import LearningRate as _LearningRate
from core.training.objective import Objective as _Objective
from core.training.optimizers import Optimizer as _Optimizer
from core.training.recipe import Recipe
from graph_runner.contract import PathTo, Wire


class ScheduleCodec:
    """Noise processes on disk."""

    def save(self, process: Process) -> dict[str, Any]:
        """Its kind and settings: betas and parametrisation, shift, …"""
        return process.to_dict()

    def load(self, tree: dict[str, Any]) -> Process:
        """The process; ValueError for a kind that no package brought."""
        return from_dict(tree)


class LatentDataCodec:
    """Encoded data sets on disk."""

    def save(self, data: LatentData | ShardedData) -> dict[str, Any]:
        """Its shards; of one in memory its fields, standard deviations and class names."""
        if isinstance(data, ShardedData):
            return {"shards": [table.folder for table in data.tables]}
        return {"fields": data.fields, "std": data.std, "classes": list(data.classes)}

    def load(self, tree: dict[str, Any]) -> LatentData | ShardedData:
        """The data set. Raises CheckpointError, naming the shard, where one is damaged."""
        if "shards" in tree:
            return ShardedData.open(*tree["shards"])
        return LatentData(tree["fields"], tree["std"], tree["classes"])


class ConditioningCodec:
    """Conditions on disk."""

    def save(self, conditioning: _Conditioning) -> dict[str, Any]:
        """Its parts."""
        return conditioning.to_tree()

    def load(self, tree: dict[str, Any]) -> _Conditioning:
        """The condition."""
        return _Conditioning.from_tree(tree)


class TableCodec:
    """Tables on disk."""

    def save(self, table: _Table) -> dict[str, Any]:
        """Its columns."""
        return {name: list(column) for name, column in table.columns.items()}

    def load(self, tree: dict[str, Any]) -> _Table:
        """The table."""
        return _Table({name: tuple(column) for name, column in tree.items()})


class PlotCodec:
    """Plots on disk: what is drawn, not the drawing."""

    def save(self, plot: _Plot) -> dict[str, Any]:
        """Its table and settings."""
        return plot.to_tree()

    def load(self, tree: dict[str, Any]) -> _Plot:
        """The plot."""
        return _Plot.from_tree(tree)


class StatisticsCodec:
    """Statistics of features on disk."""

    def save(self, statistics: _Statistics) -> dict[str, Tensor]:
        """Mean and covariance."""
        return {"mean": statistics.mean, "covariance": statistics.covariance}

    def load(self, tree: dict[str, Tensor]) -> _Statistics:
        """The statistics."""
        return _Statistics(**tree)


Image = Annotated[
    Tensor, Wire("image", "b 3 h w", about="pictures, float in [-1, 1]", adopt=adopt_images, draw=contact_sheet)
]
Mask = Annotated[
    Tensor, Wire("mask", "b 1 h w", about="1 where something holds, 0 elsewhere", adopt=adopt_masks, draw=mask_sheet)
]
Latent = Annotated[Tensor, Wire("latent", "b c h w", about="latents in the diffusion model's space, scaled; noise too")]
Prediction = Annotated[
    Tensor, Wire("prediction", "b c h w", about="what a denoiser predicts: eps, v, x0, velocity or F")
]
Score = Annotated[Tensor, Wire("score", "b c h w", about="the gradient of the log density, ∇ log q(z)")]
Timestep = Annotated[Tensor, Wire("timestep", "b", about="positions on the noise process, as the denoiser is told")]
Labels = Annotated[Tensor, Wire("labels", "b", about="class numbers")]
Loss = Annotated[Tensor, Wire("loss", "", about="a scalar to make small")]
Scalar = Annotated[Tensor, Wire("scalar", "", accepts=("loss",), about="one number")]
Logits = Annotated[Tensor, Wire("logits", "b 1 h w", about="a discriminator's opinion of each patch; positive is real")]
Posterior = Annotated[DiagonalGaussian, Wire("posterior", "b c h w", about="the encoder's Gaussian over latents")]

Schedule = Annotated[
    Process, Wire("schedule", codec=ScheduleCodec(), about="a noise process: levels, and what is predicted")
]
Conditioning = Annotated[
    _Conditioning,
    Wire("conditioning", codec=ConditioningCodec(), about="what a denoiser is told: tokens, channels, a class, …"),
]

Autoencoder = Annotated[_FirstStage, Wire("autoencoder", about="the first stage: images to latents and back")]
Denoiser = Annotated[
    nn.Module, Wire("denoiser", accepts=("unet",), about="what predicts from noisy latents, time and a condition")
]
UNet = Annotated[_UNet, Wire("unet", about="a denoiser that is the paper's UNet")]
ControlNet = Annotated[_ControlNet, Wire("controlnet", about="a copy of a UNet's encoder that is shown a picture")]
IPAdapter = Annotated[_IPAdapter, Wire("ip_adapter", about="what is seen of a picture to keys and values for a UNet")]
ImageEncoder = Annotated[_ImageEncoder, Wire("image_encoder", about="CLIP's embedding of a picture, or its tokens")]
T2IAdapter = Annotated[_T2IAdapter, Wire("t2i_adapter", about="a picture to features for each level of a UNet")]
Classifier = Annotated[NoisyClassifier, Wire("classifier", about="noisy latents and their time to class scores")]
Discriminator = Annotated[NLayerDiscriminator, Wire("discriminator", about="the patch discriminator")]
TextEncoder = Annotated[
    nn.Module,
    Wire("text_encoder", about="token ids to cross-attention context"),
]
ImageEmbedder = Annotated[_ImageEmbedder, Wire("image_embedder", about="pictures to a vector of what they show")]
Adapter = Annotated[_Adapter, Wire("adapter", about="low-rank changes of a model's weights (LoRA), which train")]
LearnedWord = Annotated[_LearnedWord, Wire("learned_word", about="a word's vectors in a text encoder, which train")]
Rescaler = Annotated[SpatialRescaler, Wire("rescaler", about="maps to channels at the latent's size")]
Tokenizer = Annotated[TextTokenizer, Wire("tokenizer", about="texts to rows of token ids")]
LayoutTokenizer = Annotated[_LayoutTokenizer, Wire("layout_tokenizer", about="labelled boxes to rows of token ids")]
Tokens = Annotated[Tensor, Wire("tokens", "b n", about="token ids of texts or layouts")]
Captions = Annotated[list[str], Wire("captions", "b", about="a text for each sample")]
Boxes = Annotated[Tensor, Wire("boxes", "b n 4", about="x0, y0, x1, y1 in [0, 1], padded with 0")]
ObjectLabels = Annotated[Tensor, Wire("object_labels", "b n", about="the class in each box, padded with −1")]
SemanticMap = Annotated[Tensor, Wire("semantic_map", "b h w", about="the class of each pixel")]
Channels = Annotated[
    Tensor, Wire("channels", "b c h w", accepts=("image", "latent"), about="channels beside the latent")
]
ClassScores = Annotated[
    Tensor, Wire("class_scores", "b n", about="a classifier's logits: how likely it thinks each class")
]
LogLikelihood = Annotated[Tensor, Wire("log_likelihood", "b", about="log p(y|z) of each sample")]
PerSample = Annotated[
    Tensor, Wire("per_sample", "b", accepts=("log_likelihood", "timestep"), about="one number for each sample")
]
AnyTensor = Annotated[Tensor, Wire("tensor", about="a tensor of any shape, which means nothing in particular")]
Gradient = Annotated[Tensor, Wire("gradient", "b c h w", about="∇ log p(y|z), by which guidance steers")]
Features = Annotated[Tensor, Wire("features", "n d", about="one row for each image, for distances of distributions")]
Statistics = Annotated[
    _Statistics,
    Wire("feature_statistics", codec=StatisticsCodec(), about="mean and covariance of the features of many images"),
]
FeatureNet = Annotated[FeatureNetwork, Wire("feature_network", about="images to features")]
CLIPScore = Annotated[_CLIPScore, Wire("clip_score_network", about="how well texts go with images, as CLIP sees it")]
PerceptualNet = Annotated[nn.Module, Wire("perceptual_network", about="the distance of images, as people see it")]

Embedder = Annotated[ClassEmbedder, Wire("class_embedder", about="one token for each class")]

Dataset = Annotated[MapData, Wire("dataset", accepts=("latent_dataset",), about="samples to train on")]
Stream = Annotated[StreamData, Wire("stream", about="samples in the order of their files, which cannot be indexed")]
LatentDataset = Annotated[
    LatentData | ShardedData, Wire("latent_dataset", codec=LatentDataCodec(), about="images encoded once")
]
TrainingData = Annotated[
    MapData | StreamData,
    Wire(
        "training_data", accepts=("dataset", "latent_dataset", "stream"), about="what a training draws its batches from"
    ),
]
Batch = Annotated[dict[str, Any], Wire("batch", about="one step's samples, by field")]

WeightFile = Annotated[str, PathTo("file", weight_files)]
"""A file with weights, or the index of its shards."""

Optimizer = Annotated[_Optimizer | Recipe, Wire("optimizer", about="settings of an optimizer; its state is the zone's")]
LearningRate = Annotated[_LearningRate, Wire("learning_rate", about="the learning rate over the steps of a training")]
Averaging = Annotated[_Averaging, Wire("averaging", about="how the weights of a training are averaged")]
Objective = Annotated[_Objective, Wire("objective", about="which loss trains which models with which optimizer")]

Table = Annotated[_Table, Wire("table", codec=TableCodec(), about="rows of numbers and texts in named columns")]
Plot = Annotated[_Plot, Wire("plot", codec=PlotCodec(), about="what is drawn of a table: a line, bars, a heat map, …")]
