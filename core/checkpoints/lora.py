"""LoRA files and their kin merged into a model, and changes of a model saved as one (Hu et al. 2021).

Two namings are in use. kohya's sd-scripts and LyCORIS write `lora_unet_` or `lora_te_` and the module's path with underscores;
diffusers and peft write `unet.` or `text_encoder.` and the path with dots. Both mean diffusers' paths, some kohya files
CompVis'. As flattened paths they are all the same, and are looked up in both vocabularies. Of transformers (Stable Diffusion 3, PixArt) diffusers
writes its own paths behind `transformer.`, and kohya Stability's for Stable Diffusion 3. What is added to a module is `core.checkpoints.lora_updates`' affair.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from torch import Tensor, nn

from core.checkpoints.diffusers_keys import unet_from_diffusers, unet_to_diffusers
from core.checkpoints.diffusers_mmdit import mmdit_from_diffusers, mmdit_to_diffusers
from core.checkpoints.diffusers_pixart import pixart_from_diffusers, pixart_to_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import refusal
from core.checkpoints.listing import Entry, Listing
from core.checkpoints.lora_settings import Place, Settings, adapter_files, declared
from core.checkpoints.lora_updates import Target, Update
from core.checkpoints.model_io import build
from core.checkpoints.signatures import base
from core.checkpoints.text_keys import clip_from_files, clip_to_transformers
from core.checkpoints.weights import State, naming, read_weights, refuse_spoilt
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from core.layerwise import is_narrow, narrow
from core.models.mmdit import MMDiT
from core.models.pixart import PixArt
from core.models.unet import UNet

Model = TypeVar("Model", bound=UNet | MMDiT | PixArt | CLIPTextEmbedder | SDXLTextEmbedder)

Renaming = tuple[Callable[..., State], Callable[..., State]]
DENOISERS: dict[type, Renaming] = {
    UNet: (unet_to_diffusers, unet_from_diffusers),
    MMDiT: (mmdit_to_diffusers, mmdit_from_diffusers),
    PixArt: (pixart_to_diffusers, pixart_from_diffusers),
}
"""What weights are called in diffusers, and the way back, of the denoisers that LoRA files are for."""

KEY = re.compile(
    r"(?P<module>.+?)\.(?:"
    r"lora_(?P<part>A|B|down|mid|up)(?:\.(?!weight$|bias$)(?P<adapter>[^.]+))?\.(?P<of>weight|bias)"
    r"|lora(?:_linear_layer)?\.(?P<old>down|up)\.weight"
    r"|processor\.(?P<projection>to_[qkv]|to_out)_lora\.(?P<oldest>down|up)\.weight"
    r"|lora_(?P<magnitude>magnitude)_vector(?:\.(?!weight$)(?P<named>[^.]+))?(?:\.weight)?"
    r"|(?P<plain>alpha|dora_scale|hada_w[12]_[ab]|hada_t[12]|lokr_w[12](?:_[ab])?|lokr_t2|diff|diff_b|w_norm|b_norm)"
    r")"
)
PREFIXES: dict[str, Place] = {
    "lora_unet_": "unet",
    "lycoris_": "unet",
    "lora_te1_": "text",
    "lora_te2_": "text 2",
    "lora_te_": "text",
    "unet.": "unet",
    "diffusion_model.": "unet",
    "transformer.": "unet",
    "text_encoder.": "text",
    "text_encoder_2.": "text 2",
}
TEXT_MODULES = ("text_model.", "text_model_", "encoder.layers.", "encoder_layers_")
"""How a text encoder's modules begin, in files that do not say for what they are."""
TARGETS: dict[str, Target] = {"weight": "weight", "bias": "bias"}
NAMES = {"A": "down", "B": "up"}
"""peft's names of the factors, and Hu et al.'s directions."""


@dataclass(frozen=True, eq=False)
class Lora:
    """A file's updates by flattened module path, for the denoiser, the text encoder, and the second of two (Stable Diffusion XL).

    base: the model that it was made for, if its names or widths tell.
    """

    source: Path
    unet: Mapping[str, Update]
    text: Mapping[str, Update]
    base: str | None = None
    text_2: Mapping[str, Update] = field(default_factory=dict)


def read_lora(path: str | Path, adapter: str = "") -> Lora:
    """Read a LoRA, LoHa, LoKr, DoRA or file of differences in kohya's, LyCORIS', diffusers' or peft's naming, or a folder of peft.

    adapter: which of them, where a file or folder holds several by name. Raises CheckpointError naming the file and the remedy.
    """
    try:
        with naming(path):
            return _read(Path(path), adapter)
    except CheckpointError as error:
        raise refusal(path, error, "lora") from error


def _read(path: Path, adapter: str) -> Lora:
    updates: dict[Place, dict[str, Update]] = {"unet": {}, "text": {}, "text 2": {}}
    known = None
    for file, place, settings in adapter_files(path, adapter):
        weights = read_weights(file)
        refuse_spoilt(weights, file)
        known = known or base(Listing({key: Entry(tuple(each.shape), "") for key, each in weights.items()}))
        told = settings or declared(file)
        for to, module, parts in _modules(weights, file, place, adapter):
            updates[to][module.replace(".", "_")] = _update(file, module, parts, told.get(to, Settings()))
    return Lora(path, updates["unet"], updates["text"], known, updates["text 2"])


