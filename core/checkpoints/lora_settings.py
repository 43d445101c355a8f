"""What is said of a LoRA beside its weights: in peft's `adapter_config.json`, or in the header that diffusers writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.checkpoints.files import CheckpointError
from core.checkpoints.weights import SINGLE_FILES, read_json, read_metadata, weight_files

Place = Literal["unet", "text", "text 2"]

PARTS: dict[str, Place] = {"unet": "unet", "text_encoder": "text", "text_encoder_2": "text 2"}
"""Folders and prefixes for the halves of a model."""
CONFIG = "adapter_config.json"
WEIGHTS = tuple(
    f"{stem}.{ending}" for stem in ("adapter_model", "pytorch_lora_weights") for ending in ("safetensors", "bin")
)
HEADER = "lora_adapter_metadata"


@dataclass(frozen=True)
class Settings:
    """alpha: of all modules, None for the rank of each; patterns: of those whose path ends so. stabilised: rsLoRA."""

    alpha: float | None = None
    patterns: Mapping[str, float] = field(default_factory=dict)
    stabilised: bool = False

    def alpha_of(self, module: str, source: Path) -> float | None:
        """The alpha of a module by its path with dots: that of the first pattern that its end fits, as peft has it."""
        for pattern, alpha in self.patterns.items():
            if not re.fullmatch(r"\^?[\w.\\]+\$?", pattern):
                raise CheckpointError(
                    f"{source} has an alpha for {pattern!r:.60}, no path of a module; save it anew with peft."
                )
            if re.match(rf"(?:.*\.)?(?:{pattern})$", module):
                return alpha
        return self.alpha


def _settings(content: Mapping[str, Any], source: Path, kind: str = "LORA") -> Settings:
    if kind not in ("LORA", "LOHA"):
        raise CheckpointError(f"{source} is of an adapter of the kind {kind:.30}, which is not read; get it as a LoRA.")
    if content.get("use_qalora") or content.get("use_bdlora") or content.get("modules_to_save"):
        raise CheckpointError(f"{source} says more than a LoRA can (modules_to_save, …); save the whole model instead.")
    alpha = content.get("lora_alpha", content.get("alpha"))
    patterns = content.get("alpha_pattern") or {}
    return Settings(
        None if alpha is None else float(alpha),
        {str(pattern): float(each) for pattern, each in patterns.items()},
        bool(content.get("use_rslora", False)),
    )


def declared(path: Path) -> dict[Place, Settings]:
    """What the header of a file says that diffusers saved with peft: a setting for each model."""
    try:
        header = dict(json.loads(read_metadata(path).get(HEADER, "{}")))
    except (RecursionError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} has an unreadable header ({error}); download it again.") from error
    told: dict[Place, Settings] = {}
    for prefix, place in PARTS.items():
        own = {key.removeprefix(f"{prefix}."): value for key, value in header.items() if key.startswith(f"{prefix}.")}
        if own:
            told[place] = _settings(own, path)
    return told


def adapter_files(path: Path, adapter: str = "") -> Iterator[tuple[Path, Place | None, dict[Place, Settings]]]:
    """The files of weights at `path`, for what each is if the folder says it, and what is said of it beside.

    adapter: the folder of a named one. Raises CheckpointError where a folder holds no adapter, or several.
    """
    if not path.is_dir():
        yield path, None, {}
        return
    if (path / CONFIG).is_file() or (weights := _weights_in(path)) is not None:
        if (weights := _weights_in(path)) is None:
            raise CheckpointError(f"{path} has an {CONFIG} and no {WEIGHTS[0]}; download the folder again.")
        settings = _config_of(path)
        yield weights, None, {} if settings is None else dict.fromkeys(PARTS.values(), settings)
        return
    halves = [(path / name, place) for name, place in PARTS.items() if (path / name / CONFIG).is_file()]
    for folder, place in halves:
        for file, _, settings_of in adapter_files(folder):
            yield file, place, settings_of
    if not halves:
        yield from adapter_files(_named(path, adapter))


def _named(path: Path, adapter: str) -> Path:
    """The folder of one adapter, or the one file, in a folder that is none itself."""
    found = sorted(each.name for each in path.iterdir() if (each / CONFIG).is_file())
    found = found or sorted(each.name for each in path.iterdir() if each.suffix in SINGLE_FILES)
    if adapter in found:
        return path / adapter
    if len(found) != 1 or adapter:
        held = ", ".join(found) or "none"
        raise CheckpointError(
            f"{path} holds no adapter by itself, but {held}; give one of them, or its name (adapter=…)."
        )
    return path / found[0]


def _weights_in(folder: Path) -> Path | None:
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


def _config_of(folder: Path) -> Settings | None:
    if not (folder / CONFIG).is_file():
        return None
    content = read_json(folder / CONFIG)
    return _settings(content, folder / CONFIG, str(content.get("peft_type", "LORA")))


def lora_files(path: str | Path) -> dict[str, Path]:
    """The files that `read_lora` reads: the file under the empty name; of a folder those of each adapter in it."""
    path = Path(path)
    if not path.is_dir():
        return weight_files(path)
    names = (CONFIG, *WEIGHTS)
    whole = {name: path / name for name in names if (path / name).is_file()}
    parts = {f"{each.parent.name}/{each.name}": each for name in names for each in path.glob(f"*/{name}")}
    return whole or parts or {each.name: each for each in path.iterdir() if each.suffix in SINGLE_FILES}
