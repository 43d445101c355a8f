"""The components of diffusers' folders: from a configuration and weights as stored to a model of ours, by the class that is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from core.checkpoints import diffusers_config as configs
from core.checkpoints import diffusers_mmdit as mmdits
from core.checkpoints import diffusers_pixart as pixarts
from core.checkpoints import sd3_text
from core.checkpoints.diffusers_dit import dit_from_diffusers, dit_from_diffusers_config
from core.checkpoints.diffusers_keys import autoencoder_from_diffusers, unet_from_diffusers
from core.checkpoints.latent_scale import scale_buffers, with_quant_convs
from core.checkpoints.model_io import build
from core.checkpoints.sdxl_text import second_encoder
from core.checkpoints.taesd import in_taesd_names, taesd
from core.checkpoints.text_keys import clip_from_files, ldm_bert_from_diffusers
from core.checkpoints.weights import State
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.t5 import T5TextEmbedder
from core.conditioning.text import BERTEmbedder
from core.models.autoencoder import KLAutoencoder, VQAutoencoder
from core.models.dit import DiT
from core.models.mmdit import MMDiT
from core.models.pixart import PixArt
from core.models.unet import UNet

VECTOR = ("add_embedding.", "class_embedding.")
"""Where a vector's embedding is: SDXL's, as `diffusers_keys` has it, and one of class_embed_type "projection"."""


def _unet(conditional: bool) -> Callable[..., dict[str, Any]]:
    def component(folder: Path, theirs: Mapping[str, Any], state: State, dtype: torch.dtype | None) -> dict[str, Any]:
        translate = (
            configs.conditional_unet_from_diffusers if conditional else configs.unconditional_unet_from_diffusers
        )
        config = translate(theirs)
        if config.get("adm_in_channels"):
            state = {key.replace(*VECTOR[::-1]): value for key, value in state.items()}
        return {"unet": build(UNet, config, unet_from_diffusers(state, config), folder, dtype)}

    return component


def _dit(folder: Path, theirs: Mapping[str, Any], state: State, dtype: torch.dtype | None) -> dict[str, Any]:
    config = dit_from_diffusers_config(theirs)
    return {"unet": build(DiT, config, dit_from_diffusers(state, config), folder, dtype)}


def _mmdit(folder: Path, theirs: Mapping[str, Any], state: State, dtype: torch.dtype | None) -> dict[str, Any]:
    config = mmdits.mmdit_from_diffusers_config(theirs)
    return {"unet": build(MMDiT, config, mmdits.mmdit_from_diffusers(state, config), folder, dtype)}


def _pixart(folder: Path, theirs: Mapping[str, Any], state: State, dtype: torch.dtype | None) -> dict[str, Any]:
    config = pixarts.pixart_from_diffusers_config(theirs)
    return {"unet": build(PixArt, config, pixarts.pixart_from_diffusers(state, config), folder, dtype)}


def _transformer(folder: Path, theirs: Mapping[str, Any], state: State, dtype: torch.dtype | None) -> dict[str, Any]:
    """One of the two whose folders have the name that diffusers gave both at first."""
    made = _pixart if theirs.get("norm_type") == pixarts.NORM else _dit
    return made(folder, theirs, state, dtype)


def _autoencoder(folder: Path, theirs: Mapping[str, Any], state: State, dtype: torch.dtype | None) -> dict[str, Any]:
    config = configs.autoencoder_from_diffusers_config(theirs)
    kind: type[KLAutoencoder | VQAutoencoder] = VQAutoencoder if "codes" in config else KLAutoencoder
    if not theirs.get("use_quant_conv", True) or not theirs.get("use_post_quant_conv", True):
        state = with_quant_convs(state, config["z_channels"], 1 if "codes" in config else 2)
    scale = scale_buffers(theirs, config["embed_dim"], config["scale_factor"])
    weights = autoencoder_from_diffusers(state, config) | scale
    return {"autoencoder": build(kind, config, weights, folder, dtype)}


def _bert(folder: Path, theirs: Mapping[str, Any], state: State, dtype: torch.dtype | None) -> dict[str, Any]:
    config = configs.bert_from_diffusers_config(theirs)
    if not 0 <= config["n_layer"] <= len(state):
        raise ValueError(f"it asks for {config['n_layer']} layers of {len(state)} weights")
    weights = ldm_bert_from_diffusers(state, config["n_layer"])
    return {"conditioner": build(BERTEmbedder, config, weights, folder, dtype)}


def _clip(folder: Path, theirs: Mapping[str, Any], state: State, dtype: torch.dtype | None) -> dict[str, Any]:
    config = configs.clip_from_transformers_config(theirs)
    return {"conditioner": build(CLIPTextEmbedder, config, clip_from_files(state), folder, dtype)}


def _clip_projected(folder: Path, theirs: Mapping[str, Any], state: State, dtype: torch.dtype | None) -> dict[str, Any]:
    config = configs.sdxl_text_from_transformers_config(theirs)
    return {"conditioner": build(SDXLTextEmbedder, config, second_encoder(state), folder, dtype)}


def _t5(folder: Path, theirs: Mapping[str, Any], state: State, dtype: torch.dtype | None) -> dict[str, Any]:
    config = sd3_text.t5_from_transformers_config(theirs)
    return {"conditioner": build(T5TextEmbedder, config, sd3_text.t5_from_files(state), folder, dtype)}


def _tiny(folder: Path, theirs: Mapping[str, Any], state: State, dtype: torch.dtype | None) -> dict[str, Any]:
    named = in_taesd_names(state)
    if named is None:
        raise ValueError("its weights are not those of a tiny autoencoder")
    return {"autoencoder": taesd(named, folder, dtype, theirs)}


COMPONENTS: dict[str, Callable[..., dict[str, Any]]] = {
    "UNet2DConditionModel": _unet(conditional=True),
    "UNet2DModel": _unet(conditional=False),
    "DiTTransformer2DModel": _dit,
    "Transformer2DModel": _transformer,  # as facebook's DiT folders call it, and the first of PixArt's
    pixarts.KIND: _pixart,
    mmdits.KIND: _mmdit,
    "AutoencoderKL": _autoencoder,
    "AutoencoderTiny": _tiny,
    "VQModel": _autoencoder,
    "LDMBertModel": _bert,
    "CLIPTextModel": _clip,
    sd3_text.PROJECTED: _clip_projected,
    sd3_text.T5: _t5,
}
"""Each gives a model under the name of its place in `LatentDiffusion`."""
