"""Conditions with a place in the image: layouts, semantic maps, low resolution, masks (Rombach et al. 2022, sec. 4.3-4.5)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field

from core.conditioning.conditioning import Conditioning as _Conditioning
from core.conditioning.dropout import drop_conditioning as drop
from core.conditioning.inpainting import composite, inpainting_channels, masked_image
from core.conditioning.layouts import LayoutTokenizer as _LayoutTokenizer
from core.conditioning.spatial import SpatialRescaler, depth_channels, low_resolution_channels, one_hot_map
from core.conditioning.text import BERTEmbedder
from core.data.degradations import degrade
from core.data.keyed import KeyedRandom
from core.data.masks import random_masks
from core.data.transfer import to_device
from core.images import Fit, load_mask
from graph_runner.context import Device, Rng
from graph_runner.contract import File, Neutral, node
from nodes.data import field
from nodes.diffusion import FirstRow
from nodes.models import Channels as Width
from nodes.models import Deviation, Layers
from nodes.wires import (
    Batch,
    Boxes,
    Channels,
    Conditioning,
    Image,
    Latent,
    LayoutTokenizer,
    Mask,
    ObjectLabels,
    Rescaler,
    SemanticMap,
    TextEncoder,
    Tokens,
)

Convention = Literal["ldm", "sd"]
Side = Annotated[int, Field(ge=0, le=8192)]


@node(category="layouts")
def batch_boxes(batch: Batch) -> Boxes:
    """The boxes of a batch's objects."""
    return field(batch, "boxes")


@node(category="layouts")
def batch_object_labels(batch: Batch) -> ObjectLabels:
    """The classes of a batch's objects."""
    return field(batch, "box_labels")


@node(category="layouts")
def layout_tokenizer(
    vocabulary: Annotated[int, Field(ge=4, le=2**20)] = 8192,
    max_objects: Annotated[int, Field(ge=1, le=1000)] = 30,
    with_crop: bool = True,
) -> LayoutTokenizer:
    """How labelled boxes become tokens: class, top-left and bottom-right of each object (CompVis' conditional builder).

    vocabulary: token ids; positions are cells of a grid with √vocabulary cells a side.
    max_objects: objects beyond are left out.
    with_crop: end with two tokens that say which part of the original picture is shown, as the published model's do.
    """
    return _LayoutTokenizer(vocabulary, max_objects, with_crop)


@node(category="layouts", formerly=("objects",))
def layout_objects(tokenizer: LayoutTokenizer, labels: list[int], boxes: list[list[float]], device: Device) -> Tokens:
    """A layout typed in, as tokens: what should be where.

    tokenizer: the encoder's own.
    labels: the class of each object.
    boxes: x0, y0, x1, y1 of each, in [0, 1].
    """
    if len(labels) != len(boxes) or any(len(box) != 4 for box in boxes):
        raise ValueError(f"{len(labels)} labels for {len(boxes)} boxes; give four numbers for each label")
    return tokenizer(torch.tensor([labels]), torch.tensor(boxes).reshape(1, -1, 4)).to(device)


@node(category="layouts", version=2, draws_when=lambda given: given["shuffle"])
def layout_tokens(
    tokenizer: LayoutTokenizer,
    labels: ObjectLabels,
    boxes: Boxes,
    rng: Rng,
    shuffle: bool = True,
    first_row: FirstRow = 0,
) -> Tokens:
    """The labelled boxes of a batch as tokens.

    tokenizer: the encoder's own.
    labels: of a batch.
    boxes: of a batch.
    shuffle: in a random order, as in training.
    first_row: the sample of a larger batch that this one begins with, counted from 0.
    """
    order = rng.from_row(first_row).on("cpu").rand(*labels.shape) if shuffle else None
    return to_device(tokenizer(labels, boxes, order=order), labels.device)


