"""CompVis' yaml (latent-diffusion, stable-diffusion) to the constructors' arguments of our models, and back.

A yaml may carry a further section `latent_loom`, which CompVis' code ignores: the exact description, for what its own
has no words for (a tiny text encoder, a betas table). It is written always and believed first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_diffusion import Architecture, Part
from core.checkpoints.sdxl_text import size_dim
from core.checkpoints.sgm_config import from_compvis_params, to_compvis_params
from core.checkpoints.text_keys import is_openclip
from core.conditioning.classes import ClassEmbedder
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.spatial import SpatialRescaler
from core.conditioning.text import BERTEmbedder
from core.diffusion.schedule import NoiseSchedule, Parametrisation, with_betas
from core.models.autoencoder import KLAutoencoder, VQAutoencoder
from core.models.presets import OPENCLIP_TEXT
from core.models.unet import UNet

EXACT = "latent_loom"

MOST_YAML = 2**18
"""Bytes of a yaml, and values in it: the published ones have 3,000 bytes, a table of 1,000 betas 25,000."""

FAMILIES = {"linear": "linear", "plain_linear": "sqrt_linear", "cosine": "cosine"}
"""Constructors of NoiseSchedule, and CompVis' names of their betas."""


def read_yaml(path: str | Path) -> Architecture:
    """The architecture that a CompVis yaml describes. Raises CheckpointError naming the file and what is wrong."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give the yaml that came with the checkpoint.")
    if path.stat().st_size > MOST_YAML:
        raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes, which no model's yaml has.")
    try:
        content = _parsed(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise CheckpointError(f"{path} is not a yaml file ({error}); give the one that came with the model.") from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise CheckpointError(f"{path} has no 'model' section; give the yaml that came with the checkpoint.")
    if EXACT in content:
        return Architecture.from_json(content[EXACT], path)
    try:
        return from_compvis(content["model"])
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} describes a model that cannot be built here: {str(error)[:200]}.") from error


def _parsed(text: str) -> Any:
    """What a yaml says, in plain values. Raises ValueError where its aliases stand for more than it could say itself."""
    loader = yaml.SafeLoader(text)  # libyaml's, which is faster, crashes on deep nesting
    try:
        node = loader.get_single_node()
        if node is not None and _values(node, {}) > MOST_YAML:
            raise ValueError("its aliases stand for too many values")
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _values(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values a node stands for, aliases written out; infinitely many where it holds itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + (0 if isinstance(parts, str) else sum(_values(part, known) for part in parts))
    return known[id(node)]


def from_compvis(model: Mapping[str, Any]) -> Architecture:
    """The `model` section of a CompVis yaml: a LatentDiffusion, or an autoencoder alone; or of Stable Diffusion XL's."""
    params: Mapping[str, Any] = model["params"]
    if "network_config" in params:
        params = to_compvis_params(params)
    if "unet_config" not in params:
        return Architecture(autoencoder=_autoencoder(model, scale_factor=1.0))
    autoencoder = _autoencoder(params["first_stage_config"], float(params.get("scale_factor", 1.0)))
    return Architecture(
        unet=Part(UNet, _unet(params["unet_config"]["params"])),
        autoencoder=autoencoder,
        conditioner=_conditioner(params.get("cond_stage_config", "__is_unconditional__")),
        schedule=_schedule(params),
    )


def _unet(params: Mapping[str, Any]) -> dict[str, Any]:
    only = {"use_new_attention_order": False, "n_embed": None, "dims": 2, "disable_middle_self_attn": False}
    for name, wanted in only.items():
        if params.get(name, wanted) != wanted:
            raise ValueError(f"the UNet option {name} = {params[name]} is not supported")
    head_channels = params.get("num_head_channels", -1)
    classes = params.get("num_classes")
    depth = params.get("transformer_depth", 1)
    return {
        "in_channels": params["in_channels"],
        "out_channels": params["out_channels"],
        "model_channels": params["model_channels"],
        "channel_mult": list(params.get("channel_mult", (1, 2, 4, 8))),
        "num_res_blocks": params["num_res_blocks"],
        "attention_factors": list(params["attention_resolutions"]),
        "num_heads": params["num_heads"] if head_channels == -1 else None,
        "num_head_channels": None if head_channels == -1 else head_channels,
        "context_dim": params["context_dim"] if params.get("use_spatial_transformer") else None,
        "transformer_depth": list(depth) if isinstance(depth, list) else depth,
        "use_linear_in_transformer": params.get("use_linear_in_transformer", False),
        "disable_self_attentions": list(params.get("disable_self_attentions") or ()),
        "num_classes": None if classes == "sequential" else classes,
        "adm_in_channels": params["adm_in_channels"] if classes == "sequential" else None,
        "use_scale_shift_norm": params.get("use_scale_shift_norm", False),
        "resblock_updown": params.get("resblock_updown", False),
        "conv_resample": params.get("conv_resample", True),
        "dropout": float(params.get("dropout", 0)),
        "gradient_checkpointing": bool(params.get("use_checkpoint", False)),
    }


