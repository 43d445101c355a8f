"""ControlNets in the forms that people have: a folder of diffusers, the original's single file, and ours.

A single file has the names of lllyasviel/ControlNet under `control_model.` or under nothing, or diffusers' names; it may hold the
differences to the UNet that it was made from instead of weights, which then has to be given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from core.checkpoints.detect import encoder_shape, published_heads
from core.checkpoints.diffusers_config import conditional_unet_from_diffusers, unet_to_diffusers_config
from core.checkpoints.diffusers_folder import ENDINGS, STEMS, weights_in
from core.checkpoints.diffusers_keys import State, controlnet_from_diffusers, controlnet_to_diffusers
from core.checkpoints.files import CheckpointError, atomic_folder
from core.checkpoints.forms import unet_names
from core.checkpoints.identify import refusal
from core.checkpoints.model_io import HEADER, build, load_model, model_files
from core.checkpoints.weights import naming, read_json, read_metadata, read_weights, weight_files, write_weights
from core.models.controlnet import ENCODER, ControlNet
from core.models.registry import MODELS
from core.models.unet import UNet

Form = Literal["diffusers", "original"]

PREFIX = "control_model."
DIFFERENCE = "difference"
"""The marker of a file of differences."""
KIND = "ControlNetModel"
OWN = {
    "conditioning_channels": 3,
    "controlnet_conditioning_channel_order": "rgb",
    "conditioning_embedding_out_channels": (16, 32, 96, 256),
    "global_pool_conditions": False,
}
"""The options of diffusers' ControlNetModel that its UNet has not, and their defaults."""
SHARED = (
    "in_channels", "flip_sin_to_cos", "freq_shift", "down_block_types", "mid_block_type", "only_cross_attention", "block_out_channels",
    "layers_per_block", "downsample_padding", "mid_block_scale_factor", "act_fn", "norm_num_groups", "norm_eps", "cross_attention_dim",
    "transformer_layers_per_block", "encoder_hid_dim", "encoder_hid_dim_type", "attention_head_dim", "use_linear_projection",
    "class_embed_type", "addition_embed_type", "num_class_embeds", "resnet_time_scale_shift", "projection_class_embeddings_input_dim",
    "addition_time_embed_dim",
)  # fmt: skip
"""Those that it shares with its UNet."""


def load_controlnet(
    path: str | Path,
    base: UNet | None = None,
    dtype: torch.dtype | None = torch.float32,
    known: Mapping[str, type] = MODELS,
) -> ControlNet:
    """A ControlNet from a file or folder in any of the forms.

    base: the UNet that it was made for: a file of differences needs it, and one of unpublished widths, for its attention heads.
    dtype: what floating-point weights are converted to; None keeps each. known: the classes that our own files may name.
    Raises CheckpointError naming the file and the remedy.
    """
    try:
        with naming(path):
            return _load(Path(path), base, dtype, known)
    except CheckpointError as error:
        raise refusal(path, error, "control") from error


def _load(path: Path, base: UNet | None, dtype: torch.dtype | None, known: Mapping[str, type]) -> ControlNet:
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; check the path, or download it.")
    described = _description(path)
    if described is not None:
        theirs = read_json(described)
        if HEADER not in theirs:
            weights = path if path.is_file() else weights_in(path)
            if weights is None:
                raise CheckpointError(f"{path} has no weights beside its config.json; download the folder again.")
            return _from_diffusers(theirs, read_weights(weights), described, dtype)
    if described is not None or (path.is_file() and HEADER in read_metadata(path)):
        model = load_model(path, dtype, known).model
        if not isinstance(model, ControlNet):
            raise CheckpointError(f"{path} holds a {type(model).__name__}, not a ControlNet; load it by load_model.")
        return model
    if path.is_dir():
        raise CheckpointError(f"{path} is no ControlNet's folder: it has no config.json; give the file itself.")
    return _single(read_weights(path), path, base, dtype)


def _description(path: Path) -> Path | None:
    """The configuration of a folder, or beside one of its files of weights; None where there is none."""
    if path.is_dir():
        return path / "config.json" if (path / "config.json").is_file() else None
    beside = path.with_name("config.json")
    of_a_folder = path.name.partition(".")[0] in STEMS and path.suffix in ENDINGS
    return beside if of_a_folder and beside.is_file() else None


