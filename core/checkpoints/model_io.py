"""Our own models on disk: safetensors with the configuration that rebuilds them, as one file or as a folder.

A file `NAME.safetensors` holds the configuration in its header; any other path is a folder with `model.safetensors`
and a readable `config.json`. Both say the same:

    {"latent_loom": 1, "model": "UNet", "config": {…the constructor's arguments…}, "about": {…the caller's…}}

`model` names one of the models that the caller knows, by default those of `MODELS` (`core.models.registry`), so that loading never
imports what a file asks for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from core.checkpoints.descriptions import read_description, write_description
from core.checkpoints.files import CheckpointError, atomic_folder, extended_folder
from core.checkpoints.outline import outline
from core.checkpoints.weights import State, naming, read_metadata, read_weights, refuse_spoilt, write_weights
from core.conditioning.classes import ClassEmbedder
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.image_embedder import ImageEmbedder
from core.conditioning.learned_word import LearnedWord
from core.conditioning.sd3 import SD3TextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.spatial import SpatialRescaler
from core.conditioning.t5 import T5TextEmbedder
from core.conditioning.text import BERTEmbedder
from core.models.adapter import Adapter
from core.models.autoencoder import KLAutoencoder, VQAutoencoder
from core.models.classifier import NoisyClassifier
from core.models.controlnet import ControlNet
from core.models.discriminator import NLayerDiscriminator
from core.models.dit import DiT
from core.models.identity_autoencoder import IdentityAutoencoder
from core.models.ip_adapter import IPAdapter
from core.models.mmdit import MMDiT
from core.models.perceptual import HaarDistance
from core.models.pixart import PixArt
from core.models.registry import MODELS, name_of
from core.models.t2i_adapter import T2IAdapter
from core.models.tiny_autoencoder import TinyAutoencoder
from core.models.unet import UNet

FORMAT_VERSION = 1
HEADER = "latent_loom"

for model in (
    UNet,
    DiT,
    MMDiT,
    PixArt,
    KLAutoencoder,
    VQAutoencoder,
    TinyAutoencoder,
    IdentityAutoencoder,
    NLayerDiscriminator,
    ClassEmbedder,
    BERTEmbedder,
    CLIPTextEmbedder,
    SDXLTextEmbedder,
    SD3TextEmbedder,
    T5TextEmbedder,
    SpatialRescaler,
    HaarDistance,
    NoisyClassifier,
    Adapter,
    LearnedWord,
    ControlNet,
    T2IAdapter,
    IPAdapter,
    ImageEmbedder,
):
    MODELS.add(model)

Model = TypeVar("Model", bound=nn.Module)


class SavedModel(NamedTuple):
    """A model in eval mode, and what was written about it when it was saved."""

    model: nn.Module
    about: dict[str, Any]


def save_model(
    model: nn.Module, path: str | Path, about: Mapping[str, Any] | None = None, known: Mapping[str, type] = MODELS
) -> None:
    """Write a model, whole or not at all: a file for `….safetensors`, else a folder.

    about: JSON kept beside the configuration and given back on loading, such as the workflow that trained the model.
    known: the classes that files may name.
    Raises ValueError for a model that is none of them, FileExistsError for a folder that holds other things.
    """
    path, name = Path(path), name_of(model, known)
    config = getattr(model, "config", {})
    description = {HEADER: FORMAT_VERSION, "model": name, "config": config, "about": dict(about or {})}
    if path.suffix == ".safetensors":
        write_weights(model.state_dict(), path, {HEADER: json.dumps(description)})
        return
    with atomic_folder(path) as folder:
        write_weights(model.state_dict(), folder / "model.safetensors")
        write_description(folder / "config.json", description)


def save_models(models: Mapping[str, nn.Module], folder: str | Path, known: Mapping[str, type] = MODELS) -> None:
    """Write models as NAME.safetensors into one folder, all or none; what else it holds stays. Raises as `save_model`."""
    with extended_folder(folder) as temporary:
        for name, model in models.items():
            save_model(model, temporary / f"{name}.safetensors", known=known)


def load_model(
    path: str | Path, dtype: torch.dtype | None = torch.float32, known: Mapping[str, type] = MODELS
) -> SavedModel:
    """Read what `save_model` wrote. Raises CheckpointError naming the file and the remedy.

    dtype: what floating-point weights are converted to; None keeps each as it is in the file, which then may stay
    mapped instead of read. known: the classes that the file may name.
    """
    with naming(path):
        return _load(Path(path), dtype, known)


def _load(path: Path, dtype: torch.dtype | None, known: Mapping[str, type]) -> SavedModel:
    source, weights = _files_of(path)
    description = read_description(source) if path.is_dir() else _header(path)
    if HEADER not in description:
        raise CheckpointError(f"{source} was not written by save_model; load it as the format that it is.")
    if description[HEADER] != FORMAT_VERSION:
        raise CheckpointError(
            f"{source} is of version {description[HEADER]!r:.40}, later than this program; update it."
        )
    name = description.get("model")
    if not isinstance(name, str) or name not in known:
        raise CheckpointError(
            f"{source} holds a {name!r:.60}, which is none of {', '.join(known)}; update this program, or name the package "
            "that brings this model (--nodes)."
        )
    kind: type[nn.Module] = known[name]
    model = build(kind, description.get("config", {}), read_weights(weights), weights, dtype)
    return SavedModel(model, description.get("about", {}))


def model_files(path: str | Path) -> dict[str, Path]:
    """The files that `load_model` reads: a file itself under the empty name, those of a folder by theirs."""
    path = Path(path)
    return {file.name if path.is_dir() else "": file for file in _files_of(path) if file.is_file()}


def _files_of(path: Path) -> tuple[Path, Path]:
    """Where a model's configuration and weights are."""
    return (path / "config.json", path / "model.safetensors") if path.is_dir() else (path, path)