def _autoencoder(section: Mapping[str, Any], scale_factor: float) -> Part:
    params, dd = section["params"], section["params"]["ddconfig"]
    config: dict[str, Any] = {
        "in_channels": dd["in_channels"],
        "out_channels": dd["out_ch"],
        "model_channels": dd["ch"],
        "channel_mult": list(dd["ch_mult"]),
        "num_res_blocks": dd["num_res_blocks"],
        "z_channels": dd["z_channels"],
        "embed_dim": params["embed_dim"],
        "attention_factors": [dd["resolution"] // side for side in dd["attn_resolutions"]],
        "mid_attention": dd.get("attn_type", "vanilla") != "none",
        "dropout": float(dd.get("dropout", 0)),
        "scale_factor": scale_factor,
    }
    if dd.get("double_z", True):
        return Part(KLAutoencoder, config)
    return Part(VQAutoencoder, config | {"codes": params["n_embed"], "legacy": True})


def _conditioner(section: Mapping[str, Any] | str) -> Part | None:
    if isinstance(section, str):  # "__is_first_stage__", "__is_unconditional__": nothing of its own
        return None
    name, params = section["target"].rpartition(".")[2], dict(section.get("params") or {})
    match name:
        case "Identity":
            return None
        case "ClassEmbedder":
            return Part(ClassEmbedder, class_embedder_config(params.get("n_classes", 1000), params["embed_dim"]))
        case "BERTEmbedder" | "TransformerEmbedder":
            known = ("n_embed", "n_layer", "vocab_size", "max_seq_len", "embedding_dropout")
            return Part(BERTEmbedder, {key: params[key] for key in known if key in params})
        case "SpatialRescaler":
            return Part(SpatialRescaler, params)
        case "FrozenCLIPEmbedder" | "FrozenOpenCLIPEmbedder":
            return Part(CLIPTextEmbedder, dict(OPENCLIP_TEXT) if "Open" in name else {})
        case "SDXLTextEmbedder":
            return Part(SDXLTextEmbedder, {})  # whose sizes show in the weights
    raise ValueError(f"the conditioner {name} is not supported")


def class_embedder_config(rows: int, embed_dim: int) -> dict[str, Any]:
    """A class embedding of so many rows: the last is the null class, unless they are ImageNet's 1000 (cin256)."""
    null_class = rows != 1000
    return {"n_classes": rows - null_class, "embed_dim": embed_dim, "null_class": null_class}


def _schedule(params: Mapping[str, Any]) -> NoiseSchedule:
    parametrisation: Parametrisation = params.get("parameterization", "eps")
    steps = int(params.get("timesteps", 1000))
    start, end = float(params.get("linear_start", 1e-4)), float(params.get("linear_end", 2e-2))
    name = params.get("beta_schedule", "linear")
    for family, theirs in FAMILIES.items():
        if name == theirs:
            return build_schedule(family, steps, start, end, parametrisation)
    raise ValueError(f"the beta_schedule {name} is not supported")


def to_compvis(architecture: Architecture) -> dict[str, Any]:
    """A yaml's content for an architecture: what CompVis' code needs to build it, and the exact description."""
    first_stage = architecture.autoencoder and _first_stage_section(architecture.autoencoder)
    if architecture.unet is None:
        if first_stage is None:
            raise ValueError("There is neither a UNet nor an autoencoder to describe in a yaml.")
        return {"model": first_stage, EXACT: architecture.to_json()}
    text = architecture.conditioner
    two = text.config if text and text.kind is SDXLTextEmbedder else None
    params: dict[str, Any] = {
        "unet_config": _unet_section(architecture.unet.config),
        "cond_stage_config": None if two else _conditioner_section(text, architecture.unet.config),
        "conditioning_key": conditioning_key(architecture.unet.config),
    }
    if architecture.autoencoder and first_stage:
        params |= {
            "first_stage_config": first_stage,
            "channels": architecture.autoencoder.config["embed_dim"] or architecture.autoencoder.config["z_channels"],
            "scale_factor": architecture.autoencoder.config["scale_factor"],
        }
    if architecture.schedule:
        params |= _schedule_params(with_betas(architecture.schedule, "a CompVis file"))
    model = {"target": "ldm.models.diffusion.ddpm.LatentDiffusion", "params": params}
    if two:
        encoders = 1 if two["clip_l"] is None else 2
        model = from_compvis_params(params, encoders, size_dim(architecture.unet.config, text))
    return {"model": model, EXACT: architecture.to_json()}


def _unet_section(config: Mapping[str, Any]) -> dict[str, Any]:
    shared = ("in_channels", "out_channels", "model_channels", "channel_mult", "num_res_blocks", "dropout")
    options = ("use_scale_shift_norm", "resblock_updown", "conv_resample")
    params: dict[str, Any] = {"image_size": 32} | {name: config[name] for name in shared + options}
    params |= {
        "attention_resolutions": config["attention_factors"],
        "num_heads": -1 if config["num_heads"] is None else config["num_heads"],
        "num_head_channels": -1 if config["num_head_channels"] is None else config["num_head_channels"],
        "use_checkpoint": config["gradient_checkpointing"],
        "legacy": False,
    }
    if config["context_dim"] is not None:
        names = ("context_dim", "transformer_depth", "use_linear_in_transformer", "disable_self_attentions")
        params |= {"use_spatial_transformer": True} | {name: config[name] for name in names}
    if config["adm_in_channels"] is not None:
        params |= {"num_classes": "sequential", "adm_in_channels": config["adm_in_channels"]}
    elif config["num_classes"] is not None:
        params["num_classes"] = config["num_classes"]
    return {"target": "ldm.modules.diffusionmodules.openaimodel.UNetModel", "params": params}


def _first_stage_section(part: Part) -> dict[str, Any]:
    config, is_vq = part.config, part.kind is VQAutoencoder
    resolution = 256  # CompVis names the sides that carry attention, of images of this size
    ddconfig = {
        "double_z": not is_vq,
        "z_channels": config["z_channels"],
        "resolution": resolution,
        "in_channels": config["in_channels"],
        "out_ch": config["out_channels"],
        "ch": config["model_channels"],
        "ch_mult": config["channel_mult"],
        "num_res_blocks": config["num_res_blocks"],
        "attn_resolutions": [resolution // factor for factor in config["attention_factors"]],
        "dropout": config["dropout"],
    } | ({} if config["mid_attention"] else {"attn_type": "none"})
    params = {
        "embed_dim": config["embed_dim"] or config["z_channels"],
        "ddconfig": ddconfig,
        "lossconfig": {"target": "torch.nn.Identity"},
    }
    if is_vq:
        return {"target": "ldm.models.autoencoder.VQModelInterface", "params": params | {"n_embed": config["codes"]}}
    return {"target": "ldm.models.autoencoder.AutoencoderKL", "params": params}


def conditioning_key(unet: Mapping[str, Any]) -> str | None:
    """How CompVis' wrapper hands the condition to a UNet of this configuration; None for an unconditional one."""
    concat, crossattn = unet["in_channels"] > unet["out_channels"], unet["context_dim"] is not None
    if concat or crossattn:
        return "hybrid" if concat and crossattn else "concat" if concat else "crossattn"
    return "adm" if unet["num_classes"] is not None or unet["adm_in_channels"] is not None else None


def _conditioner_section(part: Part | None, unet: Mapping[str, Any]) -> dict[str, Any] | str:
    if part is None:  # nothing, or channels as they are: a masked latent with its mask, or a low-resolution image
        extra = unet["in_channels"] - unet["out_channels"]
        if extra <= 0:
            return "__is_unconditional__"
        return "__is_first_stage__" if extra == unet["out_channels"] + 1 else {"target": "torch.nn.Identity"}
    config = dict(part.config)
    if part.kind is ClassEmbedder:
        config = {"n_classes": config["n_classes"] + config["null_class"], "embed_dim": config["embed_dim"]}
    if part.kind is CLIPTextEmbedder:
        openclip = "FrozenOpenCLIPEmbedder", {"layer": "penultimate"}
        name, config = openclip if is_openclip(config) else ("FrozenCLIPEmbedder", {})
    else:
        name = part.kind.__name__
    return {"target": f"ldm.modules.encoders.modules.{name}", "params": config}


def _schedule_params(schedule: NoiseSchedule) -> dict[str, Any]:
    named = schedule_family(schedule)
    params: dict[str, Any] = {"timesteps": schedule.num_timesteps, "parameterization": schedule.parametrisation}
    if named is not None:
        params |= {"beta_schedule": FAMILIES[named[0]], "linear_start": named[1], "linear_end": named[2]}
    return params


def schedule_family(schedule: NoiseSchedule) -> tuple[str, float, float] | None:
    """Which constructor of NoiseSchedule gives these betas, "linear", "plain_linear" or "cosine", with start and end.

    Betas that went through float32 are recognised. None where no constructor fits, as for zero terminal SNR.
    """
    start, end = (float(f"{beta:.6g}") for beta in (schedule.betas[0], schedule.betas[-1]))
    for family in FAMILIES if end < 1 else ():
        candidate = build_schedule(family, schedule.num_timesteps, start, end)
        if np.allclose(candidate.betas, schedule.betas, rtol=1e-6, atol=0):
            return family, start, end
    return None


def build_schedule(
    family: str, steps: int, start: float, end: float, parametrisation: Parametrisation = "eps"
) -> NoiseSchedule:
    """The schedule of a family that `schedule_family` names."""
    if family == "cosine":
        return NoiseSchedule.cosine(steps, parametrisation=parametrisation)
    constructor = NoiseSchedule.linear if family == "linear" else NoiseSchedule.plain_linear
    return constructor(steps, start, end, parametrisation)


def exact_schedule(betas: Sequence[float], parametrisation: Parametrisation = "eps") -> NoiseSchedule:
    """A schedule from a file's float32 betas, by its constructor where one fits."""
    found = NoiseSchedule(tuple(betas), parametrisation)
    family = schedule_family(found)
    return build_schedule(family[0], len(betas), family[1], family[2], parametrisation) if family else found
