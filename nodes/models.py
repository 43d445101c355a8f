"""Models: made anew, saved and loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import Field
from torch import nn

from core.checkpoints.model_io import load_model as load
from core.checkpoints.model_io import save_models as save
from core.conditioning.classes import ClassEmbedder
from core.layerwise import narrow, narrowed
from core.models.autoencoder import KLAutoencoder
from core.models.discriminator import NLayerDiscriminator
from core.models.dit import DiT
from core.models.first_stage import FirstStage
from core.models.identity_autoencoder import IdentityAutoencoder
from core.models.registry import MODELS, name_of
from core.models.unet import UNet as UNetModel
from graph_runner.context import Models, Rng, Saving
from graph_runner.contract import Lighter, Name, Neutral, Ports, StoredAs, node
from nodes.wires import Autoencoder, Denoiser, Discriminator, Embedder, UNet, WeightFile

M = TypeVar("M", bound=nn.Module)

Narrow = Literal["bfloat16", "float16", "float8_e4m3fn"]
Kept = Annotated[Literal["float32", "as in the file", Narrow], Neutral("float32"), StoredAs()]
"""How a loaded model's weights are kept (`core.layerwise`)."""

OURS = Models(MODELS)
"""For who calls a node's function by hand; the engine hands in those of all packages."""