@node(category="layouts")
def layout_encoder(
    rng: Rng,  # noqa: ARG001
    tokenizer: LayoutTokenizer,
    dim: Width = 512,
    layers: Layers = 16,
    embedding_std: Deviation = 0.02,
) -> TextEncoder:
    """The transformer for layouts, untrained (layout2img-openimages256's).

    tokenizer: whose vocabulary and length it takes.
    dim: width of the context: the UNet's context_dim.
    layers: of the transformer.
    embedding_std: deviation that embeddings begin with; small models learn from 1 what the published .02 hides.
    """
    return BERTEmbedder(dim, layers, tokenizer.n_tokens, tokenizer.length).start_from(embedding_std)


@node(category="layouts")
def embed_tokens(text_encoder: TextEncoder, tokens: Tokens) -> Conditioning:
    """Token ids as a condition."""
    return _Conditioning(context=text_encoder(tokens))


@node(category="layouts", formerly=("no_layout",))
def null_layout(text_encoder: TextEncoder, tokenizer: LayoutTokenizer, device: Device) -> Conditioning:
    """The condition of an image without objects: the null condition of layouts.

    tokenizer: the encoder's own.
    """
    return _Conditioning(context=text_encoder(tokenizer.null().to(device)))


@node(category="spatial conditions")
def batch_semantic_map(batch: Batch) -> SemanticMap:
    """The semantic map of a batch."""
    return field(batch, "segmentation")


@node(category="spatial conditions", formerly=("rescaler",))
def spatial_rescaler(
    rng: Rng,  # noqa: ARG001
    stages: Annotated[int, Field(ge=1, le=16)] = 2,
    in_channels: Width = 182,
    out_channels: Width = 3,
) -> Rescaler:
    """Brings maps to the latent's size and maps their channels, untrained (CompVis' SpatialRescaler).

    stages: times that the size is halved: 2 for f = 4.
    in_channels: classes of the maps.
    out_channels: channels beside the latent.
    """
    return SpatialRescaler(stages, in_channels, out_channels)


@node(category="spatial conditions", words=("segmentation",))
def semantic_condition(rescaler: Rescaler, semantic_map: SemanticMap) -> Conditioning:
    """A semantic map as channels beside the latent."""
    return _Conditioning(concat=rescaler(one_hot_map(semantic_map, rescaler.config["in_channels"])))