def build(
    kind: type[Model],
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    source: str | Path,
    dtype: torch.dtype | None = None,
    trusted: bool = False,
) -> Model:
    """A model in eval mode from its configuration and weights, which it takes over without a copy where dtypes agree.

    source: the file to name where names or shapes of weights are not the configuration's (CheckpointError).
    dtype: what floating-point weights are converted to; None keeps each as it is.
    trusted: weights that were made here; others are looked at, and NaN or infinite ones are a CheckpointError. What a file
        holds besides the model's weights (schedules, counters) is not: published files have NaN there that harms nobody.
    """
    try:
        model = outline(kind, config, state)
        _check_fit(model.state_dict(), state, kind.__name__, source)
        if any(module._non_persistent_buffers_set for module in model.modules()):
            model = kind(**config)  # holds constants that no file has
    except CheckpointError:
        raise
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{source}: no {kind.__name__} can be built from its configuration: {error}") from error
    if not trusted:
        refuse_spoilt(state, source)
    model.load_state_dict(
        {key: value.to(dtype) if dtype and value.is_floating_point() else value for key, value in state.items()},
        assign=True,
    )
    return model.eval()


def _check_fit(wanted: State, found: Mapping[str, Tensor], name: str, source: str | Path) -> None:
    problems = [f"{key} is missing" for key in wanted.keys() - found.keys()]
    problems += [f"{key} is unknown" for key in found.keys() - wanted.keys()]
    problems += [
        f"{key} is {tuple(found[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted.keys() & found.keys()
        if found[key].shape != wanted[key].shape
    ]
    if problems:
        raise CheckpointError(
            f"{source} does not fit the architecture of the configured {name}: "
            f"{'; '.join(sorted(problems)[:3])}{f'; and {len(problems) - 3} more' if len(problems) > 3 else ''}. "
            "Give the configuration that the weights were trained with."
        )


def _header(path: Path) -> dict[str, Any]:
    text = read_metadata(path).get(HEADER)
    if text is None:
        return {}
    try:
        return dict(json.loads(text))
    except (RecursionError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} has an unreadable header ({error}); save the model again.") from error