def _modules(
    weights: State, file: Path, place: Place | None, adapter: str
) -> list[tuple[Place, str, dict[str, Tensor]]]:
    """Where each module is, its path, and the parts of its update."""
    found: dict[tuple[Place, str], dict[str, Tensor]] = {}
    names: set[str] = set()
    for key, value in weights.items():
        match = KEY.fullmatch(key.removeprefix("base_model.model."))
        if match is None:
            raise CheckpointError(f"{file} is no LoRA file: {key} is no part of one; load it as what it is.")
        named = match["adapter"] or match["named"]
        if named:
            names.add(named)
            if adapter and named not in (adapter, "default"):
                continue
        module = match["module"]
        to: Place = place or ("text" if module.startswith(TEXT_MODULES) else "unet")
        for prefix, target in PREFIXES.items():
            if module.startswith(prefix):
                module, to = module.removeprefix(prefix), target
                break
        if match["projection"]:
            module += "." + match["projection"].replace("to_out", "to_out.0")
        part = match["part"] or match["old"] or match["oldest"] or match["magnitude"] or match["plain"]
        part = "bias" if match["of"] == "bias" else NAMES.get(part, part)
        found.setdefault((to, module), {})[part] = value
    if len(names) > 1 and adapter not in names:
        raise CheckpointError(f"{file} holds the adapters {', '.join(sorted(names))}; name one of them (adapter=…).")
    return [(to, module, parts) for (to, module), parts in found.items()]


def _update(path: Path, module: str, parts: Mapping[str, Tensor], settings: Settings) -> Update:
    stored = parts.get("alpha")
    alpha = settings.alpha_of(module, path) if stored is None else float(stored)
    try:
        factors = {name: part for name, part in parts.items() if name != "alpha"}
        return Update(factors, alpha, settings.stabilised)
    except ValueError as error:
        raise CheckpointError(
            f"{path} lacks half of the update of {module}; it is incomplete, download it again."
        ) from error


def changes_nothing(lora: Lora, part: Literal["denoiser", "text encoder"], by_names_alone: bool = False) -> str:
    """Why the file changes nothing in a denoiser or text encoder, in a sentence; empty where it does.

    by_names_alone: do not look whether all updates are zero.
    """
    text = [*lora.text.values(), *lora.text_2.values()]
    unet = list(lora.unet.values())
    updates, others = (unet, text) if part == "denoiser" else (text, unet)
    if not updates:
        other = "text encoder" if part == "denoiser" else "denoiser"
        return f"{lora.source} has nothing for the {part}" + (f", only for the {other}" if others else ": it is empty")
    if by_names_alone:
        return ""
    if all(update.is_zero() for update in updates):
        return f"all that {lora.source} adds to the {part} is zero: it was never trained"
    return ""


def merge_lora(model: Model, lora: Lora, strength: float = 1.0) -> Model:
    """A copy of the UNet, Stable Diffusion 3's or PixArt's transformer, or text encoder (CLIP, or Stable Diffusion XL's two) with the
    file's updates added; the model itself if there are none for it.

    strength: 1 as trained, 0 nothing, negative the opposite. Several files add up, one merge after the other.
    Raises CheckpointError for updates that do not fit the model.
    """
    text: list[Mapping[str, Update]] = [lora.text, lora.text_2] if isinstance(model, SDXLTextEmbedder) else [lora.text]
    names = diffusers_names(model)
    if not any([lora.unet] if names else text):
        return model
    config: dict[str, Any] = model.config
    state = {key: value.clone() for key, value in model.state_dict().items()}
    left: dict[str, Update] = {}
    if names is not None:
        to, back = names
        left, theirs = dict(lora.unet), to(state, config)
        _add(theirs, left, strength, lora.source)
        state = back(theirs, config)
        _add(state, left, strength, lora.source)
    elif isinstance(model, SDXLTextEmbedder):
        for prefix, updates in zip(("clip_l.", "clip_g."), text, strict=True):
            half = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            changed, rest = _text_changed(half, updates, strength, lora.source)
            state |= {prefix + key: value for key, value in changed.items()}
            left |= rest
    else:
        state, left = _text_changed(state, lora.text, strength, lora.source)
    if left:
        raise CheckpointError(
            f"{lora.source} changes {len(left)} modules that this {type(model).__name__} does not have, such as "
            f"{min(left)}; use it with the base model that it was made for{f', {lora.base}' if lora.base else ''}."
        )
    merged = build(type(model), config, state, lora.source)
    if is_narrow(model):
        narrow(merged, None)
    return merged


def diffusers_names(model: nn.Module) -> Renaming | None:
    """What a denoiser's weights are called in diffusers, and the way back (`DENOISERS`); None where it is none of these."""
    return next((names for kind, names in DENOISERS.items() if isinstance(model, kind)), None)


def _text_changed(
    state: State, updates: Mapping[str, Update], strength: float, source: Path
) -> tuple[State, dict[str, Update]]:
    """A CLIP's weights with updates added, and the updates of what it does not have."""
    left, theirs = dict(updates), clip_to_transformers(state)
    _add(theirs, left, strength, source)
    state = clip_from_files(theirs)
    _add(state, left, strength, source)
    return state, left


def _add(state: State, updates: dict[str, Update], strength: float, source: Path) -> None:
    """Add to the weights and biases of `state` the updates of its modules, and take those out of `updates`."""
    done: set[str] = set()
    for key in list(state):
        path, _, target = key.rpartition(".")
        name = path.replace(".", "_")
        name = name if name in updates else name.removeprefix("text_model_")
        update = updates.get(name)
        if update is None or target not in TARGETS or not update.changes(TARGETS[target]):
            continue
        done.add(name)
        before = state[key]
        try:
            state[key] = update.apply(TARGETS[target], before, strength).to(before.dtype)
        except (ArithmeticError, LookupError, RuntimeError) as error:  # of factors of any shape
            raise CheckpointError(
                f"{source} does not fit the shape {tuple(before.shape)} of {key}; use it with the base model that it "
                "was made for."
            ) from error
    for name in done:
        del updates[name]