def _degraded_shape(
    images: Image,
    rng: Rng,  # noqa: ARG001 - the node's signature
    factor: int,
    kind: str,  # noqa: ARG001
    first_row: int,  # noqa: ARG001
) -> Image:
    return images.new_empty(*images.shape[:2], images.shape[2] // factor, images.shape[3] // factor)


@node(
    category="spatial conditions",
    dry=_degraded_shape,
    version=2,
    draws_when=lambda given: given["kind"] != "bicubic",
    words=("upscaler", "super-resolution", "bsrgan"),
)
def degrade_images(
    images: Image,
    rng: Rng,
    factor: Annotated[int, Field(ge=1, le=16)] = 4,
    kind: Literal["bicubic", "light", "full"] = "bicubic",
    first_row: FirstRow = 0,
) -> Image:
    """Low-resolution versions of images: antialiased bicubic, or BSRGAN's degradations (CompVis' bsr_light, bsr).

    images: sharp ones.
    factor: of height and width.
    kind: how they are degraded.
    first_row: the sample of a larger batch that the images begin with, counted from 0.
    """
    return degrade(images, factor, kind, _keyed(rng.from_row(first_row), len(images)))


@node(category="spatial conditions", words=("upscaler", "super-resolution", "ldm upscale"))
def low_resolution_condition(low: Image, z: Latent) -> Conditioning:
    """A low-resolution image as channels beside the latent: raw, not encoded (Rombach et al. 2022, section 4.4).

    low: the image to enlarge.
    z: a latent, for its size.
    """
    return _Conditioning(concat=low_resolution_channels(low, (z.shape[2], z.shape[3])))


@node(category="spatial conditions", words=("depth2img", "depth map", "midas"))
def depth_condition(depth: Image, z: Latent) -> Conditioning:
    """A depth map as a channel beside the latent, as Stable Diffusion 2's depth model takes it.

    depth: bright where near; its range does not matter.
    z: a latent, for its size.
    """
    return _Conditioning(concat=depth_channels(depth, (z.shape[2], z.shape[3])))


def _mask_shape(images: Image, rng: Rng, style: str, first_row: int) -> Mask:  # noqa: ARG001 - the node's signature
    return images.new_empty(len(images), 1, *images.shape[2:])


@node(category="spatial conditions", dry=_mask_shape, version=2, words=("inpainting",))
def random_mask(
    images: Image,
    rng: Rng,
    style: Literal["training", "thin", "medium", "thick"] = "training",
    first_row: FirstRow = 0,
) -> Mask:
    """Random masks as LaMa's: 1 where the image is to be filled.

    images: for their number and size.
    style: strokes and boxes of which kind.
    first_row: the sample of a larger batch that the images begin with, counted from 0.
    """
    random = _keyed(rng.from_row(first_row), len(images))
    return to_device(random_masks(images.shape[2], images.shape[3], random, style), images.device)


def _keyed(rng: Rng, rows: int) -> KeyedRandom:
    """Random numbers for work that is done on the CPU, sample by sample."""
    return KeyedRandom(rng.on("cpu").bits(rows).numpy())


@node(category="spatial conditions", version=2, words=("load mask", "inpainting"))
def load_mask_image(
    path: File, device: Device, height: Side = 0, width: Side = 0, fit: Annotated[Fit, Neutral("crop")] = "crop"
) -> Mask:
    """A mask from a picture: white is to be filled.

    path: any image file.
    height: in pixels; 0 for the picture's own.
    width: in pixels; 0 for the picture's own.
    fit: how it meets another aspect ratio; as the picture that it was painted on.
    """
    if bool(height) != bool(width):
        raise ValueError("give both height and width, or neither")
    return load_mask(path, (height, width) if height and width else None, fit)[None].to(device)


@node(category="spatial conditions", formerly=("hide",), words=("inpainting",))
def mask_image(images: Image, mask: Mask, convention: Convention = "ldm") -> Image:
    """Images with the masked part blanked, to be encoded.

    mask: 1 where the image is to be filled.
    convention: black for the paper's model, grey for Stable Diffusion's.
    """
    return masked_image(images, mask, convention)


@node(category="spatial conditions", words=("inpaint model conditioning",))
def inpainting_condition(masked: Latent, mask: Mask, convention: Convention = "ldm") -> Conditioning:
    """The latent of the masked image, and the mask, as channels beside the latent (Rombach et al. 2022, section 4.5).

    masked: mask_image's result, encoded.
    mask: 1 where the image is to be filled.
    convention: the paper's order and range, or Stable Diffusion's.
    """
    return _Conditioning(concat=inpainting_channels(masked, mask, convention))


@node(category="spatial conditions", words=("composite", "inpainting"))
def paste(images: Image, filling: Image, mask: Mask) -> Image:
    """The known pixels of images, and the filling where the mask is 1."""
    return composite(images, filling, mask)


@node(category="conditioning", words=("depth", "canny", "pose"))
def concat_condition(channels: Channels) -> Conditioning:
    """Any channels at the latent's size, beside it."""
    return _Conditioning(concat=channels)


@node(category="conditioning", formerly=("both_conditions",))
def combine_conditions(a: Conditioning, b: Conditioning) -> Conditioning:
    """Two conditions at once, tokens and channels: the repository's hybrid mode."""
    return a | b


@node(category="conditioning")
def null_like(conditioning: Conditioning) -> Conditioning:
    """The null condition of channels: zero everywhere."""
    return conditioning.null()


@node(category="conditioning", version=2, draws_when=lambda given: given["probability"] > 0)
def drop_conditions(
    conditioning: Conditioning, null: Conditioning, rng: Rng, probability: Annotated[float, Field(ge=0, le=1)] = 0.1
) -> Conditioning:
    """Replace samples' conditions by the null condition at random: the training half of classifier-free guidance.

    conditioning: of a batch.
    null: what stands for no condition.
    probability: of each sample's losing all of its condition.
    """
    return drop(conditioning, null, rng.rand(conditioning.batch_size), probability)
