"""Whole latent diffusion models of a few thousand random weights, in the shapes that the formats know."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from core.checkpoints.latent_diffusion import LatentDiffusion
from core.conditioning.classes import ClassEmbedder
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.spatial import SpatialRescaler
from core.conditioning.text import BERTEmbedder
from core.diffusion.schedule import NoiseSchedule
from core.models.autoencoder import KLAutoencoder, VQAutoencoder
from core.models.unet import UNet

Model = TypeVar("Model", bound=nn.Module)

VOCAB = 600
SD_SCHEDULE = NoiseSchedule.linear(1000, 0.00085, 0.012)


@torch.no_grad()
def randomise(model: Model, seed: int = 0) -> Model:
    """Weights that depend on the seed alone, with nothing zero or one, and keep activations at order one."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            noise = torch.randn(parameter.shape, generator=generator)
            if isinstance(module, nn.GroupNorm | nn.LayerNorm):
                parameter.copy_(0.2 * noise + (name == "weight"))
            elif name == "weight" and not isinstance(module, nn.Embedding):
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:
                parameter.copy_(0.2 * noise)
    return model.eval()


def text_unet(context_dim: int, channels: int = 4, linear: bool = False) -> UNet:
    heads = {"num_head_channels": 16} if linear else {"num_heads": 2}
    shape = {"model_channels": 32, "channel_mult": [1, 2], "num_res_blocks": 1, "attention_factors": [1]}
    unet = UNet(channels, channels, context_dim=context_dim, use_linear_in_transformer=linear, **shape, **heads)
    return randomise(unet, 1)


def kl() -> KLAutoencoder:
    shape = {"model_channels": 32, "channel_mult": [1, 1, 1, 1], "num_res_blocks": 1, "embed_dim": 4}
    return randomise(KLAutoencoder(**shape, scale_factor=0.18215), 2)


def vq(levels: int = 4, codes: int = 64) -> VQAutoencoder:
    shape = {"model_channels": 32, "channel_mult": [1] * levels, "num_res_blocks": 1, "embed_dim": 3}
    return randomise(VQAutoencoder(**shape, codes=codes, legacy=True), 3)


def clip(hidden_act: str = "quick_gelu") -> CLIPTextEmbedder:
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    return randomise(CLIPTextEmbedder(vocab_size=VOCAB, hidden_act=hidden_act, **shape), 4)


def stable_diffusion(version: int = 1) -> LatentDiffusion:
    """Shaped like Stable Diffusion 1, or 2 with its linear projections, OpenCLIP text encoder and v-prediction."""
    if version == 1:
        return LatentDiffusion(text_unet(32), kl(), clip(), schedule=SD_SCHEDULE)
    return LatentDiffusion(
        text_unet(32, linear=True), kl(), clip("gelu"), schedule=SD_SCHEDULE.with_parametrisation("v")
    )


def ldm_text() -> LatentDiffusion:
    """Shaped like the paper's text-to-image models with a VQ first stage."""
    bert = randomise(BERTEmbedder(n_embed=24, n_layer=2, vocab_size=VOCAB), 5)
    return LatentDiffusion(text_unet(24, channels=3), vq(), bert, schedule=NoiseSchedule.linear())


def class_conditional() -> LatentDiffusion:
    embedder = randomise(ClassEmbedder(n_classes=5, embed_dim=16), 6)
    return LatentDiffusion(text_unet(16, channels=3), vq(levels=3), embedder, schedule=NoiseSchedule.linear())


def semantic() -> LatentDiffusion:
    unet = randomise(UNet(6, 3, 32, [1, 2], num_res_blocks=1, attention_factors=[8], num_heads=2), 7)
    rescaler = randomise(SpatialRescaler(n_stages=2, in_channels=7, out_channels=3), 8)
    return LatentDiffusion(unet, vq(levels=3), rescaler, schedule=NoiseSchedule.linear(1000, 0.0015, 0.0205))


def unconditional() -> LatentDiffusion:
    unet = randomise(UNet(3, 3, 32, [1, 2], num_res_blocks=1, attention_factors=[2], num_head_channels=16), 9)
    return LatentDiffusion(unet, vq(levels=3), schedule=NoiseSchedule.linear())


def small_unet() -> UNet:
    """The smallest that has every kind of layer."""
    return randomise(UNet(3, 3, 8, [1, 2], 1, [2], num_heads=2, norm_groups=4), 10)


def lora_state() -> dict[str, torch.Tensor]:
    """A LoRA file's tensors in kohya's naming, for `small_unet`."""
    parts = {"lora_down.weight": torch.ones(2, 16), "lora_up.weight": torch.ones(16, 2), "alpha": torch.tensor(2.0)}
    return {f"lora_unet_mid_block_attentions_0_to_q.{name}": value for name, value in parts.items()}


EVERY_KIND = {
    "Stable Diffusion 1": stable_diffusion,
    "Stable Diffusion 2": lambda: stable_diffusion(2),
    "text": ldm_text,
    "class": class_conditional,
    "semantic map": semantic,
    "unconditional": unconditional,
    "KL autoencoder": lambda: LatentDiffusion(autoencoder=kl()),
    "VQ autoencoder": lambda: LatentDiffusion(autoencoder=vq()),
}


def assert_same(a: LatentDiffusion, b: LatentDiffusion) -> None:
    """The same parts, built alike, with the same weights to the bit, and the same schedule."""
    for name in ("unet", "autoencoder", "conditioner"):
        one, two = getattr(a, name), getattr(b, name)
        assert type(one) is type(two), name
        if one is None:
            continue
        assert one.config == two.config, name
        first, second = one.state_dict(), two.state_dict()
        assert first.keys() == second.keys(), name
        assert all(torch.equal(first[key], second[key]) for key in first), name
    assert a.schedule == b.schedule
