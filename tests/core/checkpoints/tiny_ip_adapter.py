"""Random IP-Adapters in the authors' names, and a random image encoder, of a few thousand weights."""

from __future__ import annotations

from typing import Any

import torch
from tiny_ldm import randomise
from torch import Tensor

SIDE, EMBEDDING, HIDDEN = 32, 24, 16
"""Of the image encoder: pixels, the embedding's width, the tokens' width."""
TOKENS, QUERIES, WIDTH = 4, 3, 20


def image_encoder(seed: int = 31) -> Any:
    """A CLIPVisionModelWithProjection."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    shape = {"hidden_size": HIDDEN, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = CLIPVisionConfig(**shape, image_size=SIDE, patch_size=8, projection_dim=EMBEDDING)
    return randomise(CLIPVisionModelWithProjection(config), seed)


def adapter_state(kind: str, unet: Any, seed: int = 41) -> dict[str, dict[str, Tensor]]:
    """What a file of h94's holds for a UNet of diffusers: plain, plus or full-face."""
    generator = torch.Generator().manual_seed(seed)
    context = unet.config.cross_attention_dim

    def weights(out: int, *inputs: int) -> Tensor:
        return torch.randn(out, *inputs, generator=generator) * (inputs[-1] ** -0.5 if inputs else 0.2)

    def norm(width: int, name: str) -> dict[str, Tensor]:
        return {f"{name}.weight": 1 + weights(width), f"{name}.bias": weights(width)}

    def linear(out: int, inputs: int, name: str) -> dict[str, Tensor]:
        return {f"{name}.weight": weights(out, inputs), f"{name}.bias": weights(out)}

    if kind == "plain":
        projection = linear(TOKENS * context, EMBEDDING, "proj") | norm(context, "norm")
    elif kind == "full-face":
        projection = linear(HIDDEN, HIDDEN, "proj.0") | linear(context, HIDDEN, "proj.2") | norm(context, "proj.3")
    else:
        projection = {"latents": weights(1, QUERIES, WIDTH)}
        projection |= linear(WIDTH, HIDDEN, "proj_in") | linear(context, WIDTH, "proj_out") | norm(context, "norm_out")
        for i in range(4):
            at = f"layers.{i}"
            projection |= norm(WIDTH, f"{at}.0.norm1") | norm(WIDTH, f"{at}.0.norm2") | norm(WIDTH, f"{at}.1.0")
            projection |= {
                f"{at}.0.to_q.weight": weights(128, WIDTH),
                f"{at}.0.to_kv.weight": weights(256, WIDTH),
                f"{at}.0.to_out.weight": weights(WIDTH, 128),
                f"{at}.1.1.weight": weights(4 * WIDTH, WIDTH),
                f"{at}.1.3.weight": weights(WIDTH, 4 * WIDTH),
            }
    attended = {}
    for number, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        if ".attn2." in name:
            for which in ("k", "v"):
                attended[f"{number}.to_{which}_ip.weight"] = weights(attention.to_k.out_features, context)
    return {"image_proj": projection, "ip_adapter": attended}


def flat(state: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """The same as a safetensors file names it."""
    return {f"{part}.{name}": value for part, values in state.items() for name, value in values.items()}
