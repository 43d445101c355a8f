"""Every published model's configuration by its published name: plain data, from the yaml files of the repositories.

AUTOENCODERS: CompVis/latent-diffusion, models/first_stage_models/*/config.yaml. LATENT_DIFFUSION:
models/ldm/*/config.yaml and configs/latent-diffusion/ there, and the configs/stable-diffusion/ of
CompVis/stable-diffusion and Stability-AI/stablediffusion. Stable Diffusion XL: configs/inference/ of Stability-AI/generative-models.

An autoencoder preset: `model` (class name), `config` (its arguments), `training` (what its loss and optimizer were
given; all with Adam, betas .5 and .9, on OpenImages crops of 256 pixels), `published` (rFID and PSNR, as stated there).
A latent diffusion preset: `first_stage` (an autoencoder preset), `scale_factor` of its latents ("std": measured on the
first batch), `unet` (arguments of UNet), `conditioning_key` (how the condition enters: "crossattn", "concat", "hybrid"
or None), `conditioner` (class name and arguments; None where the condition is concatenated as it is or as a first-stage
latent), `schedule` (arguments of NoiseSchedule.linear), `latent_size` (height and width of the training latents),
`training` (loss, base_lr and batch, None where not stated). The learning rate is base_lr · batch · GPUs · accumulation,
or base_lr itself where `scale_lr` is False.
"""

from copy import deepcopy
from typing import Any

from core.models.autoencoder import Autoencoder, KLAutoencoder, VQAutoencoder
from core.models.unet import UNet

Preset = dict[str, Any]


def _kl(z: int, mult: list[int], factors: list[int], batch: int, rfid: float, psnr: float) -> Preset:
    config = {"model_channels": 128, "channel_mult": mult, "z_channels": z, "attention_factors": factors}
    training = {"disc_start": 50001, "disc_weight": 0.5, "disc_layers": 3, "kl_weight": 1e-6}
    return _autoencoder("KLAutoencoder", config, training, batch, rfid, psnr)


def _vq(
    codes: int,
    z: int,
    mult: list[int],
    factors: list[int],
    disc: tuple[int, float, int],
    batch: int,
    rfid: float,
    psnr: float,
) -> Preset:
    config = {"model_channels": 128, "channel_mult": mult, "z_channels": z, "attention_factors": factors}
    config |= {"codes": codes, "beta": 0.25, "legacy": True}
    start, weight, layers = disc
    training = {"disc_start": start, "disc_weight": weight, "disc_layers": layers, "codebook_weight": 1.0}
    return _autoencoder("VQAutoencoder", config, training, batch, rfid, psnr)


def _autoencoder(model: str, config: Preset, training: Preset, batch: int, rfid: float, psnr: float) -> Preset:
    shared = {"base_lr": 4.5e-6, "batch": batch, "perceptual_weight": 1.0, "pixel": "l1", "disc_loss": "hinge"}
    return {
        "model": model,
        "config": config | {"num_res_blocks": 2},
        "training": training | shared,
        "published": {"rfid": rfid, "psnr": psnr},
    }


AUTOENCODERS: dict[str, Preset] = {
    "kl-f4": _kl(3, [1, 2, 4], [], batch=10, rfid=0.27, psnr=27.53),
    "kl-f8": _kl(4, [1, 2, 4, 4], [], batch=4, rfid=0.90, psnr=24.19),
    "kl-f16": _kl(16, [1, 1, 2, 2, 4], [16], batch=6, rfid=0.87, psnr=24.08),
    "kl-f32": _kl(64, [1, 1, 2, 2, 4, 4], [16, 32], batch=6, rfid=2.04, psnr=22.27),
    "vq-f4": _vq(8192, 3, [1, 2, 4], [], (0, 0.75, 3), batch=8, rfid=0.58, psnr=27.43),
    "vq-f4-noattn": _vq(8192, 3, [1, 2, 4], [], (11, 0.75, 3), batch=8, rfid=1.06, psnr=25.21),
    "vq-f8": _vq(16384, 4, [1, 2, 2, 4], [8], (1, 0.6, 2), batch=10, rfid=1.14, psnr=23.07),
    "vq-f8-n256": _vq(256, 4, [1, 2, 2, 4], [8], (250001, 0.75, 3), batch=10, rfid=1.49, psnr=22.35),
    "vq-f16": _vq(16384, 8, [1, 1, 2, 2, 4], [16], (250001, 0.75, 2), batch=14, rfid=5.15, psnr=20.83),
}
AUTOENCODERS["vq-f4-noattn"]["config"]["mid_attention"] = False


