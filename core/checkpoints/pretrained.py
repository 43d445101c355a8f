"""Networks of the transformers library, from folders that a person has, as it writes them: config.json beside model.safetensors.

Nothing is downloaded, and no code of a folder is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.checkpoints.files import CheckpointError
from core.checkpoints.outline import outline
from core.checkpoints.weights import State, naming, read_json, read_weights, refuse_spoilt, weight_files
from core.conditioning.tokenizer import tokenizer_files

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


def pretrained_files(folder: str | Path) -> dict[str, Path]:
    """The files of a folder, by name, that `load_pretrained` reads; those of a tokenizer too."""
    folder = Path(folder)
    files = {"config.json": folder / "config.json", **tokenizer_files(folder)}
    if (weights := _weights(folder)) is not None:
        files |= {name or weights.name: path for name, path in weight_files(weights).items()}
    return {name: path for name, path in files.items() if path.is_file()}


def _weights(folder: Path) -> Path | None:
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """transformers draws one for every network, on a console that belongs to the run."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _half_or_float32(state: State) -> torch.dtype:
    kinds = {value.dtype for value in state.values() if value.is_floating_point()}
    return kinds.pop() if len(kinds) == 1 and kinds <= {torch.float16, torch.bfloat16} else torch.float32


def load_pretrained(
    folder: Path,
    kind: str,
    configuration: Any,
    model: Callable[[Any], nn.Module],
    dtype: torch.dtype | None = torch.float32,
) -> tuple[Any, nn.Module]:
    """A folder's configuration and network. Raises CheckpointError, naming it, where it holds another kind, or not all.

    dtype: what the weights are converted to; None keeps half ones half, if all are alike.
    """
    source = folder / "config.json"
    described = read_json(source)
    if described.get("model_type") != kind:
        raise CheckpointError(
            f"{source} describes a {str(described.get('model_type'))[:60]!r}; a folder of {kind!r} is wanted"
        )
    if (weights := _weights(folder)) is None:
        raise CheckpointError(f"{folder} holds no weights: expected one of {', '.join(WEIGHTS)}")
    state = read_weights(weights)
    refuse_spoilt(state, weights)
    with naming(source), _without_progress_bars():
        config = configuration.from_dict(described)
        outline(lambda: model(config), {}, state)  # before a configuration that asks for millions of layers is followed
        network, told = model.from_pretrained(  # type: ignore[attr-defined]
            None,
            config=config,
            state_dict=state,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            dtype=dtype or _half_or_float32(state),
        )
    lacking = [*told["missing_keys"], *(str(each) for each in told["mismatched_keys"])]
    if lacking:
        raise CheckpointError(
            f"{weights} does not fit {source}: {'; '.join(sorted(lacking)[:3])} missing or of another shape; get the folder again"
        )
    return config, network
