"""Classifiers of noisy latents, and how well labels go with what they see: classifier guidance and its measures."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from core.metrics import classification
from core.models.classifier import NoisyClassifier, Pool
from graph_runner.context import Device, Rng
from graph_runner.contract import node
from nodes.conditioning import Class
from nodes.models import Blocks, Channels, Dropout, Factors, Groups, Kept, Multiples, Width, load_as
from nodes.wires import Classifier, ClassScores, Labels, Latent, LogLikelihood, Loss, Scalar, Timestep, WeightFile


@node(category="models", words=("classifier guidance", "encoder unet"))
def noisy_classifier(
    rng: Rng,  # noqa: ARG001 - the engine seeds torch's generators, which initialisation draws from
    in_channels: Channels = 4,
    num_classes: Annotated[int, Field(ge=2, le=10_000_000)] = 1000,
    model_channels: Channels = 128,
    channel_mult: Multiples = [1, 2, 4],  # noqa: B006
    num_res_blocks: Blocks = 2,
    attention_factors: Factors = [4],  # noqa: B006
    num_heads: Width = 0,
    num_head_channels: Width = 64,
    use_scale_shift_norm: bool = True,
    resblock_updown: bool = True,
    conv_resample: bool = True,
    norm_groups: Groups = 32,
    dropout: Dropout = 0.0,
    pool: Pool = "attention",
    sample_size: Annotated[int, Field(ge=1, le=4096)] = 32,
) -> Classifier:
    """A classifier of noisy latents, untrained: half a UNet (Dhariwal & Nichol 2021, section 4.1; guided-diffusion's EncoderUNetModel).

    in_channels: channels of the latent.
    num_classes: how many classes it tells apart.
    model_channels: channels of the first level.
    channel_mult: a multiple of them for each level; each level after the first halves height and width.
    num_res_blocks: residual blocks a level.
    attention_factors: downsampling factors whose levels carry attention; the middle always does.
    num_heads: attention heads of every layer; 0 to count them by num_head_channels.
    num_head_channels: channels of one head, where num_heads is 0.
    use_scale_shift_norm: the time embedding scales and shifts the norms instead of being added.
    resblock_updown: residual blocks that resize, as in BigGAN.
    conv_resample: convolutions where the size changes and no residual block does it.
    norm_groups: groups of the group norms; it must divide all channels.
    dropout: in the residual blocks.
    pool: how all positions become one vector: attention as in the published ones, or average, for latents of any size.
    sample_size: height and width of the latents, for attention.
    """
    return NoisyClassifier(
        in_channels,
        num_classes,
        model_channels,
        channel_mult,
        num_res_blocks,
        attention_factors,
        num_heads or None,
        None if num_heads else num_head_channels,
        use_scale_shift_norm,
        resblock_updown,
        conv_resample,
        dropout,
        norm_groups,
        pool,
        sample_size,
    )


@node(category="models", words=("classifier guidance",))
def load_classifier(path: WeightFile, dtype: Kept = "float32") -> Classifier:
    """A saved classifier of noisy latents.

    path: a .safetensors file that save_models wrote.
    dtype: what its weights are kept in; see load_model.
    """
    return load_as(path, NoisyClassifier, dtype)


@node(category="guidance", words=("classifier guidance", "logits"))
def classify(classifier: Classifier, z: Latent, t: Timestep) -> ClassScores:
    """How likely a classifier thinks each class to be, of noisy latents at a timestep: logits.

    classifier: trained on noisy latents.
    z: noisy latents.
    t: their timestep.
    """
    return classifier(z, t)


@node(category="conditioning", words=("label",))
def class_labels(device: Device, classes: Annotated[list[Class], Field(min_length=1)] = [0]) -> Labels:  # noqa: B006
    """Class numbers as labels: what a classifier should find.

    classes: one number for each sample, or one for all.
    """
    return torch.tensor(classes, device=device)


@node(category="guidance", words=("classifier guidance",))
def class_likelihood(scores: ClassScores, labels: Labels) -> LogLikelihood:
    """log p(y|z) of each sample's label: what likelihood_gradient differentiates for classifier guidance.

    scores: the classifier's, computed from z.
    labels: the classes wanted, one for each sample or one for all.
    """
    return classification.log_likelihood(scores, labels)


@node(category="losses", words=("cross entropy", "nll"))
def classification_loss(scores: ClassScores, labels: Labels) -> Loss:
    """Negative log likelihood of the labels, in nats, the mean over samples: it trains a classifier, and measures one.

    scores: the classifier's.
    labels: the right classes.
    """
    return classification.negative_log_likelihood(scores, labels)


@node(category="metrics", words=("obedience",))
def classification_accuracy(scores: ClassScores, labels: Labels) -> Scalar:
    """The share of samples whose most likely class is their label.

    scores: a classifier's.
    labels: the classes asked for.
    """
    return classification.accuracy(scores, labels)
