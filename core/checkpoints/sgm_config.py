"""Stable Diffusion XL's yaml (Stability-AI/generative-models, configs/inference/sd_xl_base.yaml) in CompVis' words, and back.

It says of the text encoders which they are, and not their sizes: those show in the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.diffusion.schedule import Parametrisation

Params = Mapping[str, Any]

MODULES, ENCODERS = "sgm.modules.diffusionmodules", "sgm.modules.encoders.modules"
SCALINGS: dict[str, Parametrisation] = {"EpsScaling": "eps", "VScaling": "v"}
"""sgm's names of what a UNet predicts."""
BETAS = {"num_timesteps": "timesteps", "linear_start": "linear_start", "linear_end": "linear_end"}
"""What sgm's discretization and CompVis' yaml call the same numbers."""
PUBLISHED = {"num_timesteps": 1000, "linear_start": 0.00085, "linear_end": 0.012}
"""What sgm's LegacyDDPMDiscretization has where a yaml leaves it out."""
CONDITIONER = "SDXLTextEmbedder"
TEXTS = (
    ("FrozenCLIPEmbedder", {"layer": "hidden", "layer_idx": 11}),
    ("FrozenOpenCLIPEmbedder2", {"arch": "ViT-bigG-14", "layer": "penultimate", "always_return_pooled": True, "legacy": False}),
)  # fmt: skip
SIZES = {
    6: ("original_size_as_tuple", "crop_coords_top_left", "target_size_as_tuple"),
    5: ("original_size_as_tuple", "crop_coords_top_left", "aesthetic_score"),
}
"""sgm's names of the numbers in a vector, by how many there are."""


def to_compvis_params(params: Params) -> dict[str, Any]:
    """An engine's parameters as those of CompVis' LatentDiffusion. Raises ValueError for another noise process than SDXL's."""
    denoiser = params["denoiser_config"]["params"]
    scaling, discretization = denoiser["scaling_config"], denoiser["discretization_config"]
    if (kind := _name(scaling)) not in SCALINGS:
        raise ValueError(f"the scaling {kind} is not supported, only {' or '.join(SCALINGS)}")
    if (form := _name(discretization)) != "LegacyDDPMDiscretization":
        raise ValueError(f"the discretization {form} is not supported, only LegacyDDPMDiscretization")
    betas = PUBLISHED | dict(discretization.get("params") or {})
    unet = dict(params["network_config"]["params"])
    widths = unet.get("context_dim")
    if isinstance(widths, list):  # one for each level, as the refiner's yaml has it
        if len(set(widths)) != 1:
            raise ValueError(f"the UNet option context_dim = {widths} is not supported, only one number for all levels")
        unet["context_dim"] = widths[0]
    return {
        "unet_config": {"params": unet | {"use_spatial_transformer": widths is not None}},
        "first_stage_config": params["first_stage_config"],
        "scale_factor": params.get("scale_factor", 1.0),
        "cond_stage_config": {"target": CONDITIONER},
        "parameterization": SCALINGS[kind],
    } | {theirs: betas[name] for name, theirs in BETAS.items()}


def from_compvis_params(params: Params, encoders: int, size_dim: int | None) -> dict[str, Any]:
    """The `model` section of a yaml from CompVis' parameters of the same model.

    encoders: how many text encoders it has. size_dim: width of each size's embedding in its vector, None where it has none.
    Raises ValueError for a parametrisation that sgm has no name for.
    """
    names = {kind: name for name, kind in SCALINGS.items()}
    predicts = params.get("parameterization", "eps")
    if predicts not in names:
        raise ValueError(f"a single file of Stable Diffusion XL predicts eps or v, not {predicts}; choose another form")
    betas = {name: params[theirs] for name, theirs in BETAS.items() if theirs in params}
    texts = [("txt", name, options) for name, options in TEXTS[-encoders:]]
    keys = SIZES[4 + encoders] if size_dim else ()
    sizes = [_embedder(key, "ConcatTimestepEmbedderND", {"outdim": size_dim}) for key in keys]
    content = {
        "scale_factor": params.get("scale_factor", 1.0),
        "network_config": params["unet_config"],
        "denoiser_config": {
            "target": f"{MODULES}.denoiser.DiscreteDenoiser",
            "params": {
                "num_idx": params.get("timesteps", 1000),
                "scaling_config": {"target": f"{MODULES}.denoiser_scaling.{names[predicts]}"},
                "discretization_config": {"target": f"{MODULES}.discretizer.LegacyDDPMDiscretization", "params": betas},
            },
        },
        "conditioner_config": {
            "target": "sgm.modules.GeneralConditioner",
            "params": {"emb_models": [_embedder(*text) for text in texts] + sizes},
        },
    }
    if "first_stage_config" in params:
        content["first_stage_config"] = params["first_stage_config"]
    return {"target": "sgm.models.diffusion.DiffusionEngine", "params": content}


def _embedder(key: str, name: str, options: Params) -> dict[str, Any]:
    return {"is_trainable": False, "input_key": key, "target": f"{ENCODERS}.{name}", "params": dict(options)}


def _name(section: Params) -> str:
    return str(section["target"]).rpartition(".")[2]