def _ldm(
    first_stage: str,
    unet: Preset,
    beta_end: float,
    *,
    loss: str = "l2",
    lr: float | None = None,
    batch: int | None = None,
    image_size: int = 256,
    conditioning_key: str | None = None,
    conditioner: tuple[str, Preset] | None = None,
    beta_start: float = 0.0015,
    parametrisation: str = "eps",
    scale_factor: float | str = 1.0,
    **training: object,
) -> Preset:
    autoencoder = AUTOENCODERS[first_stage]["config"]
    z = autoencoder["z_channels"]
    shared = {"in_channels": z, "out_channels": z, "num_res_blocks": 2}
    return {
        "first_stage": first_stage,
        "scale_factor": scale_factor,
        "unet": shared | unet,
        "conditioning_key": conditioning_key or ("crossattn" if "context_dim" in unet else None),
        "conditioner": conditioner and {"model": conditioner[0], "config": conditioner[1]},
        "schedule": {"steps": 1000, "start": beta_start, "end": beta_end, "parametrisation": parametrisation},
        "latent_size": image_size // 2 ** (len(autoencoder["channel_mult"]) - 1),
        "training": {"loss": loss, "base_lr": lr, "batch": batch} | training,
    }


def _unet(channels: int, mult: list[int], factors: list[int], **options: Any) -> Preset:
    return {"model_channels": channels, "channel_mult": mult, "attention_factors": factors} | options


def _unconditional(batch: int) -> Preset:
    unet = _unet(224, [1, 2, 3, 4], [8, 4, 2], num_head_channels=32)
    return _ldm("vq-f4", unet, 0.0195, lr=2e-6, batch=batch)


def _semantic(image_size: int, batch: int | None) -> Preset:
    return _ldm(
        "vq-f4",
        _unet(128, [1, 4, 8], [32, 16, 8], num_heads=8, in_channels=6),  # no such factor: attention in the middle only
        0.0205,
        loss="l1",
        lr=1e-6,
        batch=batch,
        image_size=image_size,
        conditioning_key="concat",
        conditioner=("SpatialRescaler", {"n_stages": 2, "in_channels": 182, "out_channels": 3}),
    )


OPENCLIP_TEXT: Preset = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
}
"""Stable Diffusion 2's text encoder, OpenCLIP's ViT-H/14 without its last layer; Stable Diffusion 1's has quick_gelu."""


def _stable_diffusion(
    version: int, image_size: int = 512, in_channels: int = 4, parametrisation: str = "eps"
) -> Preset:
    heads: Preset = {"num_heads": 8, "context_dim": 768}
    if version == 2:
        heads = {"num_head_channels": 64, "context_dim": 1024, "use_linear_in_transformer": True}
    return _ldm(
        "kl-f8",
        _unet(320, [1, 2, 4, 4], [4, 2, 1], in_channels=in_channels, **heads),
        0.012,
        image_size=image_size,
        conditioning_key="hybrid" if in_channels > 4 else "crossattn",
        conditioner=("CLIPTextEmbedder", OPENCLIP_TEXT if version == 2 else {}),
        beta_start=0.00085,
        parametrisation=parametrisation,
        scale_factor=0.18215,
    )


CLIP_L_TEXT: Preset = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
}
"""OpenAI's ViT-L/14, Stable Diffusion XL's first text encoder."""

OPENCLIP_BIGG_TEXT: Preset = {
    "vocab_size": 49408,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "max_position_embeddings": 77,
    "hidden_act": "gelu",
}
"""Stable Diffusion XL's second text encoder, OpenCLIP's ViT-bigG/14."""


def _stable_diffusion_xl(unet: Preset, context_dim: int, numbers: int, in_channels: int = 4) -> Preset:
    """numbers: of the sizes and crop, each embedded in 256 channels, that follow the vector of the text."""
    text: Preset = {
        "clip_l": CLIP_L_TEXT if context_dim == 2048 else None,
        "clip_g": OPENCLIP_BIGG_TEXT,
        "projection_dim": 1280,
    }
    shared = {"num_head_channels": 64, "use_linear_in_transformer": True, "in_channels": in_channels}
    return _ldm(
        "kl-f8",
        unet | shared | {"context_dim": context_dim, "adm_in_channels": 1280 + 256 * numbers},
        0.012,
        image_size=1024,
        conditioning_key="hybrid" if in_channels > 4 else "crossattn",
        conditioner=("SDXLTextEmbedder", text),
        beta_start=0.00085,
        scale_factor=0.13025,
    )


SDXL_UNET = _unet(320, [1, 2, 4], [4, 2], transformer_depth=[1, 2, 10])
SDXL_REFINER_UNET = _unet(384, [1, 2, 4, 4], [4, 2], transformer_depth=4)