def controlnet_files(path: str | Path) -> dict[str, Path]:
    """The files that `load_controlnet` reads, by their names at `path`; the file itself has none."""
    path = Path(path)
    described = _description(path)
    if not path.is_dir():
        return weight_files(path) | ({} if described is None else {described.name: described})
    if described is not None and HEADER in read_json(described):
        return model_files(path)
    weights = weights_in(path)
    files = {} if weights is None else {name or weights.name: file for name, file in weight_files(weights).items()}
    return files | ({} if described is None else {described.name: described})


def config_from_diffusers(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """ControlNetModel's configuration as `ControlNet`'s arguments. Raises ValueError naming an option that ours has not."""
    own = {name: theirs.get(name, default) for name, default in OWN.items()}
    if (order := own["controlnet_conditioning_channel_order"]) not in ("rgb", "bgr"):
        raise ValueError(
            f"the option controlnet_conditioning_channel_order = {order} is not supported, only rgb or bgr"
        )
    unet = {name: value for name, value in theirs.items() if name not in OWN}
    config = conditional_unet_from_diffusers(unet | {"out_channels": theirs["in_channels"]})
    del config["out_channels"]
    return config | {
        "hint_channels": own["conditioning_channels"],
        "hint_widths": list(own["conditioning_embedding_out_channels"]),
        "global_pool": bool(own["global_pool_conditions"]),
    }


def config_to_diffusers(ours: Mapping[str, Any]) -> dict[str, Any]:
    """`ControlNet`'s arguments as ControlNetModel's configuration. Raises ValueError for what diffusers has not."""
    if ours["context_dim"] is None:
        raise ValueError(
            "diffusers has no ControlNet of a UNet without a context; save it as the original's file instead"
        )
    theirs = unet_to_diffusers_config(dict(ours) | {"out_channels": ours["in_channels"]}, sample_size=64)
    return (
        {"_class_name": KIND}
        | {name: theirs[name] for name in SHARED if name in theirs}
        | {
            "conditioning_channels": ours["hint_channels"],
            "controlnet_conditioning_channel_order": "rgb",
            "conditioning_embedding_out_channels": list(ours["hint_widths"]),
            "global_pool_conditions": ours["global_pool"],
        }
    )


def save_controlnet(model: ControlNet, path: str | Path, form: Form = "diffusers") -> None:
    """Write a ControlNet, whole or not at all: a folder that diffusers loads, or a file with the original's names.

    Raises ValueError naming what diffusers cannot express, FileExistsError for a folder that holds other things.
    """
    if form == "original":
        write_weights({PREFIX + name: value for name, value in model.state_dict().items()}, path)
        return
    config = config_to_diffusers(model.config)
    state = controlnet_to_diffusers(model.state_dict(), model.config)
    if config["class_embed_type"] == "projection":
        state = {name.replace("add_embedding.", "class_embedding."): value for name, value in state.items()}
    with atomic_folder(path) as folder:
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        write_weights(state, folder / "diffusion_pytorch_model.safetensors")


def _from_diffusers(theirs: Mapping[str, Any], state: State, source: Path, dtype: torch.dtype | None) -> ControlNet:
    if theirs.get("_class_name") != KIND:
        told = str(theirs.get("_class_name") or "model without a class")[:60]
        raise CheckpointError(f"{source} describes a {told}, not a {KIND}.")
    try:
        config = config_from_diffusers(theirs)
        if theirs.get("class_embed_type") == "projection":
            state = {name.replace("class_embedding.", "add_embedding."): value for name, value in state.items()}
        if theirs.get("controlnet_conditioning_channel_order") == "bgr":
            first = "controlnet_cond_embedding.conv_in.weight"
            state = state | {first: state[first].flip(1)}
        return build(ControlNet, config, controlnet_from_diffusers(state, config), source.parent, dtype)
    except KeyError as error:
        raise CheckpointError(
            f"{source.parent} lacks {error}; its files do not belong together, get it again."
        ) from error
    except CheckpointError:
        raise
    except (ArithmeticError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{source} cannot be used: {str(error)[:300]}.") from error


def _single(state: State, path: Path, base: UNet | None, dtype: torch.dtype | None) -> ControlNet:
    state = {name.removeprefix("module.").removeprefix(PREFIX): value for name, value in state.items()}
    differences = state.pop(DIFFERENCE, None) is not None
    if "controlnet_cond_embedding.conv_in.weight" in state:
        state = _in_original_names(state)
    if "zero_convs.0.0.weight" not in state or "input_hint_block.0.weight" not in state:
        raise CheckpointError(f"{path} holds no ControlNet; give one, or load this as what it is.")
    if differences:
        state = _added(state, path, base)
    state = {
        name: value
        for name, value in state.items()
        if name.startswith((*ENCODER, "zero_convs.", "input_hint_block.", "middle_block_out."))
    }
    try:
        config = _shape(state)
    except (ArithmeticError, LookupError, ValueError) as error:
        raise CheckpointError(f"{path} holds no ControlNet of a known shape ({error}).") from error
    heads = _heads(config, base) or published_heads(
        config,
        path,
        "wire the UNet that it was made for to base, or put diffusers' config.json beside it and give the folder",
    )
    return build(ControlNet, config | heads, state, path, dtype)


def _heads(config: Mapping[str, Any], base: UNet | None) -> dict[str, Any]:
    """The attention heads of the UNet that it was made for, which weights do not show; empty where base is another one."""
    widths = ("model_channels", "channel_mult", "context_dim")
    if base is None or any(base.config[name] != config[name] for name in widths):
        return {}
    return {name: base.config[name] for name in ("num_heads", "num_head_channels", "norm_groups")}


def _added(state: State, path: Path, base: UNet | None) -> State:
    """Weights from differences to a UNet's."""
    if base is None:
        raise CheckpointError(f"{path} holds the differences of a ControlNet to its UNet; wire that UNet to base.")
    whole = base.state_dict()
    wrong = [name for name in state if name in whole and whole[name].shape != state[name].shape]
    if wrong:
        raise CheckpointError(f"{path} holds differences to another UNet than base ({wrong[0]} has another shape).")
    return {name: value + whole[name].to(value) if name in whole else value for name, value in state.items()}


def _shape(state: Mapping[str, Tensor]) -> dict[str, Any]:
    blocks = {int(match[1]) for name in state if (match := re.match(r"zero_convs\.(\d{1,4})\.", name))}
    halved = sorted(
        int(match[1]) for name in state if (match := re.match(r"input_blocks\.(\d{1,4})\.0\.op\.weight", name))
    )
    num_res_blocks = (halved[0] if halved else len(blocks)) - 1
    config = encoder_shape(state, num_res_blocks, len(halved) + 1)
    convolutions = sorted(
        int(match[1]) for name in state if (match := re.match(r"input_hint_block\.(\d{1,4})\.weight", name))
    )
    widths = [state[f"input_hint_block.{i}.weight"].shape[0] for i in convolutions[:-1:2]]
    return config | {"hint_channels": state["input_hint_block.0.weight"].shape[1], "hint_widths": widths}


def _in_original_names(state: State) -> State:
    """diffusers' names without its configuration, as the original's."""
    shared = unet_names(state)
    hints = sum(bool(re.fullmatch(r"controlnet_cond_embedding\.blocks\.\d+\.weight", name)) for name in state)

    def name(key: str) -> str:
        if match := re.fullmatch(r"controlnet_cond_embedding\.(conv_in|conv_out|blocks\.(\d{1,4}))\.(\w+)", key):
            place = {"conv_in": 0, "conv_out": 2 * hints + 2}.get(match[1])
            return f"input_hint_block.{2 * int(match[2]) + 2 if place is None else place}.{match[3]}"
        key = re.sub(r"^controlnet_down_blocks\.(\d+)\.", r"zero_convs.\1.0.", key)
        key = key.replace("controlnet_mid_block.", "middle_block_out.0.")
        return key if key.startswith(("zero_convs.", "middle_block_out.")) else shared(key)

    return {name(key): value for key, value in state.items()}
