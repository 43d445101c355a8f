"""One door to every format, and a whole model in our own.

Our folder of a whole model holds `unet.safetensors`, `autoencoder.safetensors`, `conditioner.safetensors` (each a file
of `save_model`, those of them that there are), `tokenizer/`, and `latent_diffusion.json` with the schedule and what
the caller adds, such as the workflow that trained it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.checkpoints.compvis import Weights, compvis_files, load_compvis
from core.checkpoints.descriptions import read_description, write_description
from core.checkpoints.diffusers_folder import describes_weights, diffusers_files, load_component, load_diffusers
from core.checkpoints.files import CheckpointError, atomic_folder
from core.checkpoints.identify import refusal
from core.checkpoints.latent_diffusion import Conditioner, LatentDiffusion, Predictor
from core.checkpoints.model_io import HEADER, load_model, model_files, save_model
from core.checkpoints.taesd import halves_of, read_taesd, taesd
from core.checkpoints.weights import SINGLE_FILES, naming, read_json, read_metadata, weight_files
from core.conditioning.tokenizer import TextTokenizer, tokenizer_files
from core.diffusion.kinds import from_dict
from core.diffusion.schedule import Parametrisation, with_betas
from core.models.first_stage import FirstStage
from core.models.registry import MODELS

WHOLE = "latent_diffusion.json"
PARTS = ("unet", "autoencoder", "conditioner")


def load_checkpoint(
    path: str | Path,
    config: str | Path | None = None,
    weights: Weights = "ema",
    parametrisation: Parametrisation | None = None,
    scale_factor: float | None = None,
    dtype: torch.dtype | None = torch.float32,
    known: Mapping[str, type] = MODELS,
) -> LatentDiffusion:
    """Whatever lies at `path`: our files and folders, diffusers' folders, CompVis' files or a folder with one in it.

    config, weights: see `load_compvis`; other formats say these themselves.
    parametrisation, scale_factor: override the file's. An autoencoder alone in a CompVis file has the scale 1; one that
        is to serve Stable Diffusion needs 0.18215 here.
    dtype: what floating-point weights are converted to; None keeps each as it is in the file. known: the classes that our own
        files may name.
    Raises CheckpointError naming the file and the remedy.
    """
    try:
        with naming(path):
            return _load(Path(path), config, weights, parametrisation, scale_factor, dtype, known)
    except CheckpointError as error:
        raise refusal(path, error, "checkpoint") from error


def _load(
    path: Path,
    config: str | Path | None,
    weights: Weights,
    parametrisation: Parametrisation | None,
    scale_factor: float | None,
    dtype: torch.dtype | None,
    known: Mapping[str, type],
) -> LatentDiffusion:
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; check the path, or download it.")
    if path.is_dir():
        model = _load_folder(path, config, weights, dtype, known)
    elif HEADER in read_metadata(path):
        model = _in_its_place(load_model(path, dtype, known).model, path)
    elif config is None and describes_weights(path):
        model = load_component(path, dtype)
    elif (tiny := read_taesd(path)) is not None:
        model = LatentDiffusion(autoencoder=taesd(tiny, path, dtype))
    else:
        model = load_compvis(path, config, weights, parametrisation, dtype)
    if scale_factor is not None and model.autoencoder:
        model.autoencoder.scale_factor.fill_(scale_factor)
    answered = ["give scale_factor"] * (scale_factor is not None) + ["set parametrisation"] * (
        parametrisation is not None
    )
    model = replace(model, untold=tuple(each for each in model.untold if not any(a in each for a in answered)))
    if parametrisation and model.schedule:
        return replace(
            model,
            schedule=with_betas(model.schedule, f"the parametrisation {parametrisation}").with_parametrisation(
                parametrisation
            ),
        )
    return model


def save_checkpoint(
    model: LatentDiffusion,
    folder: str | Path,
    about: Mapping[str, Any] | None = None,
    known: Mapping[str, type] = MODELS,
) -> None:
    """Write a whole model in our format, whole or not at all.

    about: JSON to keep with it, see `read_about`. known: the classes that files may name. Raises ValueError for a part that is
    none of them, FileExistsError for a folder that holds other things.
    """
    names = (*(f"{name}.safetensors" for name in PARTS), "tokenizer", WHOLE)
    with atomic_folder(folder, names) as temporary:
        for name in PARTS:
            part: nn.Module | None = getattr(model, name)
            if part is not None:
                save_model(part, temporary / f"{name}.safetensors", known=known)
        if model.tokenizer:
            model.tokenizer.save(temporary / "tokenizer")
        schedule = model.schedule.to_dict() if model.schedule else None
        content = {HEADER: 1, "schedule": schedule, "about": dict(about or {})}
        write_description(temporary / WHOLE, content)


def read_about(path: str | Path) -> dict[str, Any]:
    """What `save_checkpoint` was given to keep with the model at `path`."""
    return dict(read_json(Path(path) / WHOLE).get("about", {}))


def _load_folder(
    folder: Path, config: str | Path | None, weights: Weights, dtype: torch.dtype | None, known: Mapping[str, type]
) -> LatentDiffusion:
    if (folder / WHOLE).is_file():
        return _load_whole(folder, dtype, known)
    if (folder / "model_index.json").is_file():
        return load_diffusers(folder, dtype)
    if (folder / "config.json").is_file():
        if HEADER in read_json(folder / "config.json"):
            return _in_its_place(load_model(folder, dtype, known).model, folder)
        return load_diffusers(folder, dtype)
    files = _single_files(folder)
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise CheckpointError(
            f"{folder} is no model's folder: it has no model_index.json or config.json, and not one checkpoint file "
            f"but {found}; give the file itself."
        )
    return load_checkpoint(files[0], config, weights, dtype=dtype, known=known)


def checkpoint_files(path: str | Path) -> dict[str, Path]:
    """The files that `load_checkpoint` reads without a config, by their names at `path`; the file itself has none.

    Raises CheckpointError where one that lists others cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        if HEADER in read_metadata(path):
            return weight_files(path)
        described = describes_weights(path)
        return weight_files(path) | {described.name: described} if described else compvis_files(path) | halves_of(path)
    if (path / WHOLE).is_file():
        files = {name: path / name for name in (WHOLE, *(f"{part}.safetensors" for part in PARTS))}
        files |= {f"tokenizer/{name}": file for name, file in tokenizer_files(path / "tokenizer").items()}
        return {name: file for name, file in files.items() if file.is_file()}
    if (path / "model_index.json").is_file():
        return diffusers_files(path)
    if (path / "config.json").is_file():
        return model_files(path) if HEADER in read_json(path / "config.json") else diffusers_files(path)
    files = {file.name: file for file in _single_files(path)}
    if len(files) == 1:
        files |= {name or file.name: file for name, file in checkpoint_files(*files.values()).items()}
    return files


def _single_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in SINGLE_FILES)


def _load_whole(folder: Path, dtype: torch.dtype | None, known: Mapping[str, type]) -> LatentDiffusion:
    content = read_description(folder / WHOLE)
    parts: dict[str, Any] = {
        name: load_model(folder / f"{name}.safetensors", dtype, known).model
        for name in PARTS
        if (folder / f"{name}.safetensors").is_file()
    }
    if (folder / "tokenizer").is_dir():
        parts["tokenizer"] = TextTokenizer.load(folder / "tokenizer")
    if content.get("schedule"):
        parts["schedule"] = from_dict(content["schedule"])
    return LatentDiffusion(**parts)


def _in_its_place(model: nn.Module, source: Path) -> LatentDiffusion:
    if isinstance(model, Predictor):
        return LatentDiffusion(unet=model)
    if isinstance(model, FirstStage):
        return LatentDiffusion(autoencoder=model)
    if isinstance(model, Conditioner):
        return LatentDiffusion(conditioner=model)
    raise CheckpointError(
        f"{source} holds a {type(model).__name__}, no part of a latent diffusion model; load it by load_model."
    )