LATENT_DIFFUSION: dict[str, Preset] = {
    "celeba256": _unconditional(batch=48),
    "ffhq256": _unconditional(batch=42),
    "lsun_beds256": _unconditional(batch=48),
    "lsun_churches256": _ldm(
        "kl-f8",
        _unet(192, [1, 2, 2, 4, 4], [1, 2, 4, 8], num_heads=8, use_scale_shift_norm=True, resblock_updown=True),
        0.0155,
        loss="l1",
        lr=5e-5,
        batch=96,
        scale_factor="std",
        scale_lr=False,
        warm_up_steps=10_000,
    ),
    "cin256": _ldm(
        "vq-f8",
        _unet(256, [1, 2, 4], [4, 2, 1], num_head_channels=32, context_dim=512),
        0.0195,
        lr=1e-6,
        batch=64,
        conditioner=("ClassEmbedder", {"n_classes": 1000, "embed_dim": 512, "null_class": False}),
    ),
    "cin256-v2": _ldm(
        "vq-f4",
        _unet(192, [1, 2, 3, 5], [8, 4, 2], num_heads=1, context_dim=512),
        0.0195,
        lr=1e-4,
        batch=1200,
        conditioner=("ClassEmbedder", {"n_classes": 1000, "embed_dim": 512}),
        scale_lr=False,
    ),
    "text2img256": _ldm(
        "vq-f4",
        _unet(192, [1, 2, 3, 5], [8, 4, 2], num_head_channels=32, context_dim=640),
        0.0195,
        lr=2e-6,
        batch=28,
        conditioner=("BERTEmbedder", {"n_embed": 640, "n_layer": 32}),
    ),
    "txt2img-1p4B": _ldm(
        "kl-f8",
        _unet(320, [1, 2, 4, 4], [4, 2, 1], num_heads=8, context_dim=1280),
        0.012,
        lr=5e-5,
        beta_start=0.00085,
        scale_factor=0.18215,
        conditioner=("BERTEmbedder", {"n_embed": 1280, "n_layer": 32}),
    ),
    "layout2img-openimages256": _ldm(
        "vq-f4",
        _unet(128, [1, 2, 3, 4], [8, 4, 2], num_head_channels=32, context_dim=512, transformer_depth=3),
        0.0205,
        loss="l1",
        lr=2e-6,
        batch=24,
        conditioner=("BERTEmbedder", {"n_embed": 512, "n_layer": 16, "vocab_size": 8192, "max_seq_len": 92}),
    ),
    "semantic_synthesis256": _semantic(256, batch=None),
    "semantic_synthesis512": _semantic(512, batch=8),
    "bsr_sr": _ldm(
        "vq-f4",
        _unet(160, [1, 2, 2, 4], [16, 8], num_head_channels=32, in_channels=6),
        0.0155,
        lr=1e-6,
        batch=64,
        conditioning_key="concat",
    ),
    "inpainting_big": _ldm(
        "vq-f4-noattn",
        _unet(256, [1, 2, 3, 4], [8, 4, 2], num_heads=8, resblock_updown=True, in_channels=7),
        0.0205,
        loss="l1",
        lr=1e-6,
        conditioning_key="concat",
        decay="cosine",
    ),
    "stable-diffusion-v1": _stable_diffusion(1),
    "stable-diffusion-v1-inpainting": _stable_diffusion(1, in_channels=9),
    "stable-diffusion-v2-base": _stable_diffusion(2),
    "stable-diffusion-v2": _stable_diffusion(2, image_size=768, parametrisation="v"),
    "stable-diffusion-v2-inpainting": _stable_diffusion(2, in_channels=9),
    "stable-diffusion-xl": _stable_diffusion_xl(SDXL_UNET, 2048, numbers=6),
    "stable-diffusion-xl-refiner": _stable_diffusion_xl(SDXL_REFINER_UNET, 1280, numbers=5),
    "stable-diffusion-xl-inpainting": _stable_diffusion_xl(SDXL_UNET, 2048, numbers=6, in_channels=9),
}

UPSCALER: Preset = {
    "scale_factor": 0.08333,
    "unet": _unet(256, [1, 2, 2, 4], [2, 4, 8], in_channels=7, out_channels=4, num_res_blocks=2, num_heads=8)
    | {"context_dim": 1024, "use_linear_in_transformer": True, "num_classes": 1000}
    | {"disable_self_attentions": [True, True, True, False]},
    "schedule": {"steps": 1000, "start": 1e-4, "end": 0.02, "parametrisation": "v"},
}
"""Stable Diffusion's x4 upscaler (configs/stable-diffusion/x4-upscaling.yaml of Stability-AI/stablediffusion), whose first stage
has a shape of its own: f = 4 with four channels. Its classes are the noise levels of the picture beside the latent."""


def build_autoencoder(name: str, **changes: Any) -> Autoencoder:
    """A fresh autoencoder of AUTOENCODERS, with some arguments changed. Raises ValueError for an unknown name."""
    preset = _find(AUTOENCODERS, name)
    return (KLAutoencoder if preset["model"] == "KLAutoencoder" else VQAutoencoder)(**preset["config"] | changes)


def build_unet(name: str, **changes: Any) -> UNet:
    """A fresh UNet of LATENT_DIFFUSION, with some arguments changed. Raises ValueError for an unknown name."""
    return UNet(**find_latent_diffusion(name)["unet"] | changes)


def find_latent_diffusion(name: str) -> Preset:
    """A copy of a preset of LATENT_DIFFUSION. Raises ValueError for an unknown name."""
    return _find(LATENT_DIFFUSION, name)


def _find(presets: dict[str, Preset], name: str) -> Preset:
    if name not in presets:
        raise ValueError(f"there is no preset '{name}'; there are {', '.join(presets)}")
    return deepcopy(presets[name])