Channels = Annotated[int, Field(ge=1, le=4096)]
Blocks = Annotated[int, Field(ge=1, le=64)]
Layers = Annotated[int, Field(ge=1, le=512)]
Multiples = Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(min_length=1, max_length=12)]
Factors = Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(max_length=12)]
Depths = Annotated[list[Blocks], Field(max_length=12)]
Classes = Annotated[int, Field(ge=1, le=10_000_000)]
Groups = Annotated[int, Field(ge=1, le=4096)]
Count = Annotated[int, Field(ge=0)]
Width = Annotated[int, Field(ge=0, le=65_536)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Deviation = Annotated[float, Field(gt=0, le=10)]


@node(category="models", words=("vae", "autoencoderkl", "first stage"))
def kl_autoencoder(
    rng: Rng,  # noqa: ARG001 - the engine seeds torch's generators, which initialisation draws from
    model_channels: Channels = 128,
    channel_mult: Multiples = [1, 2, 4, 4],  # noqa: B006
    num_res_blocks: Blocks = 2,
    z_channels: Channels = 4,
    attention_factors: Factors = [],  # noqa: B006
    mid_attention: bool = True,
    norm_groups: Groups = 32,
    dropout: Dropout = 0.0,
    logvar_init: Annotated[float, Field(ge=-30, le=20)] | None = None,
    per_channel_scale: bool = False,
) -> Autoencoder:
    """A KL autoencoder, untrained: f = 2^(levels − 1) (Rombach et al. 2022, appendix G; CompVis' AutoencoderKL).

    model_channels: channels of the first level.
    channel_mult: a multiple of them for each level; each level after the first halves height and width.
    num_res_blocks: residual blocks a level.
    z_channels: channels of the latent.
    attention_factors: downsampling factors whose levels carry attention.
    mid_attention: attention in the middle, at the lowest resolution.
    norm_groups: groups of the group norms; it must divide all channels.
    dropout: in the residual blocks.
    logvar_init: initial bias of the log variance; −6 lets a small model begin with hardly any noise.
    per_channel_scale: rescale each latent channel by its own mean and deviation, not all by one number.
    """
    return KLAutoencoder(
        model_channels=model_channels,
        channel_mult=channel_mult,
        num_res_blocks=num_res_blocks,
        z_channels=z_channels,
        attention_factors=attention_factors,
        mid_attention=mid_attention,
        norm_groups=norm_groups,
        dropout=dropout,
        logvar_init=logvar_init,
        per_channel_scale=per_channel_scale,
    )


@node(category="models", words=("pixel space", "pixel diffusion", "no first stage", "f = 1", "identity first stage"))
def identity_autoencoder(in_channels: Channels = 3, per_channel_scale: bool = False) -> Autoencoder:
    """The first stage that changes nothing, so that the same graph diffuses pixels: f = 1 (CompVis' IdentityFirstStage).

    in_channels: of images, and of z.
    per_channel_scale: rescale_latents measures each channel's own mean and deviation, not one number for all.
    """
    return IdentityAutoencoder(in_channels, per_channel_scale=per_channel_scale)


@node(category="models", words=("gan", "patchgan"))
def patch_discriminator(
    rng: Rng,  # noqa: ARG001
    base_channels: Channels = 64,
    num_layers: Annotated[int, Field(ge=1, le=6)] = 3,
) -> Discriminator:
    """A patch discriminator, untrained (Isola et al. 2017; CompVis' NLayerDiscriminator).

    base_channels: channels of the first layer.
    num_layers: layers that halve the size; the smaller side must be at least 3 · 2^num_layers pixels.
    """
    return NLayerDiscriminator(base_channels=base_channels, num_layers=num_layers)


@node(category="models", words=("diffusion model", "backbone"))
def unet(
    rng: Rng,  # noqa: ARG001
    in_channels: Channels = 4,
    out_channels: Channels = 4,
    model_channels: Channels = 224,
    channel_mult: Multiples = [1, 2, 3, 4],  # noqa: B006
    num_res_blocks: Blocks = 2,
    attention_factors: Factors = [8, 4, 2],  # noqa: B006
    num_heads: Width = 0,
    num_head_channels: Width = 32,
    context_dim: Width = 0,
    transformer_depth: Blocks = 1,
    depth_by_level: Depths = [],  # noqa: B006
    use_linear_in_transformer: bool = False,
    num_classes: Annotated[int, Field(ge=0, le=10_000_000)] = 0,
    use_scale_shift_norm: bool = False,
    resblock_updown: bool = False,
    conv_resample: bool = True,
    norm_groups: Groups = 32,
    dropout: Dropout = 0.0,
    gradient_checkpointing: Annotated[bool, Lighter(True)] = False,
    vector_dim: Annotated[Width, Neutral(0)] = 0,
) -> UNet:
    """The time-conditional UNet that denoises latents, untrained (Rombach et al. 2022, section 3.2, appendix E.2).

    in_channels: channels of the latent, and of conditions concatenated to it.
    out_channels: channels of the prediction.
    model_channels: channels of the first level.
    channel_mult: a multiple of them for each level; each level after the first halves height and width.
    num_res_blocks: residual blocks a level.
    attention_factors: downsampling factors whose levels carry attention; the middle always does.
    num_heads: attention heads of every layer; 0 to count them by num_head_channels.
    num_head_channels: channels of one head, where num_heads is 0.
    context_dim: width of the tokens for cross-attention; 0 for none.
    transformer_depth: blocks of each spatial transformer.
    depth_by_level: a number of such blocks for each level; the middle takes the last. Empty for the same everywhere.
    use_linear_in_transformer: linear projections around them instead of 1×1 convolutions, as in Stable Diffusion 2.
    num_classes: classes added to the time embedding; 0 for none.
    use_scale_shift_norm: the time embedding scales and shifts the norms instead of being added.
    resblock_updown: residual blocks that resize, as in BigGAN.
    conv_resample: convolutions where the size changes and no residual block does it.
    norm_groups: groups of the group norms; it must divide all channels.
    dropout: in the residual blocks.
    gradient_checkpointing: less memory in training, more time.
    vector_dim: width of a vector added to the time embedding instead of classes, as SDXL's sizes are; 0 for none.
    """
    return UNetModel(
        in_channels,
        out_channels,
        model_channels,
        channel_mult,
        num_res_blocks,
        attention_factors,
        num_heads=num_heads or None,
        num_head_channels=None if num_heads else num_head_channels,
        context_dim=context_dim or None,
        transformer_depth=depth_by_level or transformer_depth,
        use_linear_in_transformer=use_linear_in_transformer,
        num_classes=num_classes or None,
        adm_in_channels=vector_dim or None,
        use_scale_shift_norm=use_scale_shift_norm,
        resblock_updown=resblock_updown,
        conv_resample=conv_resample,
        norm_groups=norm_groups,
        dropout=dropout,
        gradient_checkpointing=gradient_checkpointing,
    )


@node(category="models", words=("diffusion transformer", "backbone"))
def dit(
    rng: Rng,  # noqa: ARG001
    in_channels: Channels = 4,
    hidden_size: Annotated[int, Field(ge=4, le=16_384, multiple_of=4)] = 384,
    depth: Layers = 12,
    num_heads: Annotated[int, Field(ge=1, le=1024)] = 6,
    patch_size: Annotated[int, Field(ge=1, le=64)] = 2,
    sample_size: Annotated[int, Field(ge=1, le=4096)] = 32,
    num_classes: Annotated[int, Field(ge=0, le=10_000_000)] = 0,
    context_dim: Width = 0,
    mlp_ratio: Annotated[float, Field(gt=0, le=16)] = 4.0,
    learn_sigma: bool = False,
    gradient_checkpointing: Annotated[bool, Lighter(True)] = False,
) -> Denoiser:
    """The diffusion transformer that denoises latents, untrained (Peebles & Xie 2023, with adaLN-Zero). It stands where a UNet can.

    in_channels: channels of the latent.
    hidden_size: width of the tokens.
    depth: transformer blocks.
    num_heads: attention heads; they divide hidden_size.
    patch_size: side of the squares of the latent that are one token each.
    sample_size: height and width of the latents it is trained on; others fit too.
    num_classes: classes added to the time embedding, and one more, the last, for no class; 0 for none.
    context_dim: width of the tokens that each block attends to (Chen et al. 2024); 0 for none.
    mlp_ratio: width of the MLPs, in hidden_size.
    learn_sigma: it also has outputs for the variance, as published models do; samplers here leave them out.
    gradient_checkpointing: less memory in training, more time.
    """
    return DiT(
        in_channels,
        hidden_size,
        depth,
        num_heads,
        patch_size,
        sample_size,
        mlp_ratio,
        num_classes or None,
        context_dim or None,
        learn_sigma,
        gradient_checkpointing=gradient_checkpointing,
    )


@node(category="models", words=("label embedding",))
def class_embedder(rng: Rng, classes: Classes = 1000, dim: Channels = 512) -> Embedder:  # noqa: ARG001
    """One learned token for each class, and one for no class, untrained (CompVis' ClassEmbedder).

    classes: how many.
    dim: width of the token: the UNet's context_dim.
    """
    return ClassEmbedder(classes, dim)


@node(category="models", mutates=("model",), dry=lambda model, **_: model)
def compile_model(model: M, mode: Literal["default", "reduce-overhead", "max-autotune"] = "default") -> M:
    """The same model, compiled (torch.compile): its first call of each shape takes minutes, and the others less time than before.

    Denoisers and first stages are compiled block by block, and so are the copies that a training makes of them; another model as a
    whole, until it is copied. It computes the same up to rounding, and is saved as ever. `--compile` of a run compiles all of them.

    model: any; what else reads it has it as it is.
    mode: reduce-overhead records CUDA graphs for sampling; max-autotune measures kernels against each other first.
    """
    model.compile(mode=None if mode == "default" else mode)
    return model


def _could_be_saved(models: dict[str, nn.Module], known: Models, **_: Any) -> None:
    """What `save_models` refuses, found out before anything is trained."""
    for model in models.values():
        name_of(model, known)


def _saved(given: Mapping[str, Any]) -> dict[str, str]:
    """Where `save_models` saves each of its models."""
    return {port: f"models/{given['name']}/{port}.safetensors" for port in given.get("models", ())}


@node(category="models", effect=True, saves=lambda given: _saved(given).values(), dry=_could_be_saved)
def save_models(models: Ports[M], saving: Saving, known: Models = OURS, name: Name = "model") -> None:
    """Save models below the workspace's models folder, all or none: models/NAME/PORT.safetensors, with all that rebuilds them.

    models: named models.
    name: the folder's name.
    """
    places = [saving(path) for path in _saved({"models": models, "name": name}).values()]
    if places:
        save(models, places[0].parent, known)


@node(category="models")
def cast_weights(model: M, dtype: Narrow = "bfloat16") -> M:
    """A model whose weights are kept in fewer bytes, and cast layer by layer as they are used (as diffusers' layerwise casting).

    What is computed in is the run's to say (--dtype). Norms, the time embedding and the output stay float32; a training
    makes all weights of its models float32 again.

    model: any; it stays as it is.
    dtype: half the memory, or with float8 a quarter, of float32's; float8 keeps three bits of each weight's fraction.
    """
    return narrowed(model, getattr(torch, dtype)).eval().requires_grad_(False)


@node(category="models", words=("model loader",))
def load_model(path: WeightFile, known: Models = OURS, dtype: Kept = "float32") -> Any:
    """A saved model of any kind: ours, or one that a package of nodes brings.

    path: a .safetensors file that save_models wrote.
    dtype: what its weights are kept in; a half file "as in the file" takes half the memory. Norms and the like are float32.
    """
    return load_as(path, nn.Module, dtype, known)


@node(category="models", words=("vae loader", "load vae"))
def load_autoencoder(path: WeightFile, dtype: Kept = "float32") -> Autoencoder:
    """A saved autoencoder.

    path: a .safetensors file that save_models wrote.
    dtype: what its weights are kept in; see load_model.
    """
    return load_as(path, FirstStage, dtype)


@node(category="models", words=("unet loader", "load diffusion model"))
def load_unet(path: WeightFile, dtype: Kept = "float32") -> UNet:
    """A saved UNet.

    path: a .safetensors file that save_models wrote.
    dtype: what its weights are kept in; see load_model.
    """
    return load_as(path, UNetModel, dtype)


@node(category="models", words=("label",))
def load_class_embedder(path: WeightFile, dtype: Kept = "float32") -> Embedder:
    """A saved class embedder.

    path: a .safetensors file that save_models wrote.
    dtype: what its weights are kept in; see load_model.
    """
    return load_as(path, ClassEmbedder, dtype)


@node(category="models")
def load_discriminator(path: WeightFile, dtype: Kept = "float32") -> Discriminator:
    """A saved discriminator, to train on with its first stage.

    path: a .safetensors file that save_models wrote.
    dtype: what its weights are kept in; see load_model.
    """
    return load_as(path, NLayerDiscriminator, dtype)


def model_file(name: str) -> str:
    """Where a node saves a model as a single file, below the workspace; a name may have the ending already."""
    return f"models/{name.removesuffix('.safetensors')}.safetensors"


def load_as(path: str, kind: type[nn.Module], dtype: str, known: Models = OURS) -> Any:
    """A saved model, which has to be of a kind, its weights kept in what a `Kept` says. Raises ValueError for another."""
    model = load(path, read_as(dtype), known).model
    if not isinstance(model, kind):
        raise ValueError(
            f"{path} holds a {type(model).__name__}, not a {kind.__name__}; give another file, or use load_model"
        )
    keep_as(model, dtype)
    return model


def read_as(dtype: str) -> torch.dtype | None:
    """What the weights of a file are converted to when they are read: nothing, where they will not be float32."""
    return torch.float32 if dtype == "float32" else None


def keep_as(model: nn.Module, dtype: str) -> None:
    """Keep the weights of a model, as it was read, in what a `Kept` says."""
    if dtype != "float32":
        narrow(model, None if dtype == "as in the file" else getattr(torch, dtype))
