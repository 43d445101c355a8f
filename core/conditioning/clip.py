"""CLIP's text encoder (Radford et al. 2021) as Stable Diffusion uses it: the hidden states, not the pooled vector.

The transformer is the transformers library's own. Source of the use: CompVis stable-diffusion
ldm/modules/encoders/modules.py `FrozenCLIPEmbedder`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from core.models.registry import model


@model
class CLIPTextEmbedder(nn.Module):
    """Token ids to cross-attention context.

    The defaults are those of ViT-L/14, Stable Diffusion 1's. Stable Diffusion 2's is the OpenCLIP ViT-H/14 with its
    last layer left out: hidden_size 1024, intermediate_size 4096, 23 layers, 16 heads, hidden_act "gelu".

    skip: layers left out at the end ("clip skip"); the final norm is applied to what remains.
    """

    config: dict[str, Any]

    def __init__(
        self,
        vocab_size: int = 49408,
        hidden_size: int = 768,
        intermediate_size: int = 3072,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        max_position_embeddings: int = 77,
        hidden_act: str = "quick_gelu",
        layer_norm_eps: float = 1e-5,
        skip: int = 0,
    ) -> None:
        from transformers import CLIPTextConfig, CLIPTextModel  # seconds to import, and only needed for CLIP

        if not 0 <= skip < num_hidden_layers:
            raise ValueError(f"skip must leave at least one of the {num_hidden_layers} layers, not leave out {skip}.")
        super().__init__()
        shape: dict[str, Any] = {
            "vocab_size": vocab_size,
            "hidden_size": hidden_size,
            "intermediate_size": intermediate_size,
            "num_hidden_layers": num_hidden_layers,
            "num_attention_heads": num_attention_heads,
            "max_position_embeddings": max_position_embeddings,
            "hidden_act": hidden_act,
            "layer_norm_eps": layer_norm_eps,
        }
        self.skip = skip
        # The last id is CLIP's end token; only the pooled output, which nobody reads, would depend on it.
        ends = {"bos_token_id": vocab_size - 2, "eos_token_id": vocab_size - 1, "pad_token_id": vocab_size - 1}
        self.transformer = CLIPTextModel(CLIPTextConfig.from_dict(shape | ends))

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """(b, n) token ids to a (b, n, hidden_size) context. mask: (b, n), 0 for tokens that no other may look at."""
        if not self.skip:
            context: Tensor = self.transformer(tokens, attention_mask=mask).last_hidden_state
            return context
        states = self.transformer(tokens, attention_mask=mask, output_hidden_states=True).hidden_states
        normed: Tensor = self.transformer.final_layer_norm(states[-1 - self.skip])
        return normed
